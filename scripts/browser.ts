import { runTests } from './run.ts'

runTests(['test/browser/*.test.ts'])
