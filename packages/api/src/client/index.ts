export { type Answer, type ApiClient, type CallOptions, createApiClient } from './api-client.ts'
export type { AddArgs, ArgsOf, ClusterEvent, CollectedEvent, EntryEvent, EventOf, ImportedCarEvent, MemberEvent, NodeIdentity, OperationName, Operations, PeerEvent, PinEvent, ProgressEvent, ProvideEvent, RecipeArgs, RepoStatEvent, SettingEvent, StatEvent, StatsEvent } from '../operations.ts'
