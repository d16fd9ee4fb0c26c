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
  /** Kills it. */
  end(): Promise<void>
  ask(request: HeliaRequest): Promise<Record<string, unknown>>
}

/** Starts Helia in a process of its own, which ends with the test. With a folder it keeps its blocks there, in a store of ours. */
export async function startHelia (context: TestContext, folder?: string): Promise<HeliaPeer> {
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(process.execPath, [`${import.meta.dirname}/helia-peer.ts`, ...(folder === undefined ? [] : [folder])], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const end = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  atEnd(context, end)
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<Record<string, unknown>> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error('Helia ended')
    return JSON.parse(value) as Record<string, unknown>
  }
  const { address } = await next()
  return {
    address: String(address),
    end,
    async ask (request) {
      child.stdin.write(`${JSON.stringify(request)}\n`)
      const answer = await next()
      if ('error' in answer) throw new Error(`Helia: ${String(answer['error'])}`)
      return answer
    }
  }
}
