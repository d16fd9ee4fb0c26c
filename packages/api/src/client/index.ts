export { type Answer, type ApiClient, type ApiClientOptions, type CallOptions, createApiClient } from './api-client.ts'
export type { AddArgs, ArgsOf, ClusterEvent, ClusterPinArgs, CollectedEvent, EntryEvent, EventOf, ImportedCarEvent, MemberEvent, NodeIdentity, OperationName, Operations, PeerEvent, PinEvent, PinStatusEvent, ProgressEvent, ProvideEvent, RecipeArgs, ReleasedEvent, RepoStatEvent, SettingEvent, SourceArgs, StatEvent, StatsEvent } from '../operations.ts'
export type { CheckProgress, Durability, EngineFigures, ScrubStatus } from '../storage-engine.ts'
export { type ContentAnswer, type ContentRange, readContent } from './read-content.ts'
