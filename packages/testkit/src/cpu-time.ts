/**
 * How much CPU this thread has used, in milliseconds. What a turn costs is measured with it, not with a clock: on a machine whose
 * cores others share a clock also counts their turns.
 */
export function threadCpuMs (): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
