import { checkTypes } from './run.ts'

checkTypes()
