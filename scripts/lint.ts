import { installed, run } from './run.ts'

run('lint', installed('oxlint'), ['--deny-warnings'])
