export { adoptBlockstore } from './adopted-blockstore.ts'
export { interfaceBlockstore } from './interface-blockstore.ts'
