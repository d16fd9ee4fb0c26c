import { run } from './run.ts'

for (const task of ['test', 'check-packed', 'crash', 'browser', 'interop', 'hostile', 'cluster']) run(task, process.execPath, [`scripts/${task}.ts`])
