//! Who lives in the simulated world: the edge, three customers, two carriers and a host
//! elsewhere, and what is provisioned for them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::phone::digest::ha1;
use crate::base::bounded::{List, text};
use crate::base::packet::Transport;
use crate::directory::carrier::CarrierCredentials;
use crate::directory::usage::Usage;
use crate::directory::{
    AccessEntry, AccessTrie, Application, Carrier, Credential, CredentialList, Directory, Ha1,
    Inbound, MediaSecurity, Name, Number, Numbers, OriginationUri, Resolved, Trunk, Uplink,
};

/// The edge's SIP address, for UDP and TCP.
pub const EDGE_SIP: &str = "192.0.2.1:5060";
/// The edge's media address.
pub const EDGE_MEDIA: &str = "192.0.2.2";
/// The edge's name: realm, and the host of its domains.
pub const EDGE_HOST: &str = "edge.test";
/// Key of the application.
pub const APPLICATION: &str = "app-one";
/// Its secret, as configured.
pub const APPLICATION_SECRET: &str = "Y2FuYXJ5LWFwcGxpY2F0aW9uLXNlY3JldA==";
/// Who customers are to the edge.
pub const TRUNK_USER: (&str, &str) = ("pbx", "canary-trunk-password");
/// Who the edge is to carrier south.
pub const CARRIER_USER: (&str, &str) = ("edge", "canary-carrier-password");
/// What nobody but its owner may ever see.
pub const SECRETS: [&str; 3] = [APPLICATION_SECRET, TRUNK_USER.1, CARRIER_USER.1];
/// Number that customers show.
pub const CALLER_NUMBER: &str = "+46700000001";
/// Where callbacks go.
pub const PRIMARY_URL: &str = "http://backend.test/callback";
/// Where they go when that fails.
pub const FALLBACK_URL: &str = "http://fallback.test/callback";
/// Calls that trunk gamma may have at one time.
pub const GAMMA_CALLS_MAX: u32 = 2;
/// The name that `connectSip` calls.
pub const ELSEWHERE: &str = "elsewhere.test";

/// A host with a phone on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A customer that authenticates by digest.
    Alpha,
    /// A customer that is known by its address.
    Beta,
    /// A customer that needs both, and has limits.
    Gamma,
    /// A carrier.
    North,
    /// A carrier that challenges.
    South,
    /// A SIP host that a callback may name.
    Elsewhere,
}

impl Host {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Alpha, Self::Beta, Self::Gamma, Self::North, Self::South, Self::Elsewhere];

    /// Its SIP address.
    pub fn address(self) -> SocketAddr {
        let ip = match self {
            Self::Alpha => [10, 0, 0, 1],
            Self::Beta => [10, 0, 0, 2],
            Self::Gamma => [10, 0, 0, 3],
            Self::North => [10, 1, 0, 1],
            Self::South => [10, 1, 0, 2],
            Self::Elsewhere => [10, 2, 0, 1],
        };
        SocketAddr::from((ip, 5060))
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Beta => "beta",
            Self::Gamma => "gamma",
            Self::North => "north",
            Self::South => "south",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// The termination domain of a customer.
pub fn domain(host: Host) -> String {
    format!("{}.{EDGE_HOST}", host.name())
}

/// A number outside, the same for the same call.
pub fn outside_number(call: u64) -> String {
    format!("+4930{call:07}")
}

/// One of our own numbers.
pub fn own_number(call: u64) -> String {
    format!("+1202{call:07}")
}

/// The edge's SIP address.
pub fn edge_sip() -> SocketAddr {
    address(EDGE_SIP)
}

/// The edge's media address.
pub fn edge_media() -> IpAddr {
    EDGE_MEDIA.parse().unwrap_or_else(|_| IpAddr::from([0, 0, 0, 0]))
}

/// What is provisioned. `calls`: how many own numbers there are; `tcp`: carriers and customers are
/// reached over TCP; `usages`: what is in use of each trunk, which outlives a version.
pub fn directory(
    version: u64,
    calls: usize,
    limits: bool,
    tcp: bool,
    usages: &[Arc<Usage>],
) -> Directory {
    let lists = [
        (0, "beta-hosts", Host::Beta),
        (1, "gamma-hosts", Host::Gamma),
        (2, "north-hosts", Host::North),
        (3, "south-hosts", Host::South),
    ];
    let entry = |(list, list_name, host): (u32, &str, Host)| AccessEntry {
        list,
        list_name: name(list_name),
        network: host.address().ip(),
        prefix: 32,
    };
    Directory {
        version,
        host: EDGE_HOST.to_owned(),
        applications: vec![application()],
        trunks: trunks(limits, tcp, usages),
        credential_lists: vec![CredentialList {
            name: name("customers"),
            credentials: vec![Credential {
                username: name(TRUNK_USER.0),
                ha1: hashes(TRUNK_USER.0, TRUNK_USER.1),
            }],
        }],
        access: AccessTrie::new(lists.into_iter().map(entry).collect()),
        numbers: Numbers::new(numbers(calls)),
        carriers: vec![carrier(Host::North, 2, tcp), carrier(Host::South, 3, false)],
    }
}

/// Usage of the three trunks, nothing in use.
pub fn usages() -> Vec<Arc<Usage>> {
    (0..3).map(|_| Arc::default()).collect()
}

fn application() -> Application {
    Application {
        key: name(APPLICATION),
        secret: APPLICATION_SECRET.to_owned(),
        ha1: hashes(APPLICATION, APPLICATION_SECRET),
        callback_primary: Some(PRIMARY_URL.to_owned()),
        callback_fallback: Some(FALLBACK_URL.to_owned()),
    }
}

fn trunks(limits: bool, tcp: bool, usages: &[Arc<Usage>]) -> Vec<Trunk> {
    let transport = if tcp { Transport::Tcp } else { Transport::Udp };
    let trunk = |host: Host, access: Vec<u32>, credentials: Vec<u32>, usage: usize| Trunk {
        name: name(host.name()),
        application: name(APPLICATION),
        domain: domain(host),
        access_lists: access,
        credential_lists: credentials,
        application_credentials: false,
        origination: vec![OriginationUri {
            uri: format!("sip:{{number}}@{}", host.address()),
            priority: 1,
            weight: 1,
            transport,
            resolved: resolved(host.address()),
        }],
        calls_max: (limits && host == Host::Gamma).then_some(GAMMA_CALLS_MAX),
        calls_per_second_max: (limits && host == Host::Beta).then_some(1),
        allowed_destinations: Vec::new(),
        transports: vec![Transport::Udp, Transport::Tcp],
        media_security: MediaSecurity::Never,
        nat: false,
        usage: usages.get(usage).cloned().unwrap_or_default(),
    };
    vec![
        trunk(Host::Alpha, vec![], vec![0], 0),
        trunk(Host::Beta, vec![0], vec![], 1),
        trunk(Host::Gamma, vec![1], vec![0], 2),
    ]
}

fn carrier(host: Host, list: u32, tcp: bool) -> Carrier {
    let (username, password) = CARRIER_USER;
    let credentials =
        CarrierCredentials { username: username.to_owned(), password: password.to_owned() };
    let transport = if tcp { Transport::Tcp } else { Transport::Udp };
    Carrier {
        name: name(host.name()),
        uplinks: vec![Uplink {
            uri: format!("sip:{}", host.address()),
            host: host.address().ip().to_string(),
            transport,
            resolved: resolved(host.address()),
        }],
        prefixes: Vec::new(),
        priority: if host == Host::North { 1 } else { 2 },
        weight: 1,
        credentials: (host == Host::South).then(|| Arc::new(credentials)),
        access: vec![list],
        nat: false,
    }
}

fn numbers(calls: usize) -> Vec<Number> {
    let number = |number: String, inbound: Inbound| Number {
        number,
        application: name(APPLICATION),
        inbound,
    };
    let own = (0..calls as u64).map(|call| {
        let inbound =
            if call % 2 == 0 { Inbound::Trunk(name("alpha")) } else { Inbound::Application };
        number(own_number(call), inbound)
    });
    own.chain([number(CALLER_NUMBER.to_owned(), Inbound::None)]).collect()
}

fn hashes(username: &str, password: &str) -> Ha1 {
    let (md5, sha256) = ha1(username, EDGE_HOST, password);
    let mut hashes = Ha1 { md5: [0; 32], sha256: [0; 64] };
    hashes.md5.copy_from_slice(md5.as_bytes());
    hashes.sha256.copy_from_slice(sha256.as_bytes());
    hashes
}

fn resolved(address: SocketAddr) -> Resolved {
    List::from_iter([address])
}

fn name(text_: &str) -> Name {
    text(text_).unwrap_or_default()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}
