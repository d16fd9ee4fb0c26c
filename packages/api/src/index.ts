export { createApiListener, MAX_ARGS_BYTES } from './api-listener.ts'
export { type ApiNode } from './api-node.ts'
export { type NodeIdentity, type SettingEvent } from './operations.ts'
