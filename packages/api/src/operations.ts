/**
 * What can be asked at the door: one entry an operation, with the shape of its arguments and the
 * events that it answers with. Types only at run time for the client; `operation-schemas.ts` checks them in the daemon.
 */

import type { PathSourceOptions } from '@holdfast/dag'
import type { Durability, EngineFigures, ScrubStatus } from './storage-engine.ts'

/** A recipe as it travels; see `RecipeOptions` of @holdfast/dag. */
export interface RecipeArgs {
  readonly profile?: string | undefined
  readonly cidVersion?: number | undefined
  readonly hash?: string | undefined
  readonly rawLeaves?: boolean | undefined
  readonly chunker?: string | undefined
  readonly trickle?: boolean | undefined
  readonly maxFileLinks?: number | undefined
  readonly maxDirectoryLinks?: number | undefined
  readonly maxHamtFanout?: number | undefined
  readonly inline?: boolean | undefined
  readonly inlineLimit?: number | undefined
}

/** What is read from the disk, as it travels. */
export type SourceArgs = PathSourceOptions

/** What a pin of the cluster asks for; nothing without `copies`. */
export interface ClusterPinArgs {
  readonly copies?: number | 'all' | undefined
  readonly meta?: Readonly<Record<string, string>> | undefined
  readonly zones?: readonly string[] | undefined
  /** In ms since 1970. */
  readonly expireAtMs?: number | undefined
  /** In ms from now on, by the clock of the cluster. */
  readonly expireInMs?: number | undefined
}

export interface AddArgs extends RecipeArgs, SourceArgs, ClusterPinArgs {
  /** Absolute paths on this machine, read by the daemon; empty when the content follows as the body. */
  readonly paths: readonly string[]
  /** Name of the body's file in the directory around it. */
  readonly stdinName?: string | undefined
  readonly wrap?: boolean | undefined
  readonly emptyDirectories?: boolean | undefined
  readonly pin?: boolean | undefined
  /** Name of the pin. */
  readonly name?: string | undefined
}

export interface GetArgs {
  readonly path: string
  /**
   * The caller has a part of the tree. After the entry of each file the daemon waits for a line with the bytes that it has; when that is
   * not 0, it tells what they are made of, says `checked`, and waits for a line with the offset from which content is wanted.
   */
  readonly resume?: boolean | undefined
  /** All of it as a TAR. */
  readonly archive?: boolean | undefined
  /** Compressed with gzip: the archive, or without `archive` the one file. */
  readonly compress?: boolean | undefined
  /** Of gzip, from 1 to 9. */
  readonly compressionLevel?: number | undefined
}

/** Content of the last entry follows as bytes; those of a `node` are its length, and to be compared. */
export type GetEvent =
  | { readonly entry: EntryEvent }
  /** A leaf of the last entry, by its CID. */
  | { readonly leaf: { readonly cid: string, readonly start: number, readonly byteLength: number } }
  /** Bytes that follow belong to a node, and begin there. */
  | { readonly node: { readonly start: number, readonly byteLength: number } }
  | { readonly checked: true }

/**
 * A block whose content goes into an answer, and where it lies on this machine.
 *
 * Whoever reads it must find the digest, and `head` and `tail` around the content, or ask for the bytes instead.
 */
export interface PlacedBlock {
  readonly path: string
  readonly offset: number
  readonly byteLength: number
  /** SHA-256 of the block, in base64. */
  readonly sha256: string
  /** What stands before and behind the content in the block, in base64. */
  readonly head: string
  readonly tail: string
  /** The part of the content that is asked for. */
  readonly from: number
  readonly to: number
}

/** Content to be read by the caller, in this order, before what follows in the answer. */
export interface PlacesEvent {
  readonly places: readonly PlacedBlock[]
}

/** Work done so far, in all. Which fields there are depends on the operation. */
export interface ProgressEvent {
  readonly progress: {
    readonly byteLength?: number
    readonly totalByteLength?: number
    readonly blockCount?: number
    readonly fileCount?: number
    readonly phase?: string
    /** Peers that take part: the other figures are then of what was fetched from them. */
    readonly peerCount?: number
  }
}

/** An entry of a DAG as a person sees it. */
export interface EntryEvent {
  readonly kind: 'file' | 'directory' | 'symlink' | 'ipld' | 'opaque'
  readonly cid: string
  readonly path: string
  /** Bytes of content; of a directory, bytes of all its blocks. */
  readonly byteLength?: number | undefined
  readonly mode?: number | undefined
  /** Seconds since 1970, with fraction. */
  readonly mtimeSeconds?: number | undefined
  readonly target?: string | undefined
}

export interface PinEvent {
  readonly cid: string
  readonly kind: 'recursive' | 'direct' | 'indirect'
  readonly name?: string | undefined
  readonly createdMs?: number | undefined
  /** For an indirect pin: a root that keeps it. */
  readonly root?: string | undefined
  /** For a pin of this node: whom it is for. Absent: the user. */
  readonly owner?: 'cluster' | undefined
  /** For a pin of the cluster: what was asked for. */
  readonly cluster?: ClusterPinEvent | undefined
}

export interface ClusterPinEvent {
  /** 32 hexadecimal digits. */
  readonly id: string
  readonly copies: { readonly min: number, readonly max: number | 'all' }
  readonly meta: Readonly<Record<string, string>>
  readonly zones?: readonly string[] | undefined
  readonly expireAtMs?: number | undefined
  /** The member that added it. */
  readonly origin: string
}

/** How the copies of a pin of the cluster are, as far as this node knows. */
export interface PinStatusEvent extends Omit<ClusterPinEvent, 'copies'> {
  readonly cid: string
  readonly kind: 'recursive' | 'direct' | 'indirect'
  readonly name?: string | undefined
  readonly createdMs?: number | undefined
  readonly state: 'pinned' | 'degraded' | 'pinning' | 'unavailable'
  /** Wanted. */
  readonly copies: { readonly min: number, readonly max: number }
  /** Copies that are verified, and whose holders are there. */
  readonly countedCount: number
  /** Zones that these are in. */
  readonly zoneCount: number
  readonly holders: ReadonlyArray<{
    readonly peer: string
    readonly name?: string
    readonly zone?: string
    readonly state: 'verified' | 'fetching' | 'queued' | 'waiting' | 'refused' | 'failed' | 'corrupt'
    readonly isCounted: boolean
    readonly byteLength: number
    readonly verifiedAtMs?: number
    readonly percent?: number
    readonly bytesPerSecond?: number
    readonly why?: string
  }>
  /** Why fewer copies count than wanted. */
  readonly missing?: string | undefined
}

export interface NodeIdentity {
  readonly peerId: string
  readonly agent: string
  readonly swarm: readonly string[]
  readonly reachability: ReachabilityEvent
  readonly gateway: string
  readonly rpc: string
  readonly repository: string
  /** How the blocks are stored, and what an acknowledged one survives. */
  readonly engine: string
  readonly durability: Durability
}

/** Whether other machines can dial this node, and how that is known, in a sentence. */
export interface ReachabilityEvent {
  readonly state: 'public' | 'private' | 'unknown'
  readonly how: string
}

export interface SettingEvent {
  readonly key: string
  readonly value: unknown
  /** `default`, the file, the variable or the flag that decided. */
  readonly source: string
}

/** A peer as `peers` tells it; the fields are those of `ConnectedPeer` of @holdfast/network. */
export interface PeerEvent {
  readonly peer: string
  readonly addresses: readonly string[]
  readonly direction: 'inbound' | 'outbound'
  readonly latencyMs?: number
  readonly protocols: readonly string[]
  readonly sentBytes: number
  readonly receivedBytes: number
  readonly sinceMs: number
  readonly encryption: string
  readonly isRelayed: boolean
}

interface ByteCounts {
  readonly sentBytes: number
  readonly receivedBytes: number
}

export interface StatsEvent {
  readonly peerCount: number
  readonly reachability: ReachabilityEvent
  readonly traffic: {
    readonly total: ByteCounts
    readonly byProtocol: Readonly<Record<string, ByteCounts>>
    readonly byPeer: Readonly<Record<string, ByteCounts>>
  }
  readonly announcements: {
    readonly strategy: string
    readonly waitingCount: number
    readonly last?: ProvideEvent & { readonly atMs: number }
    readonly round: { readonly isRunning: boolean, readonly announcedCount: number, readonly failedCount: number, readonly startedAtMs?: number, readonly nextAtMs?: number }
  }
}

/** What became of an announcement: how many peers took it, and why others did not. */
export interface ProvideEvent {
  readonly cid: string
  readonly acceptedCount: number
  readonly failures: readonly string[]
}

/** What became of the copies for a cluster that the node left. */
export interface ReleasedEvent {
  /** Contents that are pins of the node alone now. */
  readonly keptCount: number
  /** Contents that the node had no copy of. */
  readonly absentCount: number
}

/** The cluster that the node is in. */
export interface ClusterEvent {
  readonly id: string
  readonly name: string
  readonly role: 'admin' | 'member' | 'reader' | 'removed'
}

export interface MemberEvent {
  readonly peer: string
  readonly name?: string | undefined
  readonly role: 'admin' | 'member' | 'reader'
  readonly isSelf: boolean
  readonly zone?: string | undefined
  /** Declared; absent until it said so. */
  readonly capacityBytes?: number | undefined
  /** As its last heartbeat said. */
  readonly usedBytes?: number | undefined
  readonly isFull?: boolean | undefined
  readonly version?: string | undefined
  readonly addresses: readonly string[]
  readonly isAlive: boolean
  /** Absent when it was not heard since the node started. */
  readonly lastSeenAgoMs?: number | undefined
  /** Copies that it says it has. */
  readonly copyCount: number
  /** How far its clock is ahead of the time that most members agree on, below 0 when it is behind; absent when it was not heard since the node started. */
  readonly clockAheadMs?: number | undefined
}

interface Operation<Args, Event> {
  readonly args: Args
  readonly event: Event
}

/** Every operation of the door. */
export interface Operations {
  readonly id: Operation<object, NodeIdentity>
  readonly stop: Operation<object, never>
  readonly settings: Operation<object, SettingEvent>
  /** `unreadable`: an entry that was left out, with `ignoreErrors` only. */
  readonly add: Operation<AddArgs, ProgressEvent | { readonly unreadable: { readonly path: string, readonly reason: string } } | { readonly entry: EntryEvent, readonly isRoot: boolean } | { readonly pinned: readonly string[] } | { readonly pin: PinEvent }>
  /** `places`: the caller reads this machine's files, and is told where content lies instead of being sent it. */
  readonly cat: Operation<{ readonly path: string, readonly offset?: number | undefined, readonly length?: number | undefined, readonly places?: boolean | undefined }, ProgressEvent | PlacesEvent>
  readonly get: Operation<GetArgs, GetEvent | ProgressEvent>
  readonly ls: Operation<{ readonly path: string, readonly size?: boolean | undefined }, EntryEvent | ProgressEvent>
  readonly stat: Operation<{ readonly path: string, readonly dag?: boolean | undefined }, StatEvent | ProgressEvent>
  readonly 'dag-import': Operation<{ readonly paths: readonly string[], readonly pinRoots?: boolean | undefined, readonly name?: string | undefined }, ProgressEvent | ImportedCarEvent>
  /** `unreachable`: a root below which a block could not be had. */
  readonly refs: Operation<{ readonly paths: readonly string[], readonly recursive?: boolean | undefined, readonly unique?: boolean | undefined, readonly maxDepth?: number | undefined }, ProgressEvent | { readonly ref: { readonly from: string, readonly cid: string, readonly name: string } } | { readonly unreachable: { readonly path: string, readonly reason: string } }>
  /** `unique`: each block once; `total`: each once in every root that it is below. */
  readonly 'dag-stat': Operation<{ readonly paths: readonly string[] }, (ProgressEvent & { readonly counting?: BlockSumEvent & { readonly cid: string } }) | { readonly dag: BlockSumEvent & { readonly cid: string } } | { readonly unique: BlockSumEvent, readonly total: BlockSumEvent }>
  /** With `localOnly` no peer is asked, and what is absent below the root is left out. */
  readonly 'dag-export': Operation<{ readonly path: string, readonly localOnly?: boolean | undefined }, ProgressEvent>
  readonly 'pin-add': Operation<PinAddArgs, ProgressEvent | { readonly pin: PinEvent }>
  readonly 'pin-rm': Operation<PinRmArgs, { readonly pin: PinEvent }>
  readonly 'pin-update': Operation<{ readonly from: string, readonly to: string, readonly unpin?: boolean | undefined, readonly timeoutMs?: number | undefined }, ProgressEvent | { readonly status: PinStatusEvent } | { readonly updated: { readonly from: string, readonly to: string } }>
  readonly 'pin-status': Operation<PinStatusArgs, { readonly status: PinStatusEvent }>
  readonly 'pin-ls': Operation<{ readonly path?: string | undefined, readonly kind?: 'recursive' | 'direct' | 'indirect' | 'all' | undefined, readonly name?: string | undefined }, PinEvent>
  readonly 'pin-why': Operation<{ readonly path: string }, WhyEvent>
  readonly 'pin-stat': Operation<{ readonly path: string }, { readonly size: PinSizeEvent }>
  readonly gc: Operation<{ readonly dryRun?: boolean | undefined, readonly full?: boolean | undefined }, ProgressEvent | CollectedEvent>
  readonly 'member-invite': Operation<{ readonly role?: 'admin' | 'member' | 'reader' | undefined, readonly zone?: string | undefined, readonly lifetimeMs?: number | undefined }, { readonly invite: string, readonly expiresMs: number }>
  /** With `leave` the node leaves a cluster in which it is alone. */
  readonly 'member-join': Operation<{ readonly invite: string, readonly leave?: boolean | undefined }, { readonly cluster: ClusterEvent, readonly released?: ReleasedEvent | undefined }>
  /** With `force` also when no admin can be told. */
  readonly 'member-leave': Operation<{ readonly force?: boolean | undefined }, { readonly left: ClusterEvent, readonly released: ReleasedEvent }>
  readonly 'member-ls': Operation<object, { readonly cluster: ClusterEvent } | { readonly member: MemberEvent }>
  /** By peer id or name. */
  readonly 'member-rm': Operation<{ readonly peer: string }, { readonly removed: string }>
  readonly 'member-role': Operation<{ readonly member: string, readonly role: 'admin' | 'member' | 'reader' }, { readonly changed: { readonly peer: string, readonly role: 'admin' | 'member' | 'reader' } }>
  readonly peers: Operation<object, PeerEvent>
  readonly connect: Operation<{ readonly address: string }, { readonly peer: string }>
  readonly disconnect: Operation<{ readonly peer: string }, { readonly peer: string }>
  readonly stats: Operation<object, StatsEvent>
  readonly provide: Operation<{ readonly cid: string }, ProvideEvent>
  readonly 'find-providers': Operation<{ readonly cid: string, readonly limit?: number | undefined }, { readonly peer: string, readonly addresses: readonly string[] }>
  readonly 'repo-stat': Operation<object, RepoStatEvent>
  readonly 'repo-verify': Operation<{ readonly sample?: number | undefined }, ProgressEvent | { readonly damaged: { readonly cid: string, readonly reason: string } } | { readonly verified: { readonly blockCount: number, readonly damagedCount: number, readonly indexRepairCount: number, readonly isIndexBroken: boolean } }>
  readonly 'repo-repair': Operation<{ readonly known?: boolean | undefined }, ProgressEvent | { readonly damaged: { readonly cid: string, readonly isRepaired: boolean, readonly why?: string | undefined } } | { readonly repaired: RepairedEvent }>
  readonly 'repo-scrub': Operation<{ readonly action: 'start' | 'pause' | 'status', readonly bytesPerSecond?: number | undefined }, { readonly scrub: ScrubStatus }>
}

export interface PinAddArgs extends ClusterPinArgs {
  readonly path: string
  readonly kind: 'recursive' | 'direct'
  readonly name?: string | undefined
  /** With copies: whether this node fetches and keeps the content too, before anything else. @default true */
  readonly local?: boolean | undefined
}

export interface PinRmArgs {
  /** What is unpinned; or else `id`. */
  readonly path?: string | undefined
  /** One pin of the cluster. */
  readonly id?: string | undefined
  readonly kind?: 'recursive' | 'direct' | undefined
  readonly name?: string | undefined
  /** Leaves the cluster's pins alone. @default false */
  readonly local?: boolean | undefined
}

export interface PinStatusArgs {
  /** Of which content, or of which pin; all without either. */
  readonly path?: string | undefined
  readonly id?: string | undefined
  readonly kind?: 'recursive' | 'direct' | undefined
  readonly name?: string | undefined
  /** Tells each change until there are enough copies. */
  readonly wait?: boolean | undefined
  /** How many are enough. @default the least that the pin asks for */
  readonly waitFor?: number | undefined
  readonly timeoutMs?: number | undefined
}

export interface StatEvent {
  readonly stat: EntryEvent & {
    /** Blocks below, each once; only when the DAG was walked. */
    readonly blockCount?: number
    /** Bytes of those blocks. */
    readonly blockByteLength?: number
  }
}

export interface ImportedCarEvent {
  readonly imported: {
    readonly source: string
    readonly roots: readonly string[]
    /** Blocks with repeats, and their bytes. */
    readonly blockCount: number
    readonly byteLength: number
    /** Roots that were pinned, after all archives were read. */
    readonly pinned: readonly string[]
  }
}

/** Who keeps a block: one event a pin, or one that says why it is here without any. */
export type WhyEvent =
  /** `path` leads from the root of the pin to the block. */
  | { readonly keeper: { readonly pin: PinEvent, readonly path: readonly string[] } }
  | { readonly other: 'in use' | 'cached' | 'garbage' | 'absent' }
  /** There are more links above the block than are followed. */
  | { readonly cutShort: true }

export interface PinSizeEvent {
  readonly cid: string
  readonly total: BlockSumEvent
  /** What other pins, or DAGs around this one, keep as well. */
  readonly shared: BlockSumEvent
  /** What would go with it. */
  readonly own: BlockSumEvent
}

export interface BlockSumEvent {
  readonly blockCount: number
  readonly byteLength: number
}

export interface CollectedEvent {
  /** `keptCount`: blocks that were looked at and stay. */
  readonly collected: { readonly keptCount: number, readonly removedCount: number, readonly removedByteLength: number }
}

export interface RepairedEvent {
  readonly blockCount: number
  readonly damagedCount: number
  readonly repairedCount: number
  readonly indexRepairCount: number
  readonly isIndexBroken: boolean
}

export interface RepoStatEvent {
  readonly repository: string
  readonly version: number
  readonly engine: string
  readonly durability: Durability
  /** Blocks, index and limits on the disk, as far as the engine knows. */
  readonly storage: EngineFigures
  readonly blockCount: number
  readonly byteLength: number
  /** Those of the blocks that were only fetched, and from how many bytes on the oldest go. */
  readonly cache: { readonly blockCount: number, readonly byteLength: number, readonly maxBytes: number }
  readonly pinCount: number
  readonly journalByteLength: number
  /** Bytes that the file system has left for us. */
  readonly freeByteLength: number
}

export type OperationName = keyof Operations

/** Arguments of an operation. */
export type ArgsOf<Name extends OperationName> = Operations[Name]['args']

/** Events of an operation. */
export type EventOf<Name extends OperationName> = Operations[Name]['event']
