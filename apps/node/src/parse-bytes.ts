const BYTES_IN_UNIT: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4, kB: 1000, KB: 1000, MB: 1000 ** 2, GB: 1000 ** 3, TB: 1000 ** 4 }

/** Reads a number of bytes with or without a unit: `10GiB`, `500MB`, `4096`; `undefined` for anything else. */
export function parseBytes (text: string): number | undefined {
  const [, digits = '', unit = ''] = /^(\d{1,16}) ?([A-Za-z]*)$/.exec(text) ?? []
  const factor = Object.hasOwn(BYTES_IN_UNIT, unit) ? BYTES_IN_UNIT[unit] : undefined
  return digits === '' || factor === undefined ? undefined : Number(digits) * factor
}
