import { findProgram } from '../test/programs.ts'
import { runTests } from './run.ts'

// Installed once here, where the test files, which run at the same time, would hinder each other.
findProgram('xfs_io', 'xfsprogs')
// Each test has a time limit of its own, which grows with ROUNDS and CUTS.
const { CRASH_WORKLOADS = '10' } = process.env
runTests(['test/crash/*.test.ts', 'packages/blockstore/src/pack/pack-crash.test.ts'], ['--test-timeout=0'], { CRASH_WORKLOADS })
