export { type Copies, type HoldState, type PinMode, type Role } from './record/record.ts'
