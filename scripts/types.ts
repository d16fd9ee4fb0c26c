import { installed, run } from './run.ts'

run('types', installed('tsc'), ['-p', 'tsconfig.json'])
