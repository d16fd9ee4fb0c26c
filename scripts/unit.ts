import { runTests } from './run.ts'

const given = process.argv.slice(2)
runTests(given.length > 0 ? given : ['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts'])
