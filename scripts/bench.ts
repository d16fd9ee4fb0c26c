import { run } from './run.ts'

run('bench', process.execPath, ['bench/run.ts', ...process.argv.slice(2)])
