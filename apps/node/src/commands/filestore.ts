import { HoldfastError } from '@holdfast/core/errors'
import { command, type CommandContext } from '../command.ts'
import { printable } from '../terminal/format.ts'

export const filestoreLs = command({
  usage: 'filestore ls [CID…]',
  summary: 'List the blocks that lie in files of yours',
  details: 'A line is CID, bytes, path and offset. They come of add --nocopy.',
  flags: {},

  async run (context, args) {
    await list(context, { cids: args, verify: false })
  }
})

export const filestoreVerify = command({
  usage: 'filestore verify [CID…]',
  summary: 'Check the blocks that lie in files of yours',
  details: 'Each line begins with ok, changed, no-file or error.',
  flags: {},

  async run (context, args) {
    const brokenCount = await list(context, { cids: args, verify: true })
    if (brokenCount > 0) throw new HoldfastError('CORRUPT', `${brokenCount} blocks are not in their files any more. Put the files back as they were, add them again, or fetch the blocks from peers: holdfast repo repair --from-peers`)
  }
})

async function list (context: CommandContext, request: { readonly cids: readonly string[], readonly verify: boolean }): Promise<number> {
  let brokenCount = 0
  using line = request.verify ? context.progress('Checking') : undefined
  for await (const answer of context.daemon.call('filestore-ls', request, context)) {
    if (answer.type !== 'event') continue
    if ('progress' in answer.event) {
      line?.update(answer.event.progress)
      continue
    }
    const { reference: { cid, path, offset, byteLength }, state, reason } = answer.event
    if (state !== undefined && state !== 'ok') brokenCount++
    const text = context.isJson
      ? JSON.stringify({ cid, path, offset, byteLength, state, reason })
      : `${state === undefined ? '' : `${state.padEnd(7)} `}${cid} ${byteLength} ${printable(path)} ${offset}`
    if (line === undefined) context.print(text)
    else line.aside(() => { context.print(text) })
  }
  return brokenCount
}
