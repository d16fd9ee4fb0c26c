import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { ArgsOf, EventOf, OperationName } from '../operations.ts'
import { add } from './add.ts'
import { dagExport, dagImport } from './car.ts'
import { dagStat } from './dag-stat.ts'
import { memberInvite, memberJoin, memberLeave, memberLs, memberRm, memberRole } from './members.ts'
import { id, settings, stop } from './node.ts'
import { connect, disconnect, findProviders, peers, provide, stats } from './network.ts'
import { pinStatus } from './cluster-pins.ts'
import { pinStat, pinWhy } from './pin-keepers.ts'
import { pinUpdate } from './pin-update.ts'
import { pinAdd, pinLs, pinRm } from './pins.ts'
import { get } from './get.ts'
import { cat, ls, stat } from './read.ts'
import { refs } from './refs.ts'
import { gc, repoRepair, repoScrub, repoStat, repoVerify } from './repo.ts'

/** Carries out one operation; resolves when everything was sent. */
export type Handler<Name extends OperationName> = (node: ApiNode, args: ArgsOf<Name>, exchange: Exchange<EventOf<Name>>) => Promise<void>

/** What the daemon does for each operation. */
export const HANDLERS: { readonly [Name in OperationName]: Handler<Name> } = {
  id,
  stop,
  settings,
  add,
  cat,
  get,
  ls,
  stat,
  'dag-import': dagImport,
  refs,
  'dag-stat': dagStat,
  'dag-export': dagExport,
  'pin-add': pinAdd,
  'pin-rm': pinRm,
  'pin-ls': pinLs,
  'pin-status': pinStatus,
  'pin-why': pinWhy,
  'pin-stat': pinStat,
  'pin-update': pinUpdate,
  gc,
  'member-invite': memberInvite,
  'member-join': memberJoin,
  'member-leave': memberLeave,
  'member-ls': memberLs,
  'member-rm': memberRm,
  'member-role': memberRole,
  peers,
  connect,
  disconnect,
  stats,
  provide,
  'find-providers': findProviders,
  'repo-stat': repoStat,
  'repo-verify': repoVerify,
  'repo-repair': repoRepair,
  'repo-scrub': repoScrub
}
