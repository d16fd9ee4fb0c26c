/** Every bound of the network, in one place. All of them hold against peers that mean harm. */

const MIB = 1 << 20

/** Connections that are open at once. DESIGN.md, Rulings. */
export const MAX_CONNECTIONS = 600

/** Connections of these that only we may open, so that a crowd of strangers cannot shut us in. DESIGN.md, Rulings. */
export const OUTBOUND_RESERVE = 64

/** Connections that others may have opened. */
export const MAX_INBOUND_CONNECTIONS: number = MAX_CONNECTIONS - OUTBOUND_RESERVE

/** Connections that one address group (/24 of IPv4, /48 of IPv6) may have opened: who owns one network is one stranger. reliability.md 2.1. */
export const MAX_INBOUND_PER_GROUP = 8

/** As above, of a group of private addresses: the machines of one house or office, which share the switch anyway. */
export const MAX_INBOUND_PER_PRIVATE_GROUP = 128

/**
 * Connections that one peer may have opened; one more ends the oldest of them. Two peers that dial each other at the same time have
 * two, and one that moves to another network has dead ones until they are noticed: of these the newest is the one that works.
 * Each has windows and streams of its own, so their number multiplies all that is bounded per connection.
 */
export const MAX_INBOUND_PER_PEER = 4

/**
 * Handshakes of others that are under way at once, in all and of one address group; one more ends the oldest silent one.
 *
 * A handshake takes five round trips, 1 s on a bad line: 128 leave it that long while 128 new ones come each second. One group has
 * no use for more of them than it may have connections.
 */
export const MAX_PENDING_HANDSHAKES = 128
export const MAX_PENDING_PER_GROUP = 8
export const MAX_PENDING_PER_PRIVATE_GROUP = 64

/** How long a new connection is spared when room is needed, in ms: identify and a first request take two or three round trips. */
export const CONNECTION_GRACE_MS = 30_000

/** Bytes in both directions from which a connection counts as used: more than handshake, identify and pings ever take in its first minutes. */
export const USEFUL_BYTES: number = 256 << 10

/** Bytes that one peer may make us hold: what waits to be read, to be written, and in the packages above. DESIGN.md, Rulings. */
export const MAX_PEER_BYTES: number = 8 * MIB

/** As above, at most, for members of one's own cluster. DESIGN.md, Rulings. */
export const MAX_MEMBER_BYTES: number = 64 * MIB

/** Bytes that all peers together may make us hold. DESIGN.md, Rulings. */
export const MAX_NETWORK_BYTES: number = 512 * MIB

/** Streams that one peer may have open towards us, per connection. DESIGN.md, Rulings. */
export const MAX_INBOUND_STREAMS = 256

/** Streams of one DHT protocol per connection, in and out. DESIGN.md, Rulings; the library's 32 and 64 lose provider records under load. */
export const MAX_DHT_INBOUND_STREAMS = 128
export const MAX_DHT_OUTBOUND_STREAMS = 512

/** Provider records that a peer may leave per second, and at once after a quiet time; the rest is dropped. reliability.md 2.3; a sweep sends in bursts. */
export const MAX_DHT_RECORDS_PER_SECOND = 100
export const MAX_DHT_RECORD_BURST = 1_000

/**
 * Questions that a peer may ask per second, and at once after a quiet time; more ends the stream.
 *
 * One costs us some 0.3 ms, so a single peer gets a sixth of a core. Each record brings a PING with it, and a walk one or two
 * questions: the fastest that records are taken needs 300.
 */
export const MAX_DHT_QUESTIONS_PER_SECOND = 500
export const MAX_DHT_QUESTION_BURST = 2_000

/** Peers whose rates are remembered at once; the one unheard longest is forgotten. More than can be connected. */
export const MAX_RATED_PEERS = 2_048

/** Servers of one address group in the routing table, and in one of its buckets. reliability.md 2.3, as go-libp2p-kad-dht. */
export const MAX_TABLE_PER_GROUP = 3
export const MAX_BUCKET_PER_GROUP = 2

/** Ping streams per connection: the monitor, the routing table and a person may ping at the same time. */
export const MAX_PING_STREAMS = 16

/** How often an idle connection is pinged, in ms. A failed ping is noted and nothing else. DESIGN.md, Rulings. */
export const MONITOR_INTERVAL_MS = 120_000

/** Bytes that one stream holds for a reader that is slow, before the peer is asked to stop. */
export const READ_QUEUE_BYTES: number = 256 << 10

/** Bytes that `write` lets wait in a stream before it makes the caller wait. */
export const WRITE_QUEUE_BYTES: number = 256 << 10

/** Bytes of all streams of a connection that may wait before a `write` lets none of its own wait, and adds none while so many wait for the line. */
export const CONNECTION_WRITE_BYTES: number = 1 * MIB

/** Bytes that wait in one stream at most, whoever wrote them; more ends the stream. Two messages of the largest kind (4 MiB). */
export const MAX_WRITE_BUFFER_BYTES: number = 8 * MIB

/** How long a dial may take in all, in ms: name lookup, socket, handshake. The library's own default. */
export const DIAL_TIMEOUT_MS = 10_000

/** How long opening a stream on an open connection may take, in ms: two round trips on a bad line. */
export const OPEN_STREAM_TIMEOUT_MS = 10_000

/** How long the handshake of a peer that dialled us may take, in ms. reliability.md T2.1-b. */
export const HANDSHAKE_TIMEOUT_MS = 10_000

/** How long a closed stream waits for the other side's end before it is reset, in ms. */
export const LINGER_MS = 10_000

/** Addresses that are kept of one peer. reliability.md 2.2. */
export const MAX_PEER_ADDRESSES = 32

/** Bytes of one multiaddr. reliability.md 2.2. */
export const MAX_ADDRESS_BYTES = 256

/** Protocol names that are kept of one peer, and characters of one name. reliability.md 2.2. */
export const MAX_PEER_PROTOCOLS = 128
export const MAX_PROTOCOL_CHARACTERS = 256

/** What peers are told of this program: not its version, which would tell strangers what they may try. */
export const AGENT = 'holdfast'

/** Characters of the name of a peer's program that are kept. Ordinary ones have below 50. */
export const MAX_AGENT_CHARACTERS = 256

/** How long a peer is given to say who it is once it is connected, in ms: as long as a ping of Kubo, which is as little work. */
export const IDENTIFY_TIMEOUT_MS: number = 10 * 1000

/** How long the answer to one ping is waited for, in ms. kubo core/commands/ping.go. */
export const PING_TIMEOUT_MS: number = 10 * 1000

/** Bytes of what else a peer says of itself, such as its version, and of its signed record. An ordinary record has below 1 KiB. */
export const MAX_PEER_METADATA_BYTES: number = 1 << 10
export const MAX_PEER_RECORD_BYTES: number = 16 << 10

/** Bits of an RSA key of a peer. reliability.md 2.1: shorter ones are forged, longer ones cost CPU. */
export const MIN_RSA_BITS = 2_048
export const MAX_RSA_BITS = 4_096

/** Peers that the address book holds; of those that are not connected the one unused longest makes room. reliability.md 2.2. */
export const MAX_KNOWN_PEERS = 10_000

/** Bytes of the address book, whatever the peers put into their rows. 10,000 rows of an ordinary peer take about 8 MiB. */
export const MAX_KNOWN_PEER_BYTES: number = 16 * MIB

/** Bytes of the values that the DHT stores for others (IPNS records, at most 10 KiB each). */
export const MAX_DHT_VALUE_BYTES: number = 16 * MIB
