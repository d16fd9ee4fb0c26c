import type { RpcCommand } from './rpc-command.ts'
import { add } from './commands/add.ts'
import { cat, get, ls } from './commands/content.ts'
import { commandsOf, config, configShow, id, keyList, shutdown, version } from './commands/node.ts'
import * as pin from './commands/pin.ts'

/** Every command, by its path below `/api/v0/`. */
export const RPC_COMMANDS: Readonly<Record<string, RpcCommand>> = {
  id,
  version,
  shutdown,
  commands: commandsOf(() => RPC_COMMANDS),
  config,
  'config/show': configShow,
  'key/list': keyList,
  'key/ls': keyList,
  add,
  cat,
  get,
  ls,
  'pin/add': pin.add,
  'pin/rm': pin.rm,
  'pin/ls': pin.ls,
  'pin/update': pin.update,
  'pin/verify': pin.verify
}
