import type { RpcCommand } from './rpc-command.ts'
import { add } from './commands/add.ts'
import * as block from './commands/block.ts'
import { cat, get, ls } from './commands/content.ts'
import * as dag from './commands/dag.ts'
import { events } from './commands/events.ts'
import * as filestore from './commands/filestore.ts'
import { filesStat } from './commands/files.ts'
import { nameResolve, resolve } from './commands/name.ts'
import { commandsOf, config, configShow, id, keyList, shutdown, version } from './commands/node.ts'
import { ping } from './commands/ping.ts'
import * as pin from './commands/pin.ts'
import { refs, refsLocal } from './commands/refs.ts'
import * as repo from './commands/repo.ts'
import * as routing from './commands/routing.ts'
import * as stats from './commands/stats.ts'
import * as swarm from './commands/swarm.ts'

/** Every command, by its path below `/api/v0/`. */
export const RPC_COMMANDS: Readonly<Record<string, RpcCommand>> = {
  add,
  'bitswap/stat': stats.bitswap,
  'block/get': block.get,
  'block/put': block.put,
  'block/rm': block.rm,
  'block/stat': block.stat,
  cat,
  commands: commandsOf(() => RPC_COMMANDS),
  config,
  'config/show': configShow,
  'dag/export': dag.exportCar,
  'dag/get': dag.get,
  'dag/import': dag.importCars,
  'dag/put': dag.put,
  'dag/resolve': dag.resolve,
  'dag/stat': dag.stat,
  events,
  'files/stat': filesStat,
  'filestore/ls': filestore.ls,
  'filestore/verify': filestore.verify,
  get,
  id,
  'key/list': keyList,
  'key/ls': keyList,
  ls,
  'name/resolve': nameResolve,
  'pin/add': pin.add,
  'pin/ls': pin.ls,
  'pin/rm': pin.rm,
  'pin/update': pin.update,
  'pin/verify': pin.verify,
  ping,
  refs,
  'refs/local': refsLocal,
  'repo/gc': repo.gc,
  'repo/ls': refsLocal,
  'repo/stat': repo.stat,
  'repo/verify': repo.verify,
  'repo/version': repo.version,
  resolve,
  'routing/findpeer': routing.findpeer,
  'routing/findprovs': routing.findprovs,
  'routing/provide': routing.provide,
  shutdown,
  'stats/bitswap': stats.bitswap,
  'stats/bw': stats.bw,
  'stats/repo': repo.stat,
  'swarm/addrs': swarm.addrs,
  'swarm/addrs/listen': swarm.addrsListen,
  'swarm/addrs/local': swarm.addrsLocal,
  'swarm/connect': swarm.connect,
  'swarm/disconnect': swarm.disconnect,
  'swarm/peers': swarm.peers,
  version
}
