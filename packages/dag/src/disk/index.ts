export { type KnownContent, type TreeEntry } from '../tree-entry.ts'
export { ENTRY_BYTES } from './tree-writer.ts'
export { writeBytes, type WriteBytesOptions } from './write-bytes.ts'
export { FREE_RESERVE_BYTES, writeTree, type WriteTreeOptions, type WriteTreeResult } from './write-tree.ts'
