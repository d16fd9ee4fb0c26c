import { pnpm } from './pnpm.ts'
import { run } from './run.ts'

// Turbo looks for pnpm on the path and reports how it is used unless it is told not to.
run('build', ...pnpm(['exec', 'turbo', 'run', 'build', '--output-logs=errors-only']), { TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' })
