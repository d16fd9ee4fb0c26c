/** Every bound of the records and of their exchange, in one place. All of them hold against members that mean harm. */

const KIB = 1024
const MIB = 1024 * KIB

/** Bytes of one record with its signature. reference/replication.md 5.3. */
export const MAX_RECORD_BYTES: number = 8 * KIB

/** Values in one record, nested ones included: 64 keys of meta, 64 writers of a context and the fields are some 400. */
export const MAX_RECORD_ITEMS = 1024

/** Levels of nesting in one record: the fields, a map or list in them, and one to spare. */
export const MAX_RECORD_DEPTH = 4

/** Bytes of UTF-8 of a cluster's name, a zone, a version. */
export const MAX_LABEL_BYTES = 64

/** Bytes of UTF-8 of a pin's name, as in @holdfast/pins. */
export const MAX_PIN_NAME_BYTES = 255

/** Keys of a pin's meta, and bytes of UTF-8 of all keys and values. Larger things are content. */
export const MAX_META_KEYS = 64
export const MAX_META_BYTES: number = 4 * KIB

/** Writers that one context names. Of a pin that more have changed, those longest ago are forgotten. */
export const MAX_CONTEXT_WRITERS = 64

/** Zones or peers that a pin may ask for. */
export const MAX_PLACES = 16

/** Copies that may be asked for by number; `'all'` has no bound. More than there can be members: who asks for too many is told so by the status, not refused. */
export const MAX_COPIES = 1_000_000

/** Addresses in a profile or invite, and characters of one. */
export const MAX_ADDRESSES = 8
export const MAX_ADDRESS_CHARACTERS = 256

/** Members that one hold may doubt. More liars than that about one pin are not told apart from a broken network. */
export const MAX_DOUBTS = 16

/** Characters of the reason in a hold. */
export const MAX_WHY_BYTES = 256

/** Members of a cluster, those removed included. Heartbeats between all of them are a message per member and 10 s. */
export const MAX_MEMBERS = 1024

/** Member records of a cluster. They are kept for ever, for who may sign is computed from all of them. */
export const MAX_MEMBER_RECORDS = 8192

/** Pins of a cluster, deleted ones included. reference/replication.md 5.9: at a million memory is about 1 GB. */
export const MAX_PINS = 1_000_000

/** Pins that one record has forgotten: with their 16 bytes each it stays below `MAX_RECORD_BYTES`. */
export const MAX_FORGOTTEN_PER_RECORD = 400

/** Records of forgotten pins: three million pins in some 50 MB. */
export const MAX_FORGET_RECORDS = 8192

/** How long a deleted pin is remembered at least, in ms, before it is forgotten for good. reference/replication.md 5.8. */
export const FORGET_AFTER_MS: number = 7 * 24 * 60 * 60 * 1000

/** How often deleted pins are looked for that can be forgotten, in ms. */
export const FORGET_INTERVAL_MS: number = 60 * 60 * 1000

/** Pins that are forgotten in one go. The rest follows with the next. */
export const MAX_FORGOTTEN_AT_ONCE: number = 50 * MAX_FORGOTTEN_PER_RECORD

/** Reports of copies: four of each pin. */
export const MAX_HOLDS: number = 4 * MAX_PINS

/** Records that wait: dated in the future, or by somebody not known to be a member. Beyond that the oldest are forgotten; peers still have them. */
export const MAX_WAITING_RECORDS = 4096
export const MAX_WAITING_BYTES: number = 8 * MIB

/** How far ahead of the local clock a record may be dated, in ms. reference/replication.md 5.10. */
export const MAX_CLOCK_LEAD_MS: number = 5 * 60 * 1000

/** How far apart clocks may be that agree, in ms: two that are so far from a third are not farther apart than a record may be ahead. */
export const CLOCK_TOLERANCE_MS: number = MAX_CLOCK_LEAD_MS / 2

/** Bytes of one message of the records protocol. reference/replication.md 5.3. */
export const MAX_MESSAGE_BYTES: number = 256 * KIB

/** Bytes of records put into one message: leaves room for what stands around them. */
export const MAX_BATCH_BYTES: number = 240 * KIB

/** Values in one message: a batch of the smallest records, or 512 buckets. */
export const MAX_MESSAGE_ITEMS = 4096

/** Nodes of the tree, buckets, and records that one request may ask for. 256 nodes are answered with 128 KiB. */
export const MAX_ASKED_NODES = 256
export const MAX_ASKED_BUCKETS = 512
export const MAX_ASKED_RECORDS = 512

/** Bytes of record hashes in one answer: 4,096 hashes. */
export const MAX_LISTED_BYTES: number = 128 * KIB

/** Records that are fetched in one round of anti-entropy. The rest follows in the next, so that no round lasts for ever. */
export const MAX_ROUND_RECORDS = 100_000

/** Requests that a peer may make at once, and in each second after. More wait: its stream gets slow and nothing else. */
export const REQUEST_BURST = 1000
export const REQUESTS_PER_SECOND = 100

/** Records of one peer that are taken unasked at once, and in each second after. The rest waits for anti-entropy. */
export const PUSH_BURST = 5000
export const PUSHES_PER_SECOND = 500

/** How long new records are collected before they are pushed, in ms. */
export const PUSH_DELAY_MS = 20

/** Records that wait to be pushed to one peer. Beyond that they are left to anti-entropy. */
export const MAX_PUSH_QUEUE = 10_000

/** How often a heartbeat is sent, and a member is chosen for anti-entropy, in ms. */
export const HEARTBEAT_INTERVAL_MS = 10_000

/** A member that was not heard for so many intervals does not count as alive: three heartbeats were missed. */
export const ALIVE_INTERVALS = 3.5

/** Fetches that a heartbeat tells of. */
export const MAX_FETCHES_TOLD = 64

/** How long a peer may take to answer, or to take what is sent, in ms. */
export const ANSWER_TIMEOUT_MS = 15_000

/** How long an invite may be used at most, in ms. DESIGN.md, Rulings. */
export const INVITE_LIFETIME_MS: number = 24 * 60 * 60 * 1000

/** Admins that are asked to let this node go, one after the other, before it gives up: two minutes of silence at most. */
export const MAX_ADMINS_ASKED = 8

/** Invites that may be open at once. */
export const MAX_OPEN_INVITES = 1024

/** Characters of an invite: 8 addresses and what stands around them, in base64. */
export const MAX_INVITE_CHARACTERS = 4096

/** Member records that prove a membership: the chain of admissions from the genesis. */
export const MAX_PROOF_RECORDS = 16

/** Verifications between two turns of the event loop: 64 take about 7 ms. */
export const RECORDS_PER_SLICE = 64

/** Proofs of membership by peers that are not known as members, which are looked at at once and in each second after: 20 cost 32 ms. */
export const PROOF_BURST = 100
export const PROOFS_PER_SECOND = 20

/** Bytes that a member may make this node hold, over all protocols. DESIGN.md, Rulings: byte budget per peer. */
export const MEMBER_BYTES: number = 64 * MIB
