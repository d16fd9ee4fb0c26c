import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { compare, type Row, secondsOf } from '../measure.ts'
import { daemon, holdfast, output } from '../processes.ts'

/** What a command costs before it does anything. */
export const START_ROWS: readonly Measurement[] = [{ name: 'start of a command', run: startOfCommand }]

async function startOfCommand ({ folder, options: { rounds } }: Bench): Promise<Row[]> {
  const repository = join(folder, 'start')
  await using _node = await daemon(repository)
  await holdfast(['--path', repository, 'id'])
  return [await compare('start of a command', 'ms', [
    { name: 'Holdfast', run: async () => 1000 * await secondsOf(async () => { await holdfast(['--path', repository, 'id']) }) },
    { name: 'node -e 0', run: async () => 1000 * await secondsOf(async () => { await output(['-e', '0']) }) }
  ], rounds * 3, '`holdfast id`, less is better')]
}
