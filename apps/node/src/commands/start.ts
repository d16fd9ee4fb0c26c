import type { NodeIdentity } from '@holdfast/api/client'
import { Worker } from 'node:worker_threads'
import { wholeNumber } from '../arguments.ts'
import { command, type CommandContext } from '../command.ts'
import { type ConfigLayer, parseList } from '../config.ts'
import { parseBytes } from '../parse-bytes.ts'
import { styled } from '../terminal/format.ts'

/** How long the parts of a node may take to stop before the process ends all the same, in milliseconds. */
const STOP_MS = 4500

/** How long the process stays when storing failed, in milliseconds: until the reason is printed. Whatever LMDB begins on a failed disk may crash it. */
const LOST_MS = 10

/** How long the end of a process whose disk failed may take before it is forced, in milliseconds. */
const KILL_MS = 3000

export const start = command({
  usage: 'start [--gateway-port N] [--swarm-port N] [--rpc-port N] [--network public|lan|off]',
  summary: 'Run a node in the foreground',
  details: 'Makes the repository when there is none. Ctrl-C stops the node. With --json one line is printed when it is ready.',
  flags: {
    network: { type: 'string', value: 'NAME', help: 'Network to join: public, lan or off [default: public]' },
    dht: { type: 'string', value: 'PART', help: 'Part in the DHT: auto, client, server or off [default: auto]' },
    bootstrap: { type: 'string', value: 'LIST', help: 'Peers to dial: multiaddrs with commas between, auto for the public ones, or none [default: auto]' },
    mdns: { type: 'string', value: 'on|off', help: 'Find peers on the LAN by multicast DNS [default: on]' },
    upnp: { type: 'string', value: 'on|off', help: 'Ask the router to forward the port (network public) [default: on]' },
    'relay-client': { type: 'string', value: 'on|off', help: 'Be reachable through relays while nobody can dial this node (network public) [default: on]' },
    autonat: { type: 'string', value: 'on|off', help: 'Ask peers whether they can dial this node (network public) [default: on]' },
    'hole-punching': { type: 'string', value: 'on|off', help: 'Replace relayed connections by direct ones (network public) [default: on]' },
    'provide-strategy': { type: 'string', value: 'NAME', help: 'What is announced: roots, pinned, all or off [default: roots]' },
    'gateway-port': { type: 'string', value: 'N', help: 'Port of the gateway, 0 for any free one [default: 8080]' },
    'gateway-host': { type: 'string', value: 'IP', help: 'Address of the gateway [default: 127.0.0.1, this machine only]' },
    'swarm-port': { type: 'string', value: 'N', help: 'Port for peers, 0 for any free one [default: 4001]' },
    announce: { type: 'string', value: 'LIST', help: 'Addresses to tell others instead of those it listens on: multiaddrs with commas between, or none [default: none]' },
    'rpc-port': { type: 'string', value: 'N', help: 'Port of the Kubo-compatible RPC, 0 for any free one [default: 5001]' },
    'cache-max-bytes': { type: 'string', value: 'BYTES', help: 'Bytes of blocks that were only fetched, for example 500MB [default: 10GiB]' },
    'member-name': { type: 'string', value: 'NAME', help: 'What the members of the cluster call this node [default: name of the machine]' },
    zone: { type: 'string', value: 'ZONE', help: 'Where this node stands; copies are spread over zones' },
    'storage-max-bytes': { type: 'string', value: 'BYTES', help: 'Bytes that blocks may take here, copies for the cluster among them, for example 500GB [default: auto, what the disk has free above a reserve]' },
    durability: { type: 'string', value: 'disk|os', help: 'What acknowledged blocks survive: a power cut, or with os only a crash of the process [default: disk]' },
    'trust-medium': { type: 'string', value: 'on|off', help: 'Give blocks out without hashing them again [default: off]' },
    'repair-grace': { type: 'string', value: 'DURATION', help: 'How long a member may be gone before its copies are made elsewhere [default: 30min]' },
    'repair-bytes-per-second': { type: 'string', value: 'BYTES', help: 'Most bytes a second that are fetched to make lost copies again, 0 for no bound [default: 0]' },
    'log-level': { type: 'string', value: 'LEVEL', help: 'Least important lines to print: error, warn, info or debug [default: info]' }
  },

  async run (context, args, flags) {
    const { repository, isJson, print, note, signal } = context
    if (args.length > 0) throw (await import('../daemon/refusals.ts')).noArguments('start', args)
    const { openDaemon } = await import('../daemon/daemon.ts')
    // What a node writes is its user's business alone.
    process.umask(0o077)
    await using daemon = await openDaemon(repository, flagLayer(flags))
    const identity = daemon.node.describe()

    if (isJson) {
      const { peerId, swarm, gateway, rpc, engine, durability } = identity
      print(JSON.stringify({ peerId, swarm, gateway, rpc, engine, durability }))
    } else {
      for (const line of welcome(identity, context)) print(line)
    }

    const interrupted = Promise.withResolvers<void>()
    signal.addEventListener('abort', () => { interrupted.resolve() }, { once: true })
    // Ctrl-C may have come while the node opened.
    if (signal.aborted) interrupted.resolve()
    try {
      await Promise.race([daemon.stopped, interrupted.promise])
    } finally {
      if (!isJson) note('Stopping …')
      // A part that cannot stop must not keep Ctrl-C from working; what was acknowledged is durable already.
      setTimeout(() => {
        if (daemon.isLost) killLater()
        process.exit(process.exitCode ?? 1)
      }, daemon.isLost ? LOST_MS : STOP_MS).unref()
    }
  }
})

/** Ends this process from another thread: `process.exit` waits for the threads of LMDB, and one that writes to a failed disk may never come back. */
function killLater (): void {
  new Worker(`setTimeout(() => { process.kill(process.pid, 'SIGKILL') }, ${KILL_MS})`, { eval: true }).unref()
}

function flagLayer (flags: Readonly<Record<string, string | undefined>>): ConfigLayer {
  const numbers = { swarmPort: 'swarm-port', gatewayPort: 'gateway-port', rpcPort: 'rpc-port' } as const
  const words = { network: 'network', dht: 'dht', mdns: 'mdns', upnp: 'upnp', relayClient: 'relay-client', autonat: 'autonat', holePunching: 'hole-punching', provideStrategy: 'provide-strategy', gatewayHost: 'gateway-host', memberName: 'member-name', zone: 'zone', durability: 'durability', trustMedium: 'trust-medium', repairGrace: 'repair-grace', logLevel: 'log-level' } as const
  const bytes = { cacheMaxBytes: 'cache-max-bytes', storageMaxBytes: 'storage-max-bytes', repairBytesPerSecond: 'repair-bytes-per-second' } as const
  const names: Readonly<Record<string, string>> = { ...numbers, ...words, ...bytes, bootstrap: 'bootstrap', announce: 'announce' }
  const values: Record<string, unknown> = {}
  for (const [key, flag] of Object.entries(numbers)) values[key] = wholeNumber(flag, flags[flag])
  for (const [key, flag] of Object.entries(words)) values[key] = flags[flag]
  for (const key of ['bootstrap', 'announce']) if (flags[key] !== undefined) values[key] = parseList(flags[key])
  for (const [key, flag] of Object.entries(bytes)) values[key] = parseBytes(flags[flag] ?? '') ?? flags[flag]
  const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
  return { values: given, sourceOf: (key) => `--${names[key] ?? key}` }
}

function welcome ({ agent, peerId, gateway, rpc, swarm, reachability, repository, engine, durability }: NodeIdentity, { cwd }: CommandContext): string[] {
  const bold = (text: string): string => styled('bold', text, process.stdout)
  return [
    `${bold(agent)} is running`,
    `  Peer        ${peerId}`,
    `  Gateway     ${bold(gateway)}`,
    `  RPC         ${rpc}`,
    `  Addresses   ${swarm.length === 0 ? `none (${reachability.how})` : swarm.join('\n              ')}`,
    `  Repository  ${repository}`,
    `  Engine      ${engine}${durability === 'os' ? '; acknowledged blocks may be lost in a power cut (durability os)' : ''}`,
    '',
    'Try in another terminal:',
    `  cd ${cwd}`,
    '  npx holdfast add README.md',
    '  npx holdfast --help',
    'Ctrl-C stops the node.'
  ]
}
