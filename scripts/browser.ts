import { findProgram } from '../test/programs.ts'
import { runTests } from './run.ts'

// Installed once here, where the test files, which run at the same time, would hinder each other.
findProgram('chromium', 'chromium')
runTests(['test/browser/*.test.ts'])
