import { run } from './run.ts'

for (const task of ['test', 'check-packed', 'crash', 'browser', 'interop']) run(task, process.execPath, [`scripts/${task}.ts`])
