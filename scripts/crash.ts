import { runTests } from './run.ts'

runTests(['test/crash/*.test.ts'])
