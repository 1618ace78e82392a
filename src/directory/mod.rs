//! L2: what is provisioned, as one immutable snapshot a version. Control publishes it, every shard
//! reads it without a lock; a call copies what it needs, so that a reload never changes a live
//! call.

pub mod access_list;
pub mod application;
pub mod carrier;
pub mod credential;
pub mod number;
pub mod trunk;
pub mod usage;

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::bounded::Text;
use crate::base::limits::NAME_BYTES_MAX;

pub use access_list::{AccessEntry, AccessTrie};
pub use application::Application;
pub use carrier::{Carrier, Resolved, Uplink};
pub use credential::{Credential, CredentialList, Ha1};
pub use number::{Inbound, Number, Numbers};
pub use trunk::{MediaSecurity, OriginationUri, Trunk};

/// A name in the directory: an application key, a trunk's name.
pub type Name = Text<NAME_BYTES_MAX>;

/// Position of an entry in its vector of one snapshot. Never kept across snapshots: a call keeps
/// names.
pub type Index = u32;

/// Everything that is provisioned, as of one version.
#[derive(Debug, Default)]
pub struct Directory {
    /// Rises with every change.
    pub version: u64,
    /// The edge's host name: SIP domain and digest realm.
    pub host: String,
    /// Applications, by index.
    pub applications: Vec<Application>,
    /// Trunks, by index.
    pub trunks: Vec<Trunk>,
    /// Credential lists, by index.
    pub credential_lists: Vec<CredentialList>,
    /// Which trunks admit a source address: longest prefix wins.
    pub access: AccessTrie,
    /// Our numbers.
    pub numbers: Numbers,
    /// Upstream peers, in configuration order.
    pub carriers: Vec<Carrier>,
}

/// What the source address and the dialled domain say about a request, before any credentials.
#[derive(Clone, Copy, Debug)]
pub enum Identified<'d> {
    /// A trunk of ours, with the access-list entry that matched, if any did.
    Trunk {
        /// The trunk.
        trunk: &'d Trunk,
        /// The entry that admits the source.
        entry: Option<&'d AccessEntry>,
    },
    /// A carrier: its calls are for our numbers.
    Carrier {
        /// The carrier.
        carrier: &'d Carrier,
        /// The entry that admits the source.
        entry: &'d AccessEntry,
    },
    /// Nobody we know.
    Stranger,
}

impl Directory {
    /// The trunk whose termination domain is `domain` (ASCII case ignored).
    pub fn trunk_by_domain(&self, domain: &str) -> Option<&Trunk> {
        self.trunks.iter().find(|trunk| trunk.domain.eq_ignore_ascii_case(domain))
    }

    /// The trunk of that name.
    pub fn trunk(&self, name: &str) -> Option<&Trunk> {
        self.trunks.iter().find(|trunk| trunk.name.as_str() == name)
    }

    /// The application of that key.
    pub fn application(&self, key: &str) -> Option<&Application> {
        self.applications.iter().find(|application| application.key.as_str() == key)
    }

    /// The carrier of that name.
    pub fn carrier(&self, name: &str) -> Option<&Carrier> {
        self.carriers.iter().find(|carrier| carrier.name.as_str() == name)
    }

    /// Who sent this? Deny by default. The termination domain of the Request-URI names the trunk;
    /// where it names none (an address, or the edge's own host name), the source address does:
    /// longest prefix over all access lists. A carrier is known by its addresses only.
    pub fn identify(&self, source: IpAddr, domain: &str) -> Identified<'_> {
        let entries = self.access.matches(source);
        if let Some(trunk) = self.trunk_by_domain(domain) {
            let entry = entries.iter().find(|e| trunk.access_lists.contains(&e.list)).copied();
            return Identified::Trunk { trunk, entry };
        }
        for entry in entries {
            if let Some(carrier) = self.carriers.iter().find(|c| c.access.contains(&entry.list)) {
                return Identified::Carrier { carrier, entry };
            }
            if let Some(trunk) = self.trunks.iter().find(|t| t.access_lists.contains(&entry.list)) {
                return Identified::Trunk { trunk, entry: Some(entry) };
            }
        }
        Identified::Stranger
    }
}

/// A snapshot as it travels.
pub type Snapshot = Arc<Directory>;
