/** Longest path of a request target, in bytes as received (gateway hardening: boxo has none, proxies commonly 8 KiB). */
export const MAX_PATH_BYTES: number = 8 * 1024

/** Most segments of a path, before `.` and `..` are resolved: 4.5 times the deepest UnixFS tree that is served. */
export const MAX_PATH_SEGMENTS = 256

/** Longest `Accept` or `If-None-Match` that is parsed, in bytes; both are scanned in full for every request. */
export const MAX_NEGOTIATION_HEADER_BYTES: number = 4 * 1024

/** Longest header value that is built from a path, in bytes: `Ipfs-Uri` may be left out above it (IPIP-0548). */
export const MAX_PATH_HEADER_BYTES: number = 8 * 1024

/** Most ranges of one `Range` header; the whole file is sent above it, as RFC 9110 §14.2 allows. */
export const MAX_RANGE_COUNT = 16

/** Entries on one page of a directory listing. */
export const LISTING_PAGE_ENTRIES = 1_000

/** Last page of a listing that can be asked for: page n walks over the n - 1 pages before it. */
export const MAX_LISTING_PAGE = 10_000

/** Deepest tree of a TAR, in levels: longest path that common extractors take at 32 bytes a name. */
export const MAX_TAR_DEPTH = 128

/** Longest path in a TAR, in bytes: PATH_MAX of Linux, more cannot be unpacked. */
export const MAX_TAR_PATH_BYTES = 4_096

/** Most symlinks in a TAR, whose paths are remembered at about 100 bytes each. */
export const MAX_TAR_SYMLINKS = 131_072

/** Bounds on what one gateway holds and gives out. */
export interface GatewayLimits {
  /** Most blocks in one CAR. Links that repeat can make a small DAG arbitrarily large. @default 4_194_304 */
  maxCarBlockCount: number
  /** Most entries in one TAR, for the same reason. @default 1_048_576 */
  maxTarEntryCount: number
  /** Entries of each table that remembers what paths and CIDs are, about 1 KiB each. @default 8_192 */
  metadataCacheEntries: number
}

/**
 * Defaults of `GatewayLimits`.
 *
 * 4 Mi blocks of 1 MiB are a CAR of 4 TiB, and the set that keeps them apart takes 64 MiB.
 */
export const DEFAULT_GATEWAY_LIMITS: Readonly<GatewayLimits> = {
  maxCarBlockCount: 4 * 1024 * 1024,
  maxTarEntryCount: 1024 * 1024,
  metadataCacheEntries: 8_192
}

/** Most bytes of request line and headers, for the `maxHeaderSize` of the server: the default of Node, stated so that it stays. */
export const MAX_REQUEST_HEADER_BYTES: number = 16 * 1024
