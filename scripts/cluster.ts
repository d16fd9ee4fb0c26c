import { run } from './run.ts'

const isLong = process.argv.includes('--long')
// Conditions are waited for with deadlines of their own.
run('tests', process.execPath, ['--test', '--test-concurrency=2', '--test-timeout=0', 'test/cluster/*.test.ts'], isLong ? { LONG: '1' } : {})
