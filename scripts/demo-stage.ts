import { styleText } from 'node:util'

/** Where the steps of a demo are shown: on a terminal the one under way with its time, elsewhere a line when it is done. */
export interface Stage {
  /** Does a step; what it returns are lines to show below it. */
  step(title: string, act: () => Promise<readonly string[]>): Promise<void>
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'] as const

/** Time between two frames, in ms. */
const FRAME_MS = 100

export function openStage (stream: NodeJS.WriteStream): Stage {
  let number = 0
  return {
    async step (title, act) {
      const label = `${++number}. ${title}`
      const startedMs = performance.now()
      using line = stream.isTTY ? spinner(stream, label, startedMs) : undefined
      let lines: readonly string[]
      try {
        lines = await act()
      } catch (err) {
        line?.[Symbol.dispose]()
        stream.write(`${styled(stream, 'red', '✘')} ${label}\n`)
        throw err
      }
      line?.[Symbol.dispose]()
      stream.write(`${styled(stream, 'green', '✔')} ${label} ${styled(stream, 'dim', `(${seconds(startedMs)})`)}\n`)
      for (const each of lines) stream.write(`     ${each}\n`)
    }
  }
}

function spinner (stream: NodeJS.WriteStream, label: string, startedMs: number): Disposable {
  let frame = 0
  const draw = (): void => { stream.write(`\r\x1b[K${FRAMES[frame++ % FRAMES.length]} ${label} ${seconds(startedMs)}`) }
  const timer = setInterval(draw, FRAME_MS)
  draw()
  let isOpen = true
  return {
    [Symbol.dispose] () {
      if (!isOpen) return
      isOpen = false
      clearInterval(timer)
      stream.write('\r\x1b[K')
    }
  }
}

function seconds (startedMs: number): string {
  return `${((performance.now() - startedMs) / 1000).toFixed(1)} s`
}

function styled (stream: NodeJS.WriteStream, style: 'green' | 'red' | 'dim', text: string): string {
  return styleText(style, text, { stream, validateStream: true })
}
