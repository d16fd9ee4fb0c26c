/**
 * What a peer may send and make us hold.
 *
 * The values at which a message is refused are wider than what we keep of it, because honest peers
 * go past the latter: boxo fills answers by bytes, and sends want-lists of up to 2 MiB.
 */

/** Bytes of the longest message, without its length prefix (Bitswap specification, "Wire Format"). */
export const MAX_MESSAGE_BYTES: number = 4 * 1024 * 1024

/** Bytes of the longest CID: four varints of 10 and a digest of 128 (boxo bitswap/internal/defaults). */
export const MAX_WIRE_CID_BYTES = 168

/** Blocks in one message; a larger number is refused. boxo puts hundreds of tiny ones in 16 KiB. */
export const MAX_MESSAGE_BLOCKS = 1024

/** HAVE and DONT_HAVE answers in one message; a larger number is refused. */
export const MAX_MESSAGE_PRESENCES = 4096

/** Entries in the want-list of one message; a larger number is refused. */
export const MAX_MESSAGE_WANTS = 65_536

/** Wants that we remember for one peer, and that we have open at one (boxo: MaxQueuedWantlistEntriesPerPeer). */
export const MAX_LIVE_WANTS = 1024

/** Cancels that are read of one message: as many as a full want-list and as many that just left it. */
export const MAX_MESSAGE_CANCELS: number = 2 * MAX_LIVE_WANTS

/** Blocks that are hashed before the event loop gets a turn. */
export const BLOCKS_PER_SLICE = 64

/**
 * Bytes that are hashed before the event loop gets a turn.
 *
 * One block is hashed where it arrives: 2 MiB take 1.2 ms of SHA-256, 8 ms of SHA3-512, the slowest function of Node's own
 * (measured); handing the bytes to a thread would cost as much. The functions that Node lacks pause by themselves.
 */
export const BYTES_PER_SLICE: number = 1024 * 1024

/** Presences and want-list entries that are worked on before the event loop gets a turn. */
export const PRESENCES_PER_SLICE = 1024
