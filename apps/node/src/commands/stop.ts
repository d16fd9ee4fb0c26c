import { command } from '../command.ts'

/** How long a node may take to let go of its socket, in milliseconds. */
const STOP_MS = 10_000

export const stop = command({
  usage: 'stop',
  summary: 'Stop the running node',
  flags: {},

  async run ({ daemon, signal, note }) {
    for await (const _ of daemon.call('stop', {}, { signal }));
    const deadlineMs = performance.now() + STOP_MS
    while (await isAnswering(daemon, signal)) {
      if (performance.now() > deadlineMs) throw new Error('The node was asked to stop and still answers; look at its own output')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    note('Stopped')
  }
})

async function isAnswering (daemon: Parameters<typeof stop.run>[0]['daemon'], signal: AbortSignal): Promise<boolean> {
  try {
    for await (const _ of daemon.call('id', {}, { signal }));
    return true
  } catch {
    signal.throwIfAborted()
    return false
  }
}
