//! Reads the sections of the host itself: `[edge]` to `[log]`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use toml::de::DeValue;

use super::DigestOffer;
use super::model::{
    Api, Backend, Callbacks, Drain, Edge, Listener, Log, LogFormat, LogLevel, Media, MediaAddress,
    Runtime, Sip,
};
use super::reader::{At, Section, Sink};
use super::value::{self, Bad};
use super::{Root, keys};
use crate::base::packet::Transport;
use crate::base::time::Duration;

/// Most SIP listeners.
const LISTENERS_MAX: usize = 16;
/// Most media addresses.
const ADDRESSES_MAX: usize = 8;

/// The host's sections.
pub(super) struct Host {
    pub(super) edge: Edge,
    pub(super) sip: Sip,
    pub(super) media: Media,
    pub(super) runtime: Runtime,
    pub(super) api: Api,
    pub(super) callbacks: Callbacks,
    pub(super) drain: Drain,
    pub(super) log: Log,
}

pub(super) fn read(sink: &mut Sink<'_>, root: &Root<'_>) -> Host {
    let edge = edge(sink, root);
    let media = media(sink, root, &edge);
    let sip = sip(sink, root, &edge, &media);
    let runtime = runtime(sink, root, &media);
    let api = api(sink, root);
    let callbacks = callbacks(sink, root);
    let drain_section = root.one(sink, "drain");
    let drain = Drain { deadline: seconds(sink, &drain_section, "deadline_s") };
    let log = log(sink, root);
    Host { edge, sip, media, runtime, api, callbacks, drain, log }
}

/// What `parse` makes of the text; a refusal is noted.
pub(super) fn parsed<T>(
    sink: &mut Sink<'_>,
    path: &str,
    text: &At<String>,
    parse: impl FnOnce(&str) -> Result<T, Bad>,
) -> Option<T> {
    match parse(&text.value) {
        Ok(value) => Some(value),
        Err(Bad { message, expected, help }) => {
            sink.error(path, text.span.clone(), message, expected, help);
            None
        }
    }
}

fn edge(sink: &mut Sink<'_>, root: &Root<'_>) -> Edge {
    let section = &root.one(sink, "edge");
    let region = section.text(sink, "region").map(|text| text.value).unwrap_or_default();
    let host = section.text(sink, "host");
    if let Some(host) = &host {
        parsed(sink, "edge.host", host, value::host);
    }
    let advertised_sip = section.text(sink, "advertised_sip");
    if let Some(text) = &advertised_sip {
        parsed(sink, "edge.advertised_sip", text, value::host);
    }
    let advertised_media = section.text(sink, "advertised_media").and_then(|text| {
        let path = "edge.advertised_media";
        let address = parsed(sink, path, &text, value::address)?;
        if address.is_unspecified() {
            sink.error(path, text.span, "peers cannot send to a wildcard address", "", "");
        }
        Some(address)
    });
    let directory = section.text(sink, "data_dir").map(|text| text.value).unwrap_or_default();
    let data_dir = PathBuf::from(directory);
    let store = section.text(sink, "store").map(|text| text.value).unwrap_or_default();
    Edge {
        region,
        host: host.map(|host| host.value.to_ascii_lowercase()).unwrap_or_default(),
        advertised_sip: advertised_sip.map(|text| text.value),
        advertised_media,
        store: data_dir.join(store),
        data_dir,
    }
}

fn media(sink: &mut Sink<'_>, root: &Root<'_>, edge: &Edge) -> Media {
    let section = &root.one(sink, "media");
    let addresses = media_addresses(sink, section, edge);
    let ports = section.text(sink, "ports");
    let ports = ports.and_then(|text| parsed(sink, "media.ports", &text, value::ports));
    let (port_first, port_last) = ports.unwrap_or((10_000, 19_999));
    let quarantine = seconds(sink, section, "quarantine_s");
    Media { addresses, port_first, port_last, quarantine }
}

fn media_addresses(sink: &mut Sink<'_>, section: &Section<'_>, edge: &Edge) -> Vec<MediaAddress> {
    const PATH: &str = "media.addresses";
    let mut addresses: Vec<MediaAddress> = Vec::new();
    let Some(DeValue::Array(array)) = section.raw("addresses") else {
        section.texts(sink, "addresses");
        return addresses;
    };
    for item in array.iter() {
        let (bind, advertised) = match item.get_ref() {
            DeValue::String(text) => {
                let text = At { value: text.clone().into_owned(), span: item.span() };
                (Some(text), None)
            }
            DeValue::Table(table) => {
                let known = keys::section(PATH).expect("a section of the table of settings");
                let pair = Section::open(sink, known, Some(table), item.span());
                (pair.text(sink, "bind"), pair.text(sink, "advertised"))
            }
            _ => {
                let expected = "expected an address or { bind = …, advertised = … }";
                sink.error(PATH, item.span(), "this is no media address", expected, "");
                continue;
            }
        };
        let Some(bind) = bind.and_then(|text| parsed(sink, PATH, &text, value::address)) else {
            continue;
        };
        let own = advertised.and_then(|text| parsed(sink, PATH, &text, value::address));
        let general = edge.advertised_media.filter(|a| a.is_ipv4() == bind.is_ipv4());
        let address = MediaAddress { bind, advertised: own.or(general).unwrap_or(bind) };
        check_media_address(sink, item.span(), address, &addresses);
        addresses.push(address);
    }
    if addresses.len() > ADDRESSES_MAX || array.is_empty() {
        let message = format!("{} media addresses are given", addresses.len());
        sink.error(PATH, section.place("addresses"), message, "expected 1 to 8", "");
    }
    addresses
}

fn check_media_address(
    sink: &mut Sink<'_>,
    span: std::ops::Range<usize>,
    address: MediaAddress,
    before: &[MediaAddress],
) {
    const PATH: &str = "media.addresses";
    if address.advertised.is_unspecified() {
        sink.error(
            PATH,
            span.clone(),
            "session descriptions cannot name a wildcard address",
            "expected the address that peers send to",
            "name the address, or { bind = \"0.0.0.0\", advertised = \"198.51.100.7\" }",
        );
    }
    if address.advertised.is_ipv4() != address.bind.is_ipv4() {
        let message = "bind and advertised are of different families";
        sink.error(PATH, span.clone(), message, "expected both IPv4 or both IPv6", "");
    }
    if before.iter().any(|earlier| earlier.bind == address.bind) {
        let message = format!("{} is there twice", address.bind);
        sink.error(PATH, span, message, "expected each address once", "");
    }
}

fn sip(sink: &mut Sink<'_>, root: &Root<'_>, edge: &Edge, media: &Media) -> Sip {
    let section = &root.one(sink, "sip");
    let mut listeners = Vec::new();
    let mut seen = BTreeMap::new();
    let texts = section.texts(sink, "listen");
    for text in &texts {
        let Some((transport, bind)) = parsed(sink, "sip.listen", text, value::listener) else {
            continue;
        };
        if seen.insert((transport, bind), ()).is_some() {
            let message = format!("`{}` is there twice", text.value);
            sink.error("sip.listen", text.span.clone(), message, "expected each once", "");
        }
        let in_media = (media.port_first..=media.port_last).contains(&bind.port());
        if transport == Transport::Udp && in_media {
            let message = format!("port {} is also a media port", bind.port());
            let help = "move the listener, or media.ports";
            sink.error("sip.listen", text.span.clone(), message, "expected another port", help);
        }
        let advertised_host = advertised_host(bind, edge, media);
        listeners.push(Listener { transport, bind, advertised_host });
    }
    let none = section.raw("listen").and_then(DeValue::as_array).is_some_and(|a| a.is_empty());
    if none || texts.len() > LISTENERS_MAX {
        let message = format!("{} listeners are given", texts.len());
        sink.error("sip.listen", section.place("listen"), message, "expected 1 to 16", "");
    }
    let t1 = milliseconds(sink, section, "t1_ms");
    let t2 = milliseconds(sink, section, "t2_ms");
    let t4 = milliseconds(sink, section, "t4_ms");
    if t2 < t1 {
        let message = "T2 is shorter than T1";
        sink.error("sip.t2_ms", section.place("t2_ms"), message, "expected t1_ms or more", "");
    }
    let digest = match section.choice(sink, "digest").map(|word| word.value) {
        Some("sha-256") => DigestOffer::Sha256,
        Some("md5") => DigestOffer::Md5,
        _ => DigestOffer::Both,
    };
    Sip { listeners, t1, t2, t4, digest }
}

/// What Via and Contact name.
fn advertised_host(bind: SocketAddr, edge: &Edge, media: &Media) -> String {
    if let Some(host) = &edge.advertised_sip {
        return host.parse().map_or_else(|_| host.clone(), in_uri);
    }
    if !bind.ip().is_unspecified() {
        return in_uri(bind.ip());
    }
    let same_family = |a: &&MediaAddress| a.advertised.is_ipv4() == bind.is_ipv4();
    let media = media.addresses.iter().find(same_family).map(|a| in_uri(a.advertised));
    media.unwrap_or_else(|| edge.host.clone())
}

fn in_uri(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn runtime(sink: &mut Sink<'_>, root: &Root<'_>, media: &Media) -> Runtime {
    let section = &root.one(sink, "runtime");
    let shards = section.number(sink, "shards").filter(|shards: &usize| *shards > 0);
    let pin = section.boolean(sink, "pin").unwrap_or(true);
    let backend = section.choice(sink, "backend");
    let backend = match backend.as_ref().map(|word| word.value) {
        Some("io_uring") => Backend::IoUring,
        Some("epoll") => Backend::Epoll,
        Some("xdp") => {
            let message = "the AF_XDP backend is not available in this build yet";
            let expected = "expected \"auto\", \"io_uring\" or \"epoll\"";
            let help = "\"auto\" takes the fastest that is there";
            sink.error("runtime.backend", section.place("backend"), message, expected, help);
            Backend::Auto
        }
        _ => Backend::Auto,
    };
    let spin = Duration::from_micros(section.number(sink, "spin_us").unwrap_or(0));
    let calls_max: Option<u32> = section.number(sink, "max_calls");
    // A call that is connected through has two legs, each with a pair of ports.
    let room = media.pairs() / 2;
    if !media.addresses.is_empty() && calls_max.is_some_and(|calls| calls as usize > room) {
        let message = format!("media.ports has room for {room} calls only");
        let place = section.place("max_calls");
        sink.warn("runtime.max_calls", place, message, "more than that", "widen media.ports");
    }
    Runtime { shards, pin, backend, spin, calls_max }
}

fn api(sink: &mut Sink<'_>, root: &Root<'_>) -> Api {
    let section = &root.one(sink, "api");
    let listen = section.text(sink, "listen").and_then(|text| {
        parsed(sink, "api.listen", &text, |text| {
            text.parse::<SocketAddr>().map_err(|_| Bad {
                message: format!("`{text}` is no ADDRESS:PORT"),
                expected: "expected ADDRESS:PORT",
                help: "write \"127.0.0.1:8080\"",
            })
        })
    });
    let token = section.secret(sink, "token");
    if let Some(token) = &token
        && token.value.expose().len() < 16
    {
        let expected = "expected 16 characters or more";
        let help = "`openssl rand -hex 32` makes one";
        sink.error("api.token", token.span.clone(), "the token is too short", expected, help);
    }
    let given = ["token", "token_file", "token_env"].iter().any(|name| section.has(name));
    if !given && listen.is_some_and(|listen| !listen.ip().is_loopback()) {
        let message = "the API would be open to everyone who can reach it";
        let expected = "expected a loopback address, or a token";
        let help = "add token_file = \"/etc/carrick/api.token\"";
        sink.error("api.listen", section.place("listen"), message, expected, help);
    }
    let loopback = SocketAddr::from(([127, 0, 0, 1], 8080));
    Api { listen: listen.unwrap_or(loopback), token: token.map(|token| token.value) }
}

fn callbacks(sink: &mut Sink<'_>, root: &Root<'_>) -> Callbacks {
    let section = &root.one(sink, "callbacks");
    let budget = milliseconds(sink, section, "budget_ms");
    let connect = milliseconds(sink, section, "connect_ms");
    if connect > budget {
        let message = "connecting may take longer than the whole budget";
        let place = section.place("connect_ms");
        sink.error("callbacks.connect_ms", place, message, "expected at most budget_ms", "");
    }
    let allow_private = section.boolean(sink, "allow_private").unwrap_or(false);
    let allow_http = section.boolean(sink, "allow_http").unwrap_or(false);
    let ca_file = section.text(sink, "ca_file").map(|text| sink.surroundings.path(&text.value));
    Callbacks { budget, connect, allow_private, allow_http, ca_file }
}

fn log(sink: &mut Sink<'_>, root: &Root<'_>) -> Log {
    let section = &root.one(sink, "log");
    let level = match section.choice(sink, "level").map(|word| word.value) {
        Some("error") => LogLevel::Error,
        Some("warn") => LogLevel::Warn,
        Some("debug") => LogLevel::Debug,
        Some("trace") => LogLevel::Trace,
        _ => LogLevel::Info,
    };
    let format = match section.choice(sink, "format").map(|word| word.value) {
        Some("json") => LogFormat::Json,
        _ => LogFormat::Text,
    };
    Log { level, format }
}

fn milliseconds(sink: &mut Sink<'_>, section: &Section<'_>, name: &str) -> Duration {
    Duration::from_millis(section.number(sink, name).unwrap_or(0))
}

fn seconds(sink: &mut Sink<'_>, section: &Section<'_>, name: &str) -> Duration {
    Duration::from_secs(section.number(sink, name).unwrap_or(0))
}
