//! The endpoint of `connectSip`: `user@host`, `sip:user@host[:port][;transport=…]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::bounded::Text;
use crate::base::limits::SIP_URI_BYTES_MAX;
use crate::base::packet::Transport;

/// A host to be reached over a transport (RFC 3263 input).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// Name or address, without brackets, in lower case.
    pub name: String,
    /// Port, where one was given.
    pub port: Option<u16>,
    /// Transport in use.
    pub transport: Transport,
}

impl Host {
    /// The socket address, where the host is an address; the port is the transport's own where
    /// none was given (RFC 3263 §4.2).
    pub fn address(&self) -> Option<SocketAddr> {
        let address: IpAddr = self.name.parse().ok()?;
        Some(SocketAddr::new(address, self.port_or_default()))
    }

    /// The port, or the one of the transport: 5060, 5061 with TLS.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(if self.transport == Transport::Tls { 5061 } else { 5060 })
    }
}

/// A checked endpoint.
#[derive(Debug)]
pub(super) struct SipEndpoint {
    /// Request-URI.
    pub(super) uri: Text<SIP_URI_BYTES_MAX>,
    /// Transport in use.
    pub(super) transport: Transport,
    /// Where to send.
    pub(super) host: Host,
}

/// Reads an endpoint. `asked` is the action's own `transport`, which a `;transport=` of the URI
/// must not contradict.
pub(super) fn parse(endpoint: &str, asked: Option<Transport>) -> Result<SipEndpoint, &'static str> {
    let (secure, rest) = scheme(endpoint)?;
    if rest.contains('?') {
        return Err("a SIP endpoint carries no headers (?): use callHeaders");
    }
    let Some((user, host_and_parameters)) = rest.rsplit_once('@') else {
        return Err("a SIP endpoint is user@host, or sip:user@host");
    };
    if !is_user(user) {
        return Err("the user part of a SIP endpoint is malformed");
    }
    let mut parts = host_and_parameters.split(';');
    let (written, name, port) = host_port(parts.next().unwrap_or_default())?;
    let (of_uri, phone) = parameters(parts)?;
    let of_uri = if secure { Some(of_uri.unwrap_or(Transport::Tls)) } else { of_uri };
    let transport = match (of_uri, asked) {
        (Some(uri), Some(asked)) if uri != asked => {
            return Err("the endpoint's transport contradicts the action's");
        }
        (Some(transport), _) | (None, Some(transport)) => transport,
        (None, None) => Transport::Udp,
    };
    let mut uri = format!("{}:{user}@{written}", if secure { "sips" } else { "sip" });
    if let Some(port) = port {
        uri.push_str(&format!(":{port}"));
    }
    if !secure && transport != Transport::Udp {
        uri.push_str(&format!(";transport={}", transport.parameter()));
    }
    if phone {
        uri.push_str(";user=phone");
    }
    let uri = Text::from(&uri).map_err(|_| "a SIP endpoint has at most 256 bytes")?;
    Ok(SipEndpoint { uri, transport, host: Host { name, port, transport } })
}

/// Whether the scheme is `sips`, and what follows it.
fn scheme(endpoint: &str) -> Result<(bool, &str), &'static str> {
    let Some((scheme, rest)) = endpoint.split_once(':') else {
        return Ok((false, endpoint));
    };
    if scheme.eq_ignore_ascii_case("sip") {
        Ok((false, rest))
    } else if scheme.eq_ignore_ascii_case("sips") {
        Ok((true, rest))
    } else if scheme.contains('@') {
        Ok((false, endpoint))
    } else {
        Err("the scheme of a SIP endpoint is sip or sips")
    }
}

/// `user` of RFC 3261 §25.1, without a password.
fn is_user(user: &str) -> bool {
    let mut rest = user.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let plain = first.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;/".contains(first);
        rest = match (plain, first, after) {
            (true, ..) => after,
            (_, b'%', [a, b, after @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                after
            }
            _ => return false,
        };
    }
    !user.is_empty()
}

/// The host as it is written in a URI, without brackets and in lower case, and the port.
fn host_port(text: &str) -> Result<(String, String, Option<u16>), &'static str> {
    const WRONG: &str = "the host of a SIP endpoint is malformed";
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or(WRONG)?;
            let address: Ipv6Addr = address.parse().map_err(|_| WRONG)?;
            let port =
                if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(WRONG)?) };
            (address.to_string(), port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_ascii_lowercase(), Some(port)),
            None => (text.to_ascii_lowercase(), None),
        },
    };
    let written = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    if !host.contains(':') && !is_host_name(&host) {
        return Err(WRONG);
    }
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            let port = digits.parse::<u16>().ok().filter(|port| *port > 0);
            Some(port.ok_or("a port is a number from 1 to 65535")?)
        }
        Some(_) => return Err("a port is a number from 1 to 65535"),
    };
    Ok((written, host, port))
}

/// A DNS name or a dotted IPv4 address; nothing that some resolvers take for an odd spelling of
/// an address.
fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let labels = host.strip_suffix('.').unwrap_or(host);
    let last = labels.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().next().is_some_and(|b| b.is_ascii_digit());
    labels.len() <= 253
        && labels.split('.').all(label)
        && (!numeric || host.parse::<Ipv4Addr>().is_ok())
}

/// Transport of the URI parameters, and whether `user=phone` is among them.
fn parameters<'e>(
    parameters: impl Iterator<Item = &'e str>,
) -> Result<(Option<Transport>, bool), &'static str> {
    let (mut transport, mut phone) = (None, false);
    for parameter in parameters {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.eq_ignore_ascii_case("transport") {
            let parsed = Transport::parse(value).ok_or("transport is udp, tcp or tls")?;
            if transport.replace(parsed).is_some() {
                return Err("transport is there twice");
            }
        } else if name.eq_ignore_ascii_case("user") && value.eq_ignore_ascii_case("phone") {
            phone = true;
        } else {
            return Err("the parameters of a SIP endpoint are transport and user=phone");
        }
    }
    Ok((transport, phone))
}
