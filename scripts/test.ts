import { checkTypes, installed, run, runTests } from './run.ts'

checkTypes()
run('lint', installed('oxlint'), ['--deny-warnings'])
runTests(['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts', 'test/*.test.ts', 'scripts/*.test.ts'])
