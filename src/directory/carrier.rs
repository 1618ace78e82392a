//! Carriers: upstream peers that `connectPstn` places calls with.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Index, Name};
use crate::base::bounded::List;
use crate::base::limits::TARGETS_MAX;
use crate::base::packet::Transport;

/// The addresses of a host as of the snapshot, in the order to try; empty while a name does not
/// resolve.
pub type Resolved = List<SocketAddr, TARGETS_MAX>;

/// One URI of a carrier.
#[derive(Clone, Debug)]
pub struct Uplink {
    /// `sip:host[:port][;transport=…]`; the called number becomes the user part.
    pub uri: String,
    /// Host as written, for the Request-URI and To.
    pub host: String,
    /// Transport that the URI asks for.
    pub transport: Transport,
    /// Addresses of the host, kept fresh by control.
    pub resolved: Resolved,
}

/// A carrier.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// Its name.
    pub name: Name,
    /// Where calls are sent, tried in order.
    pub uplinks: Vec<Uplink>,
    /// E.164 prefixes (without `+`) that it takes; empty: all. The longest match over all
    /// carriers wins before priority and weight.
    pub prefixes: Vec<String>,
    /// Lower first.
    pub priority: u16,
    /// Share among those of equal priority.
    pub weight: u16,
    /// User name and password with which the carrier's challenges are answered.
    pub credentials: Option<Arc<CarrierCredentials>>,
    /// Access lists that the carrier's own calls come from.
    pub access: Vec<Index>,
    /// Whether media may come from an address that was not signalled.
    pub nat: bool,
}

/// What answers a carrier's challenge.
pub struct CarrierCredentials {
    /// Digest user name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for CarrierCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CarrierCredentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
