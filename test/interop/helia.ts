import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { atEnd } from '../harness.ts'
import type { TestContext } from 'node:test'
import type { HeliaRequest } from './helia-peer.ts'

/** A running Helia. */
export interface HeliaPeer {
  readonly address: string
  ask(request: HeliaRequest): Promise<Record<string, unknown>>
}

/** Starts Helia in a process of its own, which ends with the test. */
export async function startHelia (context: TestContext): Promise<HeliaPeer> {
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(process.execPath, [`${import.meta.dirname}/helia-peer.ts`], { stdio: ['pipe', 'pipe', 'inherit'] })
  atEnd(context, async () => {
    if (child.exitCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<Record<string, unknown>> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error('Helia ended')
    return JSON.parse(value) as Record<string, unknown>
  }
  const { address } = await next()
  return {
    address: String(address),
    async ask (request) {
      child.stdin.write(`${JSON.stringify(request)}\n`)
      const answer = await next()
      if ('error' in answer) throw new Error(`Helia: ${String(answer['error'])}`)
      return answer
    }
  }
}
