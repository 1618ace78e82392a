//! What a shard is told at its start and never again.

use std::net::{IpAddr, SocketAddr};

use crate::base::bounded::{List, Text};
use crate::base::id::ShardId;
use crate::base::packet::Transport;
use crate::base::time::{Duration, WallTime};
use crate::call::machine::Patience;
use crate::crypto::digest::Algorithm;
use crate::sip::timers::Timers;

/// Most SIP listeners of one edge.
pub const LISTENERS_MAX: usize = 16;

/// A SIP listener as a shard sees it.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// Its transport.
    pub transport: Transport,
    /// What it is bound to.
    pub bound: SocketAddr,
    /// What Via and Contact say: `host:port`.
    pub advertised: Text<96>,
}

/// A media address as a shard sees it.
#[derive(Clone, Copy, Debug)]
pub struct MediaAddress {
    /// What ports are bound on.
    pub bound: IpAddr,
    /// What session descriptions say.
    pub advertised: IpAddr,
}

/// A shard's settings.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which shard this is.
    pub id: ShardId,
    /// How many there are.
    pub shards: u16,
    /// SIP listeners, as `Local::Sip` numbers them.
    pub listeners: List<Listener, LISTENERS_MAX>,
    /// Host name of the edge: digest realm, and the host of From where the caller is hidden.
    pub host: Text<128>,
    /// Media addresses, as `MediaPort::address` numbers them.
    pub media: List<MediaAddress, 8>,
    /// First and last UDP port of this shard's slice.
    pub ports: (u16, u16),
    /// First and last UDP port of the whole edge's range.
    pub all_ports: (u16, u16),
    /// How long a media port rests before it is used again.
    pub quarantine: Duration,
    /// Calls at one time on this shard.
    pub calls_max: usize,
    /// Digest algorithms that are offered and taken, strongest first.
    pub digest: &'static [Algorithm],
    /// SIP timers.
    pub timers: Timers,
    /// Times of a call.
    pub patience: Patience,
    /// Wall-clock time at `Instant::ZERO`.
    pub wall_at_zero: WallTime,
}
