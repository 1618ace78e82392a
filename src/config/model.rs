//! What a checked configuration holds: plain data, already in the units and types that the edge
//! works with. Each field names its key; `carrick explain KEY` prints default and range.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::Secret;
use crate::base::packet::Transport;
use crate::base::time::Duration;

/// The whole file.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[edge]`
    pub edge: Edge,
    /// `[sip]`
    pub sip: Sip,
    /// `[media]`
    pub media: Media,
    /// `[runtime]`
    pub runtime: Runtime,
    /// `[api]`
    pub api: Api,
    /// `[callbacks]`
    pub callbacks: Callbacks,
    /// `[drain]`
    pub drain: Drain,
    /// `[log]`
    pub log: Log,
    /// `[[application]]`, in file order; keys are unique.
    pub applications: Vec<Application>,
    /// `[[trunk]]`, in file order; names and domains are unique.
    pub trunks: Vec<Trunk>,
    /// `[[access_list]]`, in file order; names are unique.
    pub access_lists: Vec<AccessList>,
    /// `[[credential_list]]`, in file order; names are unique.
    pub credential_lists: Vec<CredentialList>,
    /// `[[number]]`, in file order; each number is there once.
    pub numbers: Vec<Number>,
    /// `[[carrier]]`, in file order; names are unique.
    pub carriers: Vec<Carrier>,
}

/// `[edge]`: who this edge is.
#[derive(Clone, Debug)]
pub struct Edge {
    /// `region`: free text, shown in callbacks and CDRs.
    pub region: String,
    /// `host`: SIP domain and digest realm.
    pub host: String,
    /// `advertised_sip`: host or address for Via and Contact behind 1:1 NAT.
    pub advertised_sip: Option<String>,
    /// `advertised_media`: address for session descriptions behind 1:1 NAT.
    pub advertised_media: Option<IpAddr>,
    /// `data_dir`: where the edge keeps its own files.
    pub data_dir: PathBuf,
    /// `store`: the database, already joined to `data_dir`.
    pub store: PathBuf,
}

/// `[sip]`: listeners and timers.
#[derive(Clone, Debug)]
pub struct Sip {
    /// `listen`, in file order: the place in the list is `SipPath::listener`.
    pub listeners: Vec<Listener>,
    /// `t1_ms`: RFC 3261 T1, the round-trip estimate.
    pub t1: Duration,
    /// `t2_ms`: RFC 3261 T2, the longest pause between retransmissions.
    pub t2: Duration,
    /// `t4_ms`: RFC 3261 T4, how long a message stays in the network.
    pub t4: Duration,
    /// `digest`.
    pub digest: DigestOffer,
}

/// Digest algorithms that are offered and taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DigestOffer {
    /// SHA-256 first, then MD5.
    #[default]
    Both,
    /// SHA-256 only.
    Sha256,
    /// MD5 only.
    Md5,
}

/// One `sip.listen` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Transport.
    pub transport: Transport,
    /// Address that is bound.
    pub bind: SocketAddr,
    /// Host for Via and Contact as a URI writes it (IPv6 in brackets): the address itself, or
    /// where that is a wildcard `edge.advertised_sip`, else a media address of the same family,
    /// else `edge.host`.
    pub advertised_host: String,
}

/// `[media]`: addresses and ports for RTP.
#[derive(Clone, Debug)]
pub struct Media {
    /// `addresses`: the place in the list is `MediaPort::address`.
    pub addresses: Vec<MediaAddress>,
    /// `ports`: first port, even.
    pub port_first: u16,
    /// `ports`: last port, odd.
    pub port_last: u16,
    /// `quarantine_s`: how long a port rests after a call.
    pub quarantine: Duration,
}

impl Media {
    /// RTP and RTCP port pairs over all addresses.
    pub fn pairs(&self) -> usize {
        usize::from(self.port_last - self.port_first).div_ceil(2) * self.addresses.len()
    }
}

/// One `media.addresses` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaAddress {
    /// Address that is bound.
    pub bind: IpAddr,
    /// Address that session descriptions name; same family.
    pub advertised: IpAddr,
}

/// Which packet backend runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring where the kernel lets us, else epoll.
    Auto,
    /// io_uring or refuse to start.
    IoUring,
    /// epoll with recvmmsg.
    Epoll,
}

/// `[runtime]`: shards and how they wait.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// `shards`; `None`: one a processor.
    pub shards: Option<usize>,
    /// `pin`: whether each shard's thread stays on one processor.
    pub pin: bool,
    /// `backend`.
    pub backend: Backend,
    /// `spin_us`: how long an idle shard looks for packets before it sleeps.
    pub spin: Duration,
    /// `max_calls` over all shards; `None`: as many as media ports allow.
    pub calls_max: Option<u32>,
}

/// `[api]`: REST and the operator's page.
#[derive(Clone, Debug)]
pub struct Api {
    /// `listen`.
    pub listen: SocketAddr,
    /// `token`, `token_file` or `token_env`: bearer token of the operator's API. `None` only on a
    /// loopback address.
    pub token: Option<Secret>,
}

/// `[callbacks]`: how applications are reached.
#[derive(Clone, Debug)]
pub struct Callbacks {
    /// `budget_ms`: time for a callback over both URLs.
    pub budget: Duration,
    /// `connect_ms`: time for one connection.
    pub connect: Duration,
    /// `allow_private`: whether URLs may lead to private addresses.
    pub allow_private: bool,
    /// `allow_http`: whether URLs may do without TLS.
    pub allow_http: bool,
    /// `ca_file`: PEM certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// `[drain]`: leaving service.
#[derive(Clone, Debug)]
pub struct Drain {
    /// `deadline_s`: how long calls may go on after a stop is asked for.
    pub deadline: Duration,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What must be repaired.
    Error,
    /// What should be looked at.
    Warn,
    /// What happened.
    Info,
    /// Why it happened.
    Debug,
    /// Every step.
    Trace,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// `level`.
    pub level: LogLevel,
    /// `format`.
    pub format: LogFormat,
}

/// `[[application]]`.
#[derive(Clone, Debug)]
pub struct Application {
    /// `key`.
    pub key: String,
    /// `secret` or `secret_file`: base64 text.
    pub secret: Secret,
    /// `callback.primary`.
    pub callback_primary: Option<String>,
    /// `callback.fallback`.
    pub callback_fallback: Option<String>,
}

/// A `sip:` URI that calls are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerUri {
    /// As written.
    pub uri: String,
    /// Host as written; IPv6 without brackets.
    pub host: String,
    /// Port, where one is written.
    pub port: Option<u16>,
    /// `;transport=`, else UDP.
    pub transport: Transport,
}

/// One `trunk.origination` entry.
#[derive(Clone, Debug)]
pub struct Origination {
    /// `uri`; `{number}` stands for the called number.
    pub uri: PeerUri,
    /// `priority`: lower first.
    pub priority: u16,
    /// `weight`: share among equals.
    pub weight: u16,
}

/// `trunk.media_security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaSecurity {
    /// Plain RTP.
    Never,
    /// SRTP where offered under TLS.
    Allowed,
}

/// `[[trunk]]`.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// `name`.
    pub name: String,
    /// `application`: key of one that exists.
    pub application: String,
    /// `domain`: termination domain, in lower case.
    pub domain: String,
    /// `access_lists`: names that exist.
    pub access_lists: Vec<String>,
    /// `credential_lists`: names that exist.
    pub credential_lists: Vec<String>,
    /// `application_credentials`; unset: true where the trunk has no list at all.
    pub application_credentials: bool,
    /// `origination`, in file order.
    pub origination: Vec<Origination>,
    /// `max_calls` at one time.
    pub calls_max: Option<u32>,
    /// `max_calls_per_second`.
    pub calls_per_second_max: Option<u32>,
    /// `allowed_destinations`: digits without `+`; empty: all.
    pub allowed_destinations: Vec<String>,
    /// `transports`.
    pub transports: Vec<Transport>,
    /// `media_security`.
    pub media_security: MediaSecurity,
    /// `nat`: media may come from an address that was not signalled.
    pub nat: bool,
}

/// One range of an access list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    /// Network address, bits below the prefix cleared.
    pub network: IpAddr,
    /// Prefix length in bits.
    pub prefix: u8,
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// `[[access_list]]`.
#[derive(Clone, Debug)]
pub struct AccessList {
    /// `name`.
    pub name: String,
    /// `ranges`, at least one.
    pub ranges: Vec<AddressRange>,
}

/// One `credential_list.users` entry.
#[derive(Clone, Debug)]
pub struct User {
    /// `username`.
    pub username: String,
    /// `password` or `password_file`.
    pub password: Secret,
}

/// `[[credential_list]]`.
#[derive(Clone, Debug)]
pub struct CredentialList {
    /// `name`.
    pub name: String,
    /// `users`, at least one; user names are unique within the list.
    pub users: Vec<User>,
}

/// Where calls to a number go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NumberTarget {
    /// `trunk:NAME`
    Trunk(String),
    /// `callback`
    Callback,
    /// `none`
    None,
}

/// `[[number]]`.
#[derive(Clone, Debug)]
pub struct Number {
    /// `number`: E.164 with `+`.
    pub number: String,
    /// `application`: key of one that exists.
    pub application: String,
    /// `to`.
    pub to: NumberTarget,
}

/// `[[carrier]]`.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// `name`.
    pub name: String,
    /// `uris`, at least one, tried in order.
    pub uris: Vec<PeerUri>,
    /// `prefixes`: digits without `+`; empty: all.
    pub prefixes: Vec<String>,
    /// `priority`: lower first.
    pub priority: u16,
    /// `weight`: share among equals.
    pub weight: u16,
    /// `username` with `password` or `password_file`.
    pub credentials: Option<User>,
    /// `access_lists`: names that exist.
    pub access_lists: Vec<String>,
    /// `nat`.
    pub nat: bool,
}
