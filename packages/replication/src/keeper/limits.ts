/** What bounds the work of a keeper. */

const MINUTE_MS = 60_000
const HOUR_MS: number = 60 * MINUTE_MS
const DAY_MS: number = 24 * HOUR_MS

/** How long a member may be gone before its copies are made elsewhere, in ms: most that go, only start anew. reference/replication.md 5.6. */
export const GRACE_MS: number = 30 * MINUTE_MS

/** How often everything that is not as wanted is looked at again, in ms. reference/replication.md 5.6. */
export const KEEPER_INTERVAL_MS = 30_000

/** Fetches at once of content that somebody says to have. reference/replication.md 5.6. */
export const CONCURRENT_FETCHES = 8

/** Content of which others say that it has at most so many bytes is small: a fetch of it is a round trip and a few syncs, which many share. */
export const SMALL_BYTES: number = 256 * 1024

/** Content that others say has at most so many bytes is fetched by each member alone: asking one another costs more than sending it again. */
export const MAX_UNSHARED_BYTES: number = 64 * 1024

/** Fetches at once of small content, in slots of their own: together 16 MiB, as much as the others have under way. */
export const CONCURRENT_SMALL_FETCHES = 64

/** First copies at once of content that a user of this node keeps too: it is read and not fetched, eight blocks of each at a time, and others wait to hear that it is there. */
export const CONCURRENT_LOCAL_COPIES = 16

/** Fetches at once of content that nobody says to have. They have slots of their own, for each may last until it stalls. */
export const CONCURRENT_SEARCHES = 4

/** How long a fetch may go without a block, in ms. */
export const STALL_MS = 30_000

/** Waits after fetches that failed, in ms: each is twice the one before. reference/replication.md 5.6. */
export const FIRST_RETRY_MS: number = MINUTE_MS
export const MAX_RETRY_MS: number = 6 * HOUR_MS

/** After so long a member without space tries again, and others look at it again, in ms. */
export const REFUSAL_MS: number = 10 * MINUTE_MS

/** A copy counts so long after it was verified, in ms. DESIGN.md, Rulings. */
export const FRESH_MS: number = 30 * DAY_MS

/** A node verifies its own copies again after so long, in ms: with time to spare before they count no more. DESIGN.md, Rulings. */
export const VERIFY_AGAIN_MS: number = 21 * DAY_MS

/** A pin ends when it has been over for so long by the own clock and that of the members, in ms. reference/replication.md 5.10. */
export const EXPIRY_MARGIN_MS: number = 10 * MINUTE_MS

/** A fetch that lasts so long is told to all, in ms. Shorter ones are told when they are done, which saves a record. */
export const TELL_FETCH_MS = 1_000

/** What is known of members is read again after so long, in ms. */
export const VIEW_MS = 100

/** Statuses that are watched change at most so often, in ms. */
export const WATCH_INTERVAL_MS = 250

/** Pins that are looked at between two turns of the event loop: 64 take some 2 ms. */
export const PINS_PER_SLICE = 64

/** Everything is looked at once in so long, in ms, whatever was heard: for what only time changes. */
export const SWEEP_MS: number = HOUR_MS

/** Shares of the capacity at which a member calls itself full, and not full any more. reference/replication.md 5.5. */
export const FULL_AT = 0.95
export const ROOM_AT = 0.85

/** Blocks of one challenge. reference/replication.md 5.7: a tenth that is missing is found with 88 % in a day. */
export const CHALLENGE_BLOCKS = 20

/** How long a member may take to prove that it holds them, in ms: shorter than fetching them from elsewhere over a slow line. */
export const CHALLENGE_TIMEOUT_MS = 10_000

/** Challenges that wait for one member. What is beyond comes with the daily ones. */
export const MAX_CHALLENGES_WAITING = 10_000

/** A pause between challenges of one member, in ms: some 20 blocks each, so checks take little of its disk. */
export const CHALLENGE_PAUSE_MS = 100

/** The pause while copies are made here, in ms: a copy that is missing is more urgent than one that may be untrue. */
export const BUSY_CHALLENGE_PAUSE_MS = 2_000

/** A member that is connected and does not answer so often in a row is doubted. */
export const SILENT_CHALLENGES = 3

/** Each claim is challenged again about so often, in ms. */
export const CHALLENGE_ROUND_MS: number = DAY_MS

/** Challenges that a member may make at once, and in each second after: each may read 40 MiB. */
export const ASKED_BURST = 20
export const ASKED_PER_SECOND = 10
