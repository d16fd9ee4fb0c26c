import { installed, run, runTests } from './run.ts'

run('types', installed('tsc'), ['-p', 'tsconfig.json'])
run('lint', installed('oxlint'), ['--deny-warnings'])
runTests(['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts', 'test/*.test.ts', 'scripts/*.test.ts'])
