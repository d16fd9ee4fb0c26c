import { HoldfastError } from '@holdfast/core/errors'
import * as v from 'valibot'
import { parseBytes } from './parse-bytes.ts'
import { parseDuration } from './parse-duration.ts'

const port = v.pipe(v.number('must be a number'), v.integer('must be a whole number'), v.minValue(0, 'must be 0 or more'), v.maxValue(65_535, 'must be 65535 or less'))

const onOrOff = v.picklist(['on', 'off'], 'must be on or off')

/** Bootstrap peers that may be named. */
const MAX_BOOTSTRAP_PEERS = 64

/** Addresses that may be announced: what a profile of a member, and an invite, hold. */
const MAX_ANNOUNCED_ADDRESSES = 8

/** Most tokens of the RPC: each is compared for every call. */
const MAX_RPC_TOKENS = 64

/** Least characters of a token's secret: with fewer it can be guessed over a fast network. */
const MIN_SECRET_CHARACTERS = 16

/** Most origins and names that the RPC takes besides its own: some tools and the machines of a team. */
const MAX_RPC_ORIGINS = 64

/** An origin as browsers write it: lower case, without a default port, a path or a slash at the end; or `*`. */
function isOrigin (text: string): boolean {
  if (text === '*') return true
  if (!/^[a-z][a-z0-9+.-]*:\/\/(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/.test(text)) return false
  return !/^https?:/.test(text) || URL.parse(text)?.origin === text
}

/** What stands in `Host` before the port: a name of DNS or an address. */
const HOST_NAME = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)$/

const TOKEN_FORM = 'must be an object of tokens, each with a secret and allowedPaths'

const rpcToken = v.strictObject({
  secret: v.pipe(v.string(TOKEN_FORM), v.minLength(MIN_SECRET_CHARACTERS, `must have secrets of at least ${MIN_SECRET_CHARACTERS} characters`), v.regex(/^(?!sha256:)|^sha256:[0-9a-f]{64}$/, 'must have 64 hexadecimal digits behind sha256:')),
  allowedPaths: v.pipe(v.array(v.pipe(v.string(TOKEN_FORM), v.startsWith('/', 'must have allowedPaths that begin with /')), TOKEN_FORM), v.minLength(1, 'must have at least one of allowedPaths for each token'))
}, TOKEN_FORM)

/** Bytes of UTF-8 of a zone or the name of a member: what their records hold. */
const MAX_LABEL_BYTES = 64

/** Shortest grace period, in ms: heartbeats that tell of it cannot come much faster. */
const MIN_REPAIR_GRACE_MS = 1000

const label = v.pipe(v.string('must be text'), v.check((text) => text.isWellFormed() && Buffer.byteLength(text) <= MAX_LABEL_BYTES, `must be text of at most ${MAX_LABEL_BYTES} bytes`))

/** What each setting may be. Every key is here and only here. */
const SETTINGS = {
  /** Which network the node joins. */
  network: v.picklist(['public', 'lan', 'off'], 'must be public, lan or off'),
  /** Part in the DHT: `auto` answers others where they can reach this node. */
  dht: v.picklist(['auto', 'client', 'server', 'off'], 'must be auto, client, server or off'),
  /** Multiaddrs of peers that are dialled at the start; `auto` stands for the public ones. Whether they can be dialled is checked by the network. */
  bootstrap: v.pipe(v.array(v.pipe(v.string('must be a list of texts'), v.regex(/^(\/.*|auto)$/, 'must be a list of multiaddrs, such as /dnsaddr/example.com/p2p/12D3Koo…, or auto')), 'must be a list'), v.maxLength(MAX_BOOTSTRAP_PEERS, `must have at most ${MAX_BOOTSTRAP_PEERS} entries`)),
  /** Whether peers on the LAN are found by multicast DNS. */
  mdns: onOrOff,
  /** Whether the router is asked to forward the port (network public). */
  upnp: onOrOff,
  /** Whether relays may carry connections to this node while nobody can dial it (network public). */
  relayClient: onOrOff,
  /** Whether peers are asked to dial this node back, and dialled back (network public). */
  autonat: onOrOff,
  /** Whether relayed connections are replaced by direct ones (network public). */
  holePunching: onOrOff,
  /** Which blocks are announced: the roots of pins, everything below them, everything stored, or nothing. */
  provideStrategy: v.picklist(['roots', 'pinned', 'all', 'off'], 'must be roots, pinned, all or off'),
  /** TCP port for peers; 0 is any free port. */
  swarmPort: port,
  /** Multiaddrs that others are told instead of those that this node listens on; empty tells those. Whether they can be read is checked by the network. */
  announce: v.pipe(v.array(v.pipe(v.string('must be a list of texts'), v.regex(/^\//, 'must be a list of multiaddrs, such as /dns4/node.example.com/tcp/4001')), 'must be a list'), v.maxLength(MAX_ANNOUNCED_ADDRESSES, `must have at most ${MAX_ANNOUNCED_ADDRESSES} entries`)),
  /** Address that the gateway listens on. Other than loopback it serves the whole network. */
  gatewayHost: v.pipe(v.string('must be text'), v.ip('must be an IP address')),
  /** TCP port of the gateway; 0 is any free port. */
  gatewayPort: port,
  /** Address that the Kubo-compatible RPC listens on. Other than loopback it needs a certificate and a token. */
  rpcHost: v.pipe(v.string('must be text'), v.ip('must be an IP address')),
  /** TCP port of the Kubo-compatible RPC; 0 is any free port. */
  rpcPort: port,
  /** Files with the certificate and the key of the RPC, in PEM; empty is without TLS. */
  rpcTlsCert: v.string('must be a path'),
  rpcTlsKey: v.string('must be a path'),
  /** Tokens of the RPC by name. With any, nobody calls without one. */
  rpcTokens: v.pipe(v.record(v.string(), rpcToken, 'must be an object of tokens by name'), v.maxEntries(MAX_RPC_TOKENS, `must have at most ${MAX_RPC_TOKENS} tokens`)),
  /** Origins whose pages may call the RPC besides the node's own, such as `https://webui.example`; `*` is every page of every site. */
  rpcAllowedOrigins: v.pipe(v.array(v.pipe(v.string('must be a list of texts'), v.check(isOrigin, 'must be a list of origins as browsers write them, such as https://webui.example or http://localhost:3000, or *')), 'must be a list'), v.maxLength(MAX_RPC_ORIGINS, `must have at most ${MAX_RPC_ORIGINS} entries`)),
  /** Names by which callers may reach the RPC besides those of loopback and of the certificate: what stands in `Host`, without the port. */
  rpcAllowedHosts: v.pipe(v.array(v.pipe(v.string('must be a list of texts'), v.regex(HOST_NAME, 'must be a list of names in lower case without a port, such as node.example or [fd00::5]')), 'must be a list'), v.maxLength(MAX_RPC_ORIGINS, `must have at most ${MAX_RPC_ORIGINS} entries`)),
  /** Bytes of blocks that were only fetched; beyond that the oldest are removed. 0 keeps what is being read. */
  cacheMaxBytes: v.pipe(v.number('must be a number of bytes (flags and config set also take 10GiB)'), v.safeInteger('must be a whole number of bytes'), v.minValue(0, 'must be 0 or more')),
  /** What the members of the cluster call this node; empty is the name of the machine. */
  memberName: label,
  /** Where this node stands: what may fail together. Copies are spread over zones. */
  zone: label,
  /** Bytes that the blocks may take here, with their index, and so also copies for the cluster; `auto` is what the disk has free above a reserve. */
  storageMaxBytes: v.union([v.literal('auto'), v.pipe(v.number(), v.safeInteger(), v.minValue(0))], 'must be a whole number of bytes (flags and config set also take 500GB), or auto'),
  /** Bytes of the disk that blocks leave free; `auto` is 512 MiB, or a twentieth of a smaller disk. */
  storageReserveBytes: v.union([v.literal('auto'), v.pipe(v.number(), v.safeInteger(), v.minValue(0))], 'must be a whole number of bytes (flags and config set also take 1GiB), or auto'),
  /** What an acknowledged block survives: a crash of the machine, or with `os` only one of the process. */
  durability: v.picklist(['disk', 'os'], 'must be disk or os'),
  /** Whether blocks are given out without being hashed again: for a file system that checks what it keeps. */
  trustMedium: onOrOff,
  /** How long a member may be gone before its copies are made elsewhere. The same on all members. */
  repairGrace: v.pipe(v.string('must be a duration such as 30min'), v.check((text) => (parseDuration(text) ?? 0) >= MIN_REPAIR_GRACE_MS, 'must be a duration of at least 1s, such as 30min')),
  /** Most bytes a second that this node fetches to make lost copies again; 0 is no bound. */
  repairBytesPerSecond: v.pipe(v.number('must be a number of bytes (flags and config set also take 10MB)'), v.safeInteger('must be a whole number of bytes'), v.minValue(0, 'must be 0 or more')),
  /** Least important log lines that are printed. */
  logLevel: v.picklist(['error', 'warn', 'info', 'debug'], 'must be error, warn, info or debug')
} as const

/** The settings of a node. */
export type Config = { readonly [Key in keyof typeof SETTINGS]: v.InferOutput<typeof SETTINGS[Key]> }

/** Name of a setting. */
export type ConfigKey = keyof Config

/** The settings of a node that nobody configured. Ports are Kubo's, so that its tools find us. */
export const DEFAULT_CONFIG: Config = {
  network: 'public',
  dht: 'auto',
  bootstrap: ['auto'],
  mdns: 'on',
  upnp: 'on',
  relayClient: 'on',
  autonat: 'on',
  holePunching: 'on',
  provideStrategy: 'roots',
  swarmPort: 4001,
  announce: [],
  gatewayHost: '127.0.0.1',
  gatewayPort: 8080,
  rpcHost: '127.0.0.1',
  rpcPort: 5001,
  rpcTlsCert: '',
  rpcTlsKey: '',
  rpcTokens: {},
  rpcAllowedOrigins: [],
  rpcAllowedHosts: [],
  /** A tenth of a small disk of today; what is fetched twice within a while is there the second time. */
  cacheMaxBytes: 10 * 1024 ** 3,
  memberName: '',
  zone: '',
  storageMaxBytes: 'auto',
  storageReserveBytes: 'auto',
  durability: 'disk',
  trustMedium: 'off',
  /** A machine that restarts for an update is back before. */
  repairGrace: '30min',
  repairBytesPerSecond: 0,
  logLevel: 'info'
}

/** Every setting, in the order in which they are shown. */
export const CONFIG_KEYS: readonly ConfigKey[] = ['network', 'dht', 'bootstrap', 'mdns', 'upnp', 'relayClient', 'autonat', 'holePunching', 'provideStrategy', 'swarmPort', 'announce', 'gatewayHost', 'gatewayPort', 'rpcHost', 'rpcPort', 'rpcTlsCert', 'rpcTlsKey', 'rpcTokens', 'rpcAllowedOrigins', 'rpcAllowedHosts', 'cacheMaxBytes', 'memberName', 'zone', 'storageMaxBytes', 'storageReserveBytes', 'durability', 'trustMedium', 'repairGrace', 'repairBytesPerSecond', 'logLevel']

/** One place that settings come from: `config.json` or the flags. */
export interface ConfigLayer {
  /** Shown beside each value: a path, `--gateway-port`. */
  sourceOf(key: string): string
  readonly values: Readonly<Record<string, unknown>>
}

/** What a setting may hold. */
export type SettingValue = string | number | readonly string[]

/** A setting that is in force, and what decided it. */
export interface EffectiveSetting {
  readonly key: ConfigKey
  readonly value: SettingValue
  readonly source: string
}

/**
 * Lays the layers over the defaults, later ones over earlier ones.
 *
 * @throws `INVALID` that names every unknown key and every wrong value of all layers at once.
 */
export function parseConfig (layers: readonly ConfigLayer[]): { config: Config, settings: EffectiveSetting[] } {
  const mistakes: string[] = []
  const config: Record<string, unknown> = { ...DEFAULT_CONFIG }
  const sources = new Map<string, string>()
  for (const { values, sourceOf } of layers) {
    for (const [key, value] of Object.entries(values)) {
      const mistake = mistakeIn(key, value)
      if (mistake !== undefined) mistakes.push(`${sourceOf(key)}: ${mistake}`)
      config[key] = value
      sources.set(key, sourceOf(key))
    }
  }
  if (mistakes.length > 0) throw new HoldfastError('INVALID', `The configuration is not valid:\n  ${mistakes.join('\n  ')}`, { mistakes })
  const checked = config as Config
  return { config: checked, settings: CONFIG_KEYS.map((key) => ({ key, value: shown(checked[key]), source: sources.get(key) ?? 'default' })) }
}

/** A value as it may be shown: tokens by their names alone. */
function shown (value: Config[ConfigKey]): SettingValue {
  if (typeof value !== 'object') return value
  return isList(value) ? value : Object.keys(value)
}

function isList (value: object): value is readonly string[] {
  return Array.isArray(value)
}

function mistakeIn (key: string, value: unknown): string | undefined {
  if (!isConfigKey(key)) return `${key} is no setting; there are ${CONFIG_KEYS.join(', ')}`
  const result = v.safeParse(SETTINGS[key], value)
  return result.success ? undefined : `${key} ${result.issues[0].message}${key === 'rpcTokens' ? '' : `, not ${JSON.stringify(value)}`}`
}

function isConfigKey (key: string): key is ConfigKey {
  return Object.hasOwn(SETTINGS, key)
}

/**
 * Reads the text of `config.json`.
 *
 * @throws `INVALID` when it is not a JSON object.
 */
export function parseConfigFile (text: string, path: string): ConfigLayer {
  let values: unknown
  try {
    values = JSON.parse(text)
  } catch (cause) {
    throw new HoldfastError('INVALID', `${path} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, { cause, path })
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new HoldfastError('INVALID', `${path} must hold a JSON object of settings`, { path })
  }
  return { values: { ...values }, sourceOf: () => path }
}

/**
 * Turns the words of a command line into a setting: numbers and lists where the setting is one, and `10GiB` for a number of bytes.
 *
 * @throws `INVALID` for an unknown key or a value that the setting cannot have.
 */
export function parseSetting (key: string, text: string): { key: ConfigKey, value: SettingValue } {
  if (key === 'rpcTokens') throw new HoldfastError('INVALID', 'Tokens are written into config.json by hand: on a command line others could read them', { key })
  const value = isConfigKey(key) ? valueOf(key, text) : text
  const mistake = mistakeIn(key, value)
  if (mistake !== undefined || !isConfigKey(key)) throw new HoldfastError('INVALID', `Cannot set that: ${mistake}`, { key })
  return { key, value: value as SettingValue }
}

/** How a value is printed, and read again by `parseSetting`. */
export function settingText (value: SettingValue): string {
  return typeof value === 'object' ? value.join(',') || 'none' : String(value)
}

/** Reads `A,B`, a JSON list, or `none`. What is in it is for the check of the setting to judge. */
export function parseList (text: string): unknown {
  if (!text.startsWith('[')) return text === 'none' ? [] : text.split(',').map((entry) => entry.trim())
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function valueOf (key: ConfigKey, text: string): unknown {
  if (Array.isArray(DEFAULT_CONFIG[key])) return parseList(text)
  if (key.includes('Bytes')) return parseBytes(text) ?? text
  return typeof DEFAULT_CONFIG[key] === 'number' ? wholeNumberIn(text) ?? text : text
}

function wholeNumberIn (text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined
}
