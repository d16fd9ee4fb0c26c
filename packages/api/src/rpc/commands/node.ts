import { CODECS, HoldfastError } from '@holdfast/core'
import { base32 } from 'multiformats/bases/base32'
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { CID, type MultibaseEncoder } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import type { ApiNode } from '../../api-node.ts'
import { callerMistake } from '../rpc-request.ts'
import { type OptionDeclarations, type RpcCommand, rpcCommand } from '../rpc-command.ts'

/** Tells who this node is, or another one: that is connected for it, because it says so only itself. */
export const id: RpcCommand = rpcCommand({
  args: { names: ['peerid'], required: 0 },
  options: { format: ['string', 'f'], 'peerid-base': ['string'] },

  async run ({ node, args: [asked], signal, reply }) {
    const own = node.describe()
    const { peer, agent, protocols, addresses } = await node.host.identify(asked ?? own.peerId, { signal })
    await reply.one({
      ID: peer,
      PublicKey: publicKeyOf(peer),
      Addresses: addresses.map((address) => `${address}/p2p/${peer}`),
      AgentVersion: peer === own.peerId ? own.agent : agent,
      Protocols: protocols.toSorted()
    })
  }
})

/** The public key that the id of a peer carries, as Kubo writes it; nothing for ids that are only a hash. */
export function publicKeyOf (peerId: string): string {
  try {
    const { code, digest } = Digest.decode(base58btc.baseDecode(peerId))
    return code === 0 ? Buffer.from(digest).toString('base64') : ''
  } catch {
    return ''
  }
}

export const version: RpcCommand = rpcCommand({
  options: { number: ['bool', 'n'], commit: ['bool'], repo: ['bool'], all: ['bool'] },

  async run ({ node, reply }) {
    await reply.one({
      Version: node.describe().agent.split('/').at(-1) ?? '',
      Commit: '',
      Repo: String(node.repository.version),
      System: `${process.arch === 'x64' ? 'amd64' : process.arch}/${process.platform}`,
      Golang: ''
    })
  }
})

/** Answers first: whoever asked learns that the node heard it. */
export const shutdown: RpcCommand = rpcCommand({
  async run ({ node, reply }) {
    reply.end()
    node.stop()
  }
})

/** Lists the commands of a table as Kubo lists its own. */
export function commandsOf (table: () => Readonly<Record<string, RpcCommand>>): RpcCommand {
  return rpcCommand({
    options: { flags: ['bool', 'f'] },
    async run ({ options: { flags = false }, reply }) { await reply.one(commandTree('ipfs', '', { table: table(), flags })) }
  })
}

interface CommandTree {
  readonly Name: string
  readonly Subcommands: readonly CommandTree[]
  readonly Options: ReadonlyArray<{ readonly Names: readonly string[] }>
}

function commandTree (name: string, prefix: string, from: { readonly table: Readonly<Record<string, RpcCommand>>, readonly flags: boolean }): CommandTree {
  const below = Object.keys(from.table).filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length).split('/')[0] ?? '')
  const options: OptionDeclarations = (from.flags ? from.table[prefix.slice(0, -1)]?.options : undefined) ?? {}
  return {
    Name: name,
    Subcommands: [...new Set(below)].toSorted().map((child) => commandTree(child, `${prefix}${child}/`, from)),
    Options: Object.entries(options).map(([name, [, ...aliases]]) => ({ Names: [name, ...aliases] }))
  }
}

export const configShow: RpcCommand = rpcCommand({
  async run ({ node, reply }) { await reply.one(kuboConfigOf(node)) }
})

/** Reads one value by its dotted name. Settings are changed by `holdfast config set`, which checks them. */
export const config: RpcCommand = rpcCommand({
  args: { names: ['key', 'value'], required: 1 },
  options: { bool: ['bool'], json: ['bool'] },

  async run ({ node, args: [key = '', value], reply }) {
    if (value !== undefined) throw new HoldfastError('UNSUPPORTED', 'Settings are not changed over the RPC; use holdfast config set')
    let found: unknown = kuboConfigOf(node)
    for (const name of key.split('.')) found = typeof found === 'object' && found !== null && Object.hasOwn(found, name) ? Reflect.get(found, name) : undefined
    if (found === undefined) throw new HoldfastError('NOT_FOUND', `failed to get config value: ${JSON.stringify(key.slice(0, 100))}`)
    await reply.one({ Key: key, Value: found })
  }
})

/** What tools look up in the configuration of Kubo, and beside it the settings as this node knows them. */
function kuboConfigOf (node: ApiNode): object {
  const { peerId, gateway, rpc, swarm } = node.describe()
  const settings: Readonly<Record<string, unknown>> = Object.fromEntries([...node.settings()].map(({ key, value }) => [key, value]))
  return {
    Identity: { PeerID: peerId },
    Addresses: { Swarm: swarm, API: multiaddrOf(rpc), Gateway: multiaddrOf(gateway) },
    API: { HTTPHeaders: { 'Access-Control-Allow-Origin': settings['rpcAllowedOrigins'] ?? [] } },
    Bootstrap: settings['bootstrap'] ?? [],
    Discovery: { MDNS: { Enabled: settings['mdns'] === 'on' } },
    Provide: { Strategy: settings['provideStrategy'] ?? '' },
    Holdfast: settings
  }
}

/** `http://127.0.0.1:5001` as a multiaddr. */
function multiaddrOf (url: string): string {
  const [, host = '', port = ''] = /^https?:\/\/(.+):(\d+)$/.exec(url) ?? []
  return host === '' ? '' : host.startsWith('[') ? `/ip6/${host.slice(1, -1)}/tcp/${port}` : `/ip4/${host}/tcp/${port}`
}

/** A node has one key, its identity. Ids are CIDs in base36 unless `ipns-base` asks for the base58 of peer ids. */
export const keyList: RpcCommand = rpcCommand({
  options: { long: ['bool', 'l'], 'ipns-base': ['string'] },
  async run ({ node, options: { 'ipns-base': base = 'base36' }, reply }) {
    await reply.one({ Keys: [{ Name: 'self', Id: keyIdOf(node.describe().peerId, base) }] })
  }
})

const KEY_BASES: Readonly<Record<string, MultibaseEncoder<string>>> = { base36, base32 }

function keyIdOf (peerId: string, base: string): string {
  if (base === 'b58mh') return peerId
  const encoder = Object.hasOwn(KEY_BASES, base) ? KEY_BASES[base] : undefined
  if (encoder === undefined) throw callerMistake(`ipns-base must be b58mh, ${Object.keys(KEY_BASES).join(' or ')}, not ${JSON.stringify(base.slice(0, 100))}`)
  return CID.createV1(CODECS.libp2pKey, Digest.decode(base58btc.baseDecode(peerId))).toString(encoder)
}
