/** What the surroundings of the process say; the only place that reads environment variables. */
export interface Environment {
  /** `HOLDFAST_PATH`: repository when no flag names one. */
  readonly repository: string | undefined
  /** `XDG_RUNTIME_DIR`: where sockets of this user live. */
  readonly runtimeFolder: string | undefined
}

/** Reads the environment variables that Holdfast knows. */
export function readEnvironment (variables: NodeJS.ProcessEnv = process.env): Environment {
  return { repository: variables.HOLDFAST_PATH, runtimeFolder: variables.XDG_RUNTIME_DIR }
}
