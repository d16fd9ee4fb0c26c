export { type Answer, type ApiClient, type CallOptions, createApiClient } from './api-client.ts'
export type { AddArgs, ArgsOf, CollectedEvent, EntryEvent, EventOf, ImportedCarEvent, NodeIdentity, OperationName, Operations, PinEvent, ProgressEvent, RecipeArgs, RepoStatEvent, SettingEvent, StatEvent } from '../operations.ts'
