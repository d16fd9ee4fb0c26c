/** The bounds of finding peers and of being found, in one place. All of them hold against peers that mean harm. */

/** Connected peers from which on the DHT finds the others by itself. Kubo's `minPeerThreshold` is 4 as well. */
export const ENOUGH_PEERS = 4

/** Bootstrap peers that are dialled at the same time. */
export const MAX_BOOTSTRAP_DIALS = 4

/** Remembered peers of one round: a quarter of the file, so that one round ends within a minute when nobody answers. */
export const MAX_REMEMBERED_DIALS = 16

/** The first wait after a round that did not find enough peers, and the longest, in ms. */
export const BOOTSTRAP_FIRST_RETRY_MS = 5_000
export const BOOTSTRAP_MAX_RETRY_MS: number = 10 * 60_000

/** Peers that are remembered between runs: enough that some of them are still there after a month. */
export const MAX_REMEMBERED_PEERS = 64

/** Bytes of the file of remembered peers: 64 entries of the longest address, twice. */
export const MAX_PEER_FILE_BYTES: number = 64 << 10

/** How long a change of the remembered peers waits for others before it is written, in ms. */
export const PEER_FILE_DELAY_MS = 60_000

/** How often mDNS asks the LAN, in ms. A new node asks at once and everybody hears the answers, so this only finds who was asleep. */
export const MDNS_INTERVAL_MS = 30_000

/** Connections to private addresses from which on mDNS adds none: on a large LAN the DHT finds the rest. */
export const MAX_MDNS_PEERS = 64

/** Peers found by mDNS that are dialled at the same time; others wait for the next answer. */
export const MAX_MDNS_DIALS = 4

/** How long a peer that mDNS found is left alone after a dial, in ms. */
export const MDNS_REDIAL_MS = 60_000

/** Peers of which the last mDNS dial is kept. */
export const MAX_MDNS_MEMORY = 256

/** Dials that AutoNAT makes for others, per minute: in all, and for one peer. As go-libp2p (p2p/host/autonat/options.go). */
export const MAX_DIAL_BACKS = 30
export const MAX_DIAL_BACKS_PER_PEER = 3
export const DIAL_BACK_WINDOW_MS = 60_000

/** Answers of AutoNAT that are kept, one for each address. */
export const MAX_DIAL_BACK_RESULTS = 32

/** How long an inbound connection counts as proof that this node can be dialled, in ms. */
export const INBOUND_PROOF_MS: number = 2 * 60 * 60_000

/** Peers that must name the same public address of this node before it is tried. Two that conspire cost us a few dial requests. */
export const OBSERVER_QUORUM = 2

/** Public addresses that peers named and that are counted. */
export const MAX_OBSERVED_HOSTS = 16

/** First pings that wait for an answer at the same time; peers beyond are measured by the connection monitor. */
export const MAX_FIRST_PINGS = 32

/** How long a first ping may take, in ms. */
export const FIRST_PING_TIMEOUT_MS = 10_000

/** How often it is looked whether a relay is needed, in ms. */
export const RELAY_CHECK_INTERVAL_MS = 15_000
