import type { Socket } from 'node:net'

export interface DelayLineOptions {
  readonly delayMs: number
  readonly bufferBytes: number
  readonly onForward: (byteLength: number) => void
}

/** Something on its way, and when it arrives, in ms of `performance.now()`. */
interface Travelling {
  readonly dueMs: number
  readonly what: Buffer | 'end' | 'reset'
}

/** One direction of a connection: what `from` says comes out at `to` after the delay, in order. */
export class DelayLine {
  readonly #from: Socket
  readonly #to: Socket
  readonly #options: DelayLineOptions
  readonly #travelling: Travelling[] = []
  #heldBytes = 0
  #timer: NodeJS.Timeout | undefined
  #mayWrite = true

  constructor (from: Socket, to: Socket, options: DelayLineOptions) {
    this.#from = from
    this.#to = to
    this.#options = options
    from.on('data', (bytes: Buffer) => { this.#take(bytes) })
    from.once('end', () => { this.#send('end') })
    from.on('error', () => { this.#send('reset') })
    to.on('drain', () => {
      this.#mayWrite = true
      this.#deliver()
    })
    to.once('close', () => { this.#drop() })
  }

  #take (bytes: Buffer): void {
    if (this.#to.destroyed) return
    this.#heldBytes += bytes.byteLength
    if (this.#heldBytes >= this.#options.bufferBytes) this.#from.pause()
    this.#send(bytes)
  }

  #send (what: Travelling['what']): void {
    if (this.#to.destroyed) return
    this.#travelling.push({ dueMs: performance.now() + this.#options.delayMs, what })
    this.#wait()
  }

  #wait (): void {
    const [next] = this.#travelling
    if (next === undefined || this.#timer !== undefined || !this.#mayWrite) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#deliver()
    }, Math.max(0, next.dueMs - performance.now()))
  }

  #deliver (): void {
    const nowMs = performance.now()
    let count = 0
    for (const { dueMs, what } of this.#travelling) {
      if (dueMs > nowMs || !this.#mayWrite) break
      count++
      this.#hand(what)
    }
    this.#travelling.splice(0, count)
    if (this.#heldBytes <= this.#options.bufferBytes / 2) this.#from.resume()
    this.#wait()
  }

  #hand (what: Travelling['what']): void {
    if (what === 'end') {
      this.#to.end()
    } else if (what === 'reset') {
      this.#to.resetAndDestroy()
    } else {
      this.#heldBytes -= what.byteLength
      this.#options.onForward(what.byteLength)
      this.#mayWrite = this.#to.write(what)
    }
  }

  /** Nobody is left to hear it. What still comes is read and thrown away, so that an end is noticed. */
  #drop (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#travelling.length = 0
    this.#heldBytes = 0
    this.#from.resume()
  }
}
