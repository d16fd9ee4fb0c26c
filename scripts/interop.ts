import { runTests } from './run.ts'

runTests(['test/interop/*.test.ts'])
