//! Trunks: a customer's interconnection.

use std::sync::Arc;

use super::usage::Usage;
use super::{Index, Name, Resolved};
use crate::base::packet::Transport;

/// Whether media may, must or must not be SRTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaSecurity {
    /// Plain RTP only.
    Never,
    /// SRTP where the signalling is TLS and the peer offers it.
    #[default]
    Allowed,
    /// SRTP only; 488 where it is not offered.
    Required,
}

/// One way to reach the customer's equipment.
#[derive(Clone, Debug)]
pub struct OriginationUri {
    /// As configured; `{number}` stands for the called number.
    pub uri: String,
    /// Lower first.
    pub priority: u16,
    /// Share among those of equal priority.
    pub weight: u16,
    /// Transport that the URI asks for.
    pub transport: Transport,
    /// Addresses of the URI's host, kept fresh by control.
    pub resolved: Resolved,
}

/// A trunk.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its name.
    pub name: Name,
    /// Key of the application that its calls belong to.
    pub application: Name,
    /// Termination domain: the host that its Request-URIs name.
    pub domain: String,
    /// Access lists, any of which admits a source.
    pub access_lists: Vec<Index>,
    /// Credential lists, any of which admits a user. With access lists too, both must admit.
    pub credential_lists: Vec<Index>,
    /// Whether the application's own key and secret are accepted as credentials.
    pub application_credentials: bool,
    /// Where calls to its numbers go.
    pub origination: Vec<OriginationUri>,
    /// Calls at one time; `None`: as many as the edge carries.
    pub calls_max: Option<u32>,
    /// Calls begun a second; `None`: unlimited.
    pub calls_per_second_max: Option<u32>,
    /// E.164 prefixes (without `+`) that its calls may go to; empty: all.
    pub allowed_destinations: Vec<String>,
    /// Transports that its requests may use.
    pub transports: Vec<Transport>,
    /// SRTP policy.
    pub media_security: MediaSecurity,
    /// Whether media may come from an address that was not signalled (the customer is behind NAT).
    pub nat: bool,
    /// Calls under way, shared between snapshots and shards.
    pub usage: Arc<Usage>,
}

impl Trunk {
    /// Whether digest credentials are asked for.
    pub fn needs_digest(&self) -> bool {
        self.application_credentials || !self.credential_lists.is_empty()
    }

    /// Whether a source address must be on an access list.
    pub fn needs_access_list(&self) -> bool {
        !self.access_lists.is_empty()
    }

    /// Whether a call to `number` (E.164 with `+`) is allowed.
    pub fn allows_destination(&self, number: &str) -> bool {
        let digits = number.trim_start_matches('+');
        self.allowed_destinations.is_empty()
            || self.allowed_destinations.iter().any(|prefix| digits.starts_with(prefix.as_str()))
    }
}
