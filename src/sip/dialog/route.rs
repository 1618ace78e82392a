//! Route sets and where they lead (RFC 3261 §12.1, §12.2.1.1).

use std::net::{IpAddr, SocketAddr};

use crate::base::bounded::{List, Text};
use crate::base::limits::{SIP_HEADERS_MAX, SIP_ROUTE_SET_BYTES_MAX};
use crate::base::packet::{SipPath, Transport};
use crate::wire::sip::{HeaderName, Message, NameAddr, Scheme, Uri, split_list};

type RouteSet = Text<SIP_ROUTE_SET_BYTES_MAX>;

/// The route set of the called side: Record-Route as it stands.
pub(super) fn in_order(message: &Message<'_>) -> Option<RouteSet> {
    joined(message.values(HeaderName::RecordRoute))
}

/// The route set of the calling side: Record-Route backwards.
pub(super) fn reversed(message: &Message<'_>) -> Option<RouteSet> {
    let mut values = List::<&str, SIP_HEADERS_MAX>::new();
    for value in message.values(HeaderName::RecordRoute) {
        values.try_push(value).ok()?;
    }
    joined(values.iter().rev().copied())
}

/// The URI of the first route and the routes behind it, where that is a strict router (of RFC
/// 2543, without `lr`).
pub(super) fn strict_first(route_set: &str) -> Option<(&str, &str)> {
    let (first, rest) = split_list(route_set);
    let route = NameAddr::parse(first).ok()?;
    let loose = route.parse_uri().is_ok_and(|uri| uri.is_loose_router());
    (!loose).then_some((route.uri, rest.map_or("", str::trim_start)))
}

/// See [`super::Dialog::next_hop`].
pub(super) fn next_hop(route_set: &str, target: &str, path: SipPath, translated: bool) -> SipPath {
    let first = NameAddr::parse(split_list(route_set).0).ok().map(|route| route.uri);
    if first.is_none() && translated {
        return path;
    }
    let Ok(uri) = Uri::parse(first.unwrap_or(target)) else {
        return path;
    };
    let Some(address) = uri.host_addr() else {
        return path;
    };
    // A peer that connected to us has a port of its own choice there; its address is what counts.
    let same = address.to_canonical() == path.peer.ip().to_canonical();
    if path.transport.is_reliable() && same && path.flow.is_some() {
        return path;
    }
    let secure = uri.scheme == Scheme::Sips || path.transport == Transport::Tls;
    let port = uri.port.unwrap_or(if secure { 5061 } else { 5060 });
    SipPath { peer: SocketAddr::new(address, port), flow: None, ..path }
}

/// Whether a target cannot be reached where it says it is: a private address, told by a peer
/// whose own address is none.
pub(super) fn is_translated(target: &str, peer: IpAddr) -> bool {
    let target = Uri::parse(target).ok().and_then(|uri| uri.host_addr());
    target.is_some_and(|target| is_private(target) && !is_private(peer))
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || shared
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            v6.is_loopback()
                || v6.is_unspecified()
                || first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80
        }
    }
}

/// Values joined by commas, each as `<URI>` and its parameters; `None` where one is no address or
/// they do not fit.
fn joined<'a>(values: impl Iterator<Item = &'a str>) -> Option<RouteSet> {
    let mut route_set = RouteSet::new();
    for value in values {
        let route = NameAddr::parse(value).ok()?;
        if !route_set.is_empty() {
            route_set.try_push_str(", ").ok()?;
        }
        for part in ["<", route.uri, ">"] {
            route_set.try_push_str(part).ok()?;
        }
        let params = route.params.raw();
        if !params.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
            route_set.try_push_str(params).ok()?;
        }
    }
    Some(route_set)
}
