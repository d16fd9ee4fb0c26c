import { installed, run } from './run.ts'

run('build', installed('turbo'), ['run', 'build', '--no-daemon', '--output-logs=errors-only'])
