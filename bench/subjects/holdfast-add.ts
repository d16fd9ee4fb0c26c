/**
 * Our importer and store of packs without a daemon around them, in a process of its own: `PATH REPOSITORY`.
 * Prints the seconds of the work alone, without the start of the process. As durable as the daemon's, but for the pin.
 */
import { openPackBlockstore } from '@holdfast/blockstore/pack'
import { importSources, openPathSources, recipeOf } from '@holdfast/dag'

const [path = '', repository = ''] = process.argv.slice(2)
await using store = await openPackBlockstore(repository)
const startedMs = performance.now()
const [root] = await importSources(store, await openPathSources([path], { recursive: true }), recipeOf())
console.log(JSON.stringify({ seconds: (performance.now() - startedMs) / 1000, result: root?.cid.toString() }))
