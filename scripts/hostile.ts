import { run } from './run.ts'

const isLong = process.argv.includes('--long')
// Its own time limit grows with the number of attacks; two files at once would measure each other.
run('tests', process.execPath, ['--test', '--test-concurrency=1', '--test-timeout=0', 'test/hostile/*.test.ts'], isLong ? { LONG: '1' } : {})
