import { run } from './run.ts'

const isLong = process.argv.includes('--long')
const { HOSTILE_TREES = '10000' } = process.env
// Its own time limit grows with the number of attacks; two files at once would measure each other.
run('tests', process.execPath, ['--test', '--test-concurrency=1', '--test-timeout=0', 'test/hostile/*.test.ts', 'packages/dag/src/disk/hostile-trees.test.ts'], { HOSTILE_TREES, ...isLong && { LONG: '1' } })
