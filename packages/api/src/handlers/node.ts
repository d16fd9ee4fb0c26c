import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { EventOf } from '../operations.ts'

export async function id (node: ApiNode, _args: object, exchange: Exchange<EventOf<'id'>>): Promise<void> {
  await exchange.emit(node.describe())
}

export async function settings (node: ApiNode, _args: object, exchange: Exchange<EventOf<'settings'>>): Promise<void> {
  for (const setting of node.settings()) await exchange.emit(setting)
}

export async function stop (node: ApiNode): Promise<void> {
  node.stop()
}
