import { HoldfastError } from '@holdfast/core'
import { discardingWriter, type ImportAttributes, type ImportedEntry, openTreeImport, type RecipeOptions, recipeOf, type TreeImport } from '@holdfast/dag'
import { leasedWriter, MAX_PIN_NAME_BYTES } from '@holdfast/pins'
import { pinRoots } from '../../handlers/add.ts'
import { callerMistake } from '../rpc-request.ts'
import { type OptionValues, type RpcCall, type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { parseMode, parseMtime, type UploadedPart } from '../upload.ts'

/** Bytes of a file after which its progress is told again, as Kubo does. */
const PROGRESS_BYTES: number = 256 * 1024

const OPTIONS = {
  quiet: ['bool', 'q'],
  quieter: ['bool', 'Q'],
  silent: ['bool'],
  recursive: ['bool', 'r'],
  progress: ['bool', 'p'],
  'only-hash': ['bool', 'n'],
  'wrap-with-directory': ['bool', 'w'],
  pin: ['bool'],
  'pin-name': ['string'],
  'cid-version': ['int'],
  'raw-leaves': ['bool'],
  chunker: ['string', 's'],
  hash: ['string'],
  'max-file-links': ['int'],
  profile: ['string'],
  'preserve-mode': ['bool'],
  'preserve-mtime': ['bool'],
  mode: ['string'],
  mtime: ['string'],
  'mtime-nsecs': ['string'],
  trickle: ['bool', 't'],
  inline: ['bool'],
  'inline-limit': ['int'],
  'empty-dirs': ['bool'],
  nocopy: ['bool'],
  'to-files': ['string'],
  'max-directory-links': ['int'],
  'max-hamt-fanout': ['int']
} as const

type AddOptions = OptionValues<typeof OPTIONS>

/** Options of Kubo that would give another CID or another effect, and that this node does not have. */
const NOT_HERE = ['nocopy', 'to-files'] as const

/**
 * Imports an upload, file by file as it comes, and pins the roots.
 *
 * Blocks durable, then the pins, then the end of the answer, as at the door.
 */
export const add: RpcCommand = rpcCommand({
  options: OPTIONS,
  takesUpload: true,

  async run (call) {
    const { node, options, signal, reply, upload } = call
    for (const name of NOT_HERE) if (options[name] !== undefined && options[name] !== false) throw new HoldfastError('UNSUPPORTED', `Option ${name} of add is not supported by this node`)
    const pin = options.pin !== false && options['only-hash'] !== true
    if (!pin && options['pin-name'] !== undefined) throw callerMistake('pin-name option requires pin to be set')
    if (Buffer.byteLength(options['pin-name'] ?? '') > MAX_PIN_NAME_BYTES) throw callerMistake(`pin-name has more than ${MAX_PIN_NAME_BYTES} bytes`)
    requireReadableTimes(options)
    const recipe = recipeOf(recipeOptions(options))
    using lease = node.leases.open('rpc add')
    const writer = options['only-hash'] === true ? discardingWriter : leasedWriter(node.blocks, lease)
    await using tree = openTreeImport(writer, recipe, {
      signal,
      wrap: options['wrap-with-directory'],
      // As Kubo does it: what is only hashed is there to compare CIDs with.
      ignoreWidthsAtTop: options['only-hash'],
      emptyDirectories: options['empty-dirs'],
      onEntry: async (entry) => { await reply.emit(addedLine(entry)) }
    })
    reply.asValues()
    for await (const part of upload) await importPart(tree, part, call)
    const roots = await tree.finish()
    signal.throwIfAborted()
    if (options['only-hash'] !== true) for (const { cid } of roots) node.events.tell({ type: 'added', cid: cid.toString() })
    if (pin) await pinRoots(node, roots.map(({ cid }) => cid), options['pin-name'])
  }
})

async function importPart (tree: TreeImport, part: UploadedPart, { options, reply }: RpcCall<typeof OPTIONS>): Promise<void> {
  const attributes = attributesOf(part, options)
  switch (part.kind) {
    case 'directory': return tree.directory(part.path, attributes)
    case 'symlink': return await tree.symlink(part.path, part.target, attributes)
    case 'file': return await tree.file(part.path, options.progress === true ? withProgress(part, reply) : part.content, attributes)
  }
}

async function * withProgress ({ path, content }: UploadedPart & { kind: 'file' }, reply: RpcCall['reply']): AsyncIterable<Uint8Array> {
  const name = path.filter((segment) => segment !== '').join('/')
  let byteLength = 0
  let toldByteLength = -1
  for await (const piece of content) {
    byteLength += piece.byteLength
    if (byteLength - toldByteLength >= PROGRESS_BYTES) await reply.emit({ Name: name, Bytes: toldByteLength = byteLength })
    yield piece
  }
  if (byteLength !== toldByteLength) await reply.emit({ Name: name, Bytes: byteLength })
}

/** Kubo's recipe of long ago comes with its CID version: who asks for 0 wants the CIDs that everybody else has for it. */
function recipeOptions (options: AddOptions): RecipeOptions {
  const keepsAttributes = (['preserve-mode', 'preserve-mtime', 'mode', 'mtime'] as const).some((name) => options[name] !== undefined && options[name] !== false)
  if (options['raw-leaves'] === true && keepsAttributes) throw callerMistake("raw-leaves can't be used with UnixFS metadata like mode or modification time")
  return {
    profile: options.profile ?? (options['cid-version'] === 0 ? 'unixfs-v0-2015' : undefined),
    cidVersion: options['cid-version'],
    hash: options.hash,
    rawLeaves: options['raw-leaves'],
    chunker: options.chunker === '' ? undefined : options.chunker,
    trickle: options.trickle,
    maxFileLinks: options['max-file-links'],
    maxDirectoryLinks: options['max-directory-links'],
    maxHamtFanout: options['max-hamt-fanout'],
    inline: options.inline,
    inlineLimit: options['inline-limit'],
    keepsAttributes
  }
}

/** What cannot be read in an option is a mistake; in a part of the upload it is passed over. */
function requireReadableTimes ({ mode, mtime, 'mtime-nsecs': nanoseconds }: AddOptions): void {
  if (mode !== undefined && parseMode(mode).mode === undefined) throw callerMistake(`mode must be octal, such as 0644, not ${JSON.stringify(mode.slice(0, 100))}`)
  if (mtime !== undefined && parseMtime(mtime).mtime === undefined) throw callerMistake(`mtime must be whole seconds since 1970, not ${JSON.stringify(mtime.slice(0, 100))}`)
  if (nanoseconds === undefined) return
  if (mtime === undefined) throw callerMistake('mtime-nsecs needs mtime')
  if (!/^\d{1,9}$/.test(nanoseconds)) throw callerMistake(`mtime-nsecs must be below a billion, not ${JSON.stringify(nanoseconds.slice(0, 100))}`)
}

/** What UnixFS keeps of an entry: what the options say for all, or what came with it when they ask for that. */
function attributesOf ({ attributes }: UploadedPart, options: AddOptions): ImportAttributes {
  const forced = { ...parseMode(options.mode ?? null), ...parseMtime(options.mtime ?? null, options['mtime-nsecs']) }
  return {
    ...(options['preserve-mode'] === true && attributes.mode !== undefined ? { mode: attributes.mode } : {}),
    ...(options['preserve-mtime'] === true && attributes.mtime !== undefined ? { mtime: attributes.mtime } : {}),
    ...forced
  }
}

function addedLine ({ path, cid, kind, tsize }: ImportedEntry): { Name: string, Hash: string, Size: string } {
  const name = path === '' && kind !== 'directory' ? cid.toString() : path
  return { Name: name, Hash: cid.toString(), Size: String(tsize) }
}
