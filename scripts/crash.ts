import { runTests } from './run.ts'

// Each test has a time limit of its own, which grows with ROUNDS and CUTS.
runTests(['test/crash/*.test.ts'], ['--test-timeout=0'])
