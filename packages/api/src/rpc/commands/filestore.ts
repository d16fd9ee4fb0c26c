import { parseCid } from '@holdfast/core'
import { filestoreLs } from '../../handlers/in-place.ts'
import type { EventOf } from '../../operations.ts'
import { type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { callExchange } from './call-exchange.ts'
import { link } from './dag.ts'

/** @see boxo filestore/util.go, `Status` */
const STATUS = { ok: 0, error: 10, 'no-file': 11, changed: 12 } as const

/** Lists the blocks that lie in files of the user. There is no order by file: those of one mostly stand together. */
export const ls: RpcCommand = filestoreCommand(false)

/** Reads each of them too, and tells whether it is still there. */
export const verify: RpcCommand = filestoreCommand(true)

function filestoreCommand (isVerifying: boolean): RpcCommand {
  return rpcCommand({
    args: { names: ['obj'], required: 0, repeats: true },
    options: { 'file-order': ['bool'] },
    async run (call) {
      const { node, args, reply } = call
      reply.asValues()
      await filestoreLs(node, { cids: args, verify: isVerifying }, callExchange<EventOf<'filestore-ls'>>(call, async (event) => {
        if (!('reference' in event)) return
        const { reference: { cid, path, offset, byteLength }, state = 'ok', reason = '' } = event
        await reply.emit({ Status: STATUS[state], ErrorMsg: reason, Key: link(parseCid(cid)), FilePath: path, Offset: offset, Size: byteLength })
      }))
    }
  })
}
