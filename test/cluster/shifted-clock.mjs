// Loaded before a daemon (`node --import`): its clock is wrong by so many milliseconds. What measures time is not.
const offsetMs = Number(process.env.HOLDFAST_TEST_CLOCK_OFFSET_MS ?? 0)
const RightDate = Date

globalThis.Date = class Date extends RightDate {
  constructor (...given) {
    if (given.length === 0) super(RightDate.now() + offsetMs)
    else super(...given)
  }

  static now () {
    return RightDate.now() + offsetMs
  }
}
