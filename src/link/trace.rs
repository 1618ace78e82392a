//! Lines of a call's ladder, for the demo, the trace command and the page. Fixed size, lossy; taken
//! by a tap around a shard, which itself knows nothing of them.

use std::net::SocketAddr;

use crate::base::bounded::Text;
use crate::base::packet::Transport;
use crate::base::time::Instant;

/// One message of a call, seen at the edge.
#[derive(Clone, Debug)]
pub struct Trace {
    /// When.
    pub at: Instant,
    /// SIP Call-ID of the message, clipped.
    pub sip_call_id: Text<64>,
    /// Whether it came in.
    pub inbound: bool,
    /// The other side.
    pub peer: SocketAddr,
    /// Transport.
    pub transport: Transport,
    /// `INVITE`, `200 OK`, with `(SDP)` behind it where a description is carried.
    pub summary: Text<64>,
}
