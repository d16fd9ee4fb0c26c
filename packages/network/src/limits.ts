/** Every bound of the network, in one place. All of them hold against peers that mean harm. */

const MIB = 1 << 20

/** Connections that are open at once. DESIGN.md, Rulings. */
export const MAX_CONNECTIONS = 600

/** Connections of these that only we may open, so that a crowd of strangers cannot shut us in. DESIGN.md, Rulings. */
export const OUTBOUND_RESERVE = 64

/** Streams that one peer may have open towards us, per connection. DESIGN.md, Rulings. */
export const MAX_INBOUND_STREAMS = 256

/** Streams of one DHT protocol per connection, in and out. DESIGN.md, Rulings; the library's 32 and 64 lose provider records under load. */
export const MAX_DHT_INBOUND_STREAMS = 128
export const MAX_DHT_OUTBOUND_STREAMS = 512

/** Ping streams per connection: the monitor, the routing table and a person may ping at the same time. */
export const MAX_PING_STREAMS = 16

/** How often an idle connection is pinged, in ms. A failed ping is noted and nothing else. DESIGN.md, Rulings. */
export const MONITOR_INTERVAL_MS = 120_000

/** Bytes that one stream holds for a reader that is slow, before the peer is asked to stop. */
export const READ_QUEUE_BYTES: number = 256 << 10

/** Bytes that `write` lets wait in a stream before it makes the caller wait. */
export const WRITE_QUEUE_BYTES: number = 256 << 10

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

/** Peers that the address book holds, connected or not; the one unused longest makes room. reliability.md 2.2. */
export const MAX_KNOWN_PEERS = 10_000

/** Bytes of the address book, whatever the peers put into their rows. 10,000 rows of an ordinary peer take about 8 MiB. */
export const MAX_KNOWN_PEER_BYTES: number = 16 * MIB

/** Bytes of the values that the DHT stores for others (IPNS records, at most 10 KiB each). */
export const MAX_DHT_VALUE_BYTES: number = 16 * MIB
