export { type Answer, type ApiClient, type CallOptions, createApiClient } from './api-client.ts'
export type { AddArgs, ArgsOf, CollectedEvent, EntryEvent, EventOf, ImportedCarEvent, NodeIdentity, OperationName, Operations, PeerEvent, PinEvent, ProgressEvent, ProvideEvent, RecipeArgs, RepoStatEvent, SettingEvent, StatEvent, StatsEvent } from '../operations.ts'
