export { type Durability } from './durable-folder.ts'
export { type LayoutName } from './layout.ts'
export { type FsBlockstoreOptions, openFsBlockstore } from './open-fs-blockstore.ts'
