//! Every bound in one place. Sizes are sums of named terms; relations are asserted at compile time.

/// Most shards that one edge may run.
pub const SHARDS_MAX: usize = 64;
/// Frames in one burst: what a backend lends and a shard handles in one go.
pub const BURST_MAX: usize = 64;
/// Bytes of one datagram buffer. A larger UDP datagram is refused with 513, never cut.
pub const DATAGRAM_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one SIP message on a stream (headers and body).
pub const STREAM_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Bytes that Carrick writes in one SIP message of its own.
pub const SIP_WRITE_BYTES_MAX: usize = 8 * 1024;
/// Header lines of one SIP message.
pub const SIP_HEADERS_MAX: usize = 128;
/// Bytes of one header line.
pub const SIP_HEADER_LINE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a Call-ID, tag or branch that Carrick keeps.
pub const SIP_IDENTIFIER_BYTES_MAX: usize = 256;
/// Bytes of a URI (Request-URI, Contact, To, From) that Carrick keeps.
pub const SIP_URI_BYTES_MAX: usize = 256;
/// Bytes of all Record-Route values of one dialog.
pub const SIP_ROUTE_SET_BYTES_MAX: usize = 1024;
/// Bytes of a session description.
pub const SDP_BYTES_MAX: usize = 4 * 1024;
/// Media lines of a session description.
pub const SDP_MEDIA_MAX: usize = 8;
/// Payload formats on one media line.
pub const SDP_FORMATS_MAX: usize = 32;
/// Attribute lines of a session description.
pub const SDP_ATTRIBUTES_MAX: usize = 256;

/// Private headers of one call, in bytes over all names and values.
pub const PRIVATE_HEADERS_BYTES_MAX: usize = 1024;
/// Bytes of one private header's name.
pub const PRIVATE_HEADER_NAME_BYTES_MAX: usize = 50;
/// Private headers of one call.
pub const PRIVATE_HEADERS_MAX: usize = 16;
/// Targets that one dial attempt may try in turn.
pub const TARGETS_MAX: usize = 8;
/// Instructions in one SVAML document.
pub const INSTRUCTIONS_MAX: usize = 16;
/// Seconds that a call may last when nothing shorter is asked for.
pub const CALL_SECONDS_MAX: u32 = 14_400;

/// Questions under way from one shard to control.
pub const ASKS_MAX: usize = 1024;
/// Answers under way from control to one shard.
pub const ANSWERS_MAX: usize = 1024;
/// Events under way from one shard to control.
pub const EVENTS_MAX: usize = 1024;
/// Trace lines under way from one shard to control; what does not fit is dropped and counted.
pub const TRACE_MAX: usize = 4096;

/// Media addresses of one edge.
pub const MEDIA_ADDRESSES_MAX: usize = 8;
/// Payload types that one leg accepts, and pairs that a bridge maps one way.
pub const PAYLOAD_TYPES_MAX: usize = 16;

/// Bytes of a media datagram's buffer; media datagrams fit an Ethernet frame.
pub const MEDIA_BUFFER_BYTES: usize = 2048;
/// Bytes behind every received datagram that a shard may grow into (an SRTP tag, a header
/// extension).
pub const DATAGRAM_ROOM_BYTES: usize = 128;
/// Messages of a shard's own that wait for the end of its turn; one more flushes them.
pub const OUTBOX_MESSAGES_MAX: usize = 2 * BURST_MAX;
/// Bytes of those messages.
pub const OUTBOX_BYTES_MAX: usize = 256 * 1024;
/// Stream connections of one edge, in and out, unless configured.
pub const STREAM_CONNECTIONS_MAX: usize = 8192;
/// Incoming stream connections of one source, unless configured.
pub const STREAM_CONNECTIONS_PER_SOURCE_MAX: usize = 256;
/// Bytes that wait for one stream peer to read them; more, and it is cut.
pub const STREAM_WRITE_BYTES_MAX: usize = 256 * 1024;

/// Bytes of text names in the directory (application keys, trunk names and kin).
pub const NAME_BYTES_MAX: usize = 64;

const _: () = assert!(SIP_WRITE_BYTES_MAX <= DATAGRAM_BYTES_MAX);
const _: () = assert!(OUTBOX_BYTES_MAX >= 2 * DATAGRAM_BYTES_MAX);
const _: () = assert!(STREAM_WRITE_BYTES_MAX > STREAM_MESSAGE_BYTES_MAX);
const _: () = assert!(SDP_BYTES_MAX < SIP_WRITE_BYTES_MAX);
const _: () = assert!(SIP_HEADER_LINE_BYTES_MAX <= DATAGRAM_BYTES_MAX);
// Offsets inside a message are kept in sixteen bits.
const _: () = assert!(STREAM_MESSAGE_BYTES_MAX <= 1 << 16);
