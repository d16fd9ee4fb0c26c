/**
 * The only ways between the members of a cluster of a test: one TCP relay in front of each, on loopback.
 *
 * ```
 *  member A ──▶ relay of B ──▶ member B      announces the port of its relay, listens on another
 * ```
 *
 * Which member dialled is not in what it sends, for that is encrypted: the system tells to which process the socket belongs
 * (`/proc`, so Linux only; no rights are needed). So members can be cut apart, and a member can be held up after some bytes.
 */
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export const canWire: boolean = process.platform === 'linux'

/** A member is sent nothing more once it was sent so many bytes. */
export interface Limit extends Disposable {
  /** Resolves when the bytes are used up and more wait. */
  readonly reached: Promise<void>
}

interface Wire {
  readonly from: string
  readonly to: string
  readonly client: Socket
  readonly onward: Socket
}

interface Budget {
  leftBytes: number
  readonly held: Set<Socket>
  readonly reached: PromiseWithResolvers<void>
}

/** All relays of a cluster. Disposing them cuts everybody off. */
export class Wires implements AsyncDisposable {
  readonly #servers = new Map<string, Server>()
  readonly #pids = new Map<string, number>()
  readonly #wires = new Set<Wire>()
  readonly #budgets = new Map<string, Budget>()
  #isCut: (a: string, b: string) => boolean = () => false

  /** Opens the relay of a member that listens on `targetPort`, and returns the port to announce. */
  async open (name: string, targetPort: number): Promise<number> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => { this.#accept(client, name, targetPort) })
    this.#servers.set(name, server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return portOf(server)
  }

  /** Tells which process is a member from now on. */
  attach (name: string, pid: number): void {
    this.#pids.set(name, pid)
  }

  /** Cuts members apart: what is open between a member of `some` and one of `others` is reset, and nothing new is let through. */
  cut (some: readonly string[], others: readonly string[]): void {
    this.#isCut = (a, b) => some.includes(a) && others.includes(b) || some.includes(b) && others.includes(a)
    for (const { from, to, client, onward } of this.#wires) {
      if (!this.#isCut(from, to)) continue
      client.resetAndDestroy()
      onward.resetAndDestroy()
    }
  }

  mend (): void {
    this.#isCut = () => false
  }

  /** Holds up what a member is sent behind so many bytes, over all of its connections, until it is disposed. */
  limit (name: string, maxBytes: number): Limit {
    const budget: Budget = { leftBytes: maxBytes, held: new Set(), reached: Promise.withResolvers<void>() }
    this.#budgets.set(name, budget)
    return {
      reached: budget.reached.promise,
      [Symbol.dispose]: () => {
        if (this.#budgets.get(name) === budget) this.#budgets.delete(name)
        for (const socket of budget.held) socket.resume()
      }
    }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    const closed = [...this.#servers.values()].map(async (server) => { await once(server.close(), 'close') })
    for (const { client, onward } of this.#wires) {
      client.destroy()
      onward.destroy()
    }
    await Promise.all(closed)
  }

  #accept (client: Socket, to: string, targetPort: number): void {
    client.on('error', () => {})
    const from = this.#memberBehind(client)
    if (from === undefined || this.#isCut(from, to)) {
      client.resetAndDestroy()
      return
    }
    const onward = connect({ host: '127.0.0.1', port: targetPort, allowHalfOpen: true, noDelay: true })
    onward.on('error', () => {})
    const wire = { from, to, client, onward }
    this.#wires.add(wire)
    client.once('close', () => {
      this.#wires.delete(wire)
      onward.destroy()
    })
    onward.once('close', () => { client.destroy() })
    this.#join(client, onward, to)
    this.#join(onward, client, from)
  }

  #join (source: Socket, sink: Socket, receiver: string): void {
    const goOn = (): void => { if (this.#budgets.get(receiver)?.held.has(source) !== true) source.resume() }
    source.on('data', (bytes: Buffer) => {
      if (!sink.write(bytes)) {
        source.pause()
        sink.once('drain', goOn)
      }
      this.#spend(receiver, source, bytes.byteLength)
    })
    source.once('end', () => { sink.end() })
  }

  #spend (receiver: string, source: Socket, byteLength: number): void {
    const budget = this.#budgets.get(receiver)
    if (budget === undefined) return
    budget.leftBytes -= byteLength
    if (budget.leftBytes > 0) return
    source.pause()
    budget.held.add(source)
    budget.reached.resolve()
  }

  #memberBehind (client: Socket): string | undefined {
    const inode = inodeOf(client)
    return inode === undefined ? undefined : [...this.#pids].find(([, pid]) => hasSocket(pid, inode))?.[0]
  }
}

function portOf (server: Server): number {
  return (server.address() as AddressInfo).port
}

/** The other end of a connection on loopback, as the kernel numbers it. */
function inodeOf ({ remotePort = 0, localPort = 0 }: Socket): string | undefined {
  const [from, to] = [remotePort, localPort].map((port) => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`)
  const rows = readFileSync('/proc/net/tcp', 'latin1').split('\n').map((line) => line.trim().split(/\s+/))
  return rows.find(([, local, remote]) => local === from && remote === to)?.[9]
}

function hasSocket (pid: number, inode: string): boolean {
  const folder = `/proc/${pid}/fd`
  try {
    return readdirSync(folder).some((name) => linkAt(`${folder}/${name}`) === `socket:[${inode}]`)
  } catch {
    // It was killed.
    return false
  }
}

function linkAt (path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    // A file may be closed while the folder is read.
    return undefined
  }
}
