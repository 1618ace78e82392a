//! Values that TOML has no type for: listeners, port ranges, networks, URIs, numbers, passwords.
//! Each is parsed once, here, into what the edge works with.

use std::net::{IpAddr, SocketAddr};

use super::model::{AddressRange, NumberTarget, PeerUri};
use crate::base::limits::{NAME_BYTES_MAX, SIP_URI_BYTES_MAX};
use crate::base::packet::Transport;

/// Why a value is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) message: String,
    pub(super) expected: &'static str,
    pub(super) help: &'static str,
}

type Parsed<T> = Result<T, Bad>;

fn bad<T>(message: impl Into<String>, expected: &'static str, help: &'static str) -> Parsed<T> {
    Err(Bad { message: message.into(), expected, help })
}

/// `udp://ADDRESS:PORT` or `tcp://ADDRESS:PORT`.
pub(super) fn listener(text: &str) -> Parsed<(Transport, SocketAddr)> {
    const FORM: &str = "expected udp://ADDRESS:PORT or tcp://ADDRESS:PORT";
    const EXAMPLE: &str = "write udp://0.0.0.0:5060, or udp://[::]:5060 for IPv6";
    let Some((scheme, rest)) = text.split_once("://") else {
        return bad(format!("`{text}` names no transport"), FORM, EXAMPLE);
    };
    let transport = match Transport::parse(scheme) {
        Some(Transport::Tls) => return no_tls(text),
        Some(transport) => transport,
        None => return bad(format!("`{scheme}` is no transport"), FORM, EXAMPLE),
    };
    match rest.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            bad("port 0 cannot be told to peers", FORM, "SIP's own port is 5060")
        }
        Ok(address) => Ok((transport, address)),
        Err(_) if rest.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            bad("a listener needs an address, not a name", FORM, EXAMPLE)
        }
        Err(_) => bad(format!("`{rest}` is no ADDRESS:PORT"), FORM, EXAMPLE),
    }
}

fn no_tls<T>(text: &str) -> Parsed<T> {
    let message = format!("`{text}` asks for TLS, which is not available in this build yet");
    bad(message, "expected udp or tcp", "leave it out until a release that has TLS")
}

/// A transport's name.
pub(super) fn transport(text: &str) -> Parsed<Transport> {
    match Transport::parse(text) {
        Some(Transport::Tls) => no_tls(text),
        Some(transport) => Ok(transport),
        None => bad(format!("`{text}` is no transport"), "expected \"udp\" or \"tcp\"", ""),
    }
}

/// `FIRST-LAST`, as an even first port and an odd last one.
pub(super) fn ports(text: &str) -> Parsed<(u16, u16)> {
    const FORM: &str = "expected FIRST-LAST, from 1024 to 65535";
    let pair = text.split_once('-');
    let pair = pair.and_then(|(a, b)| Some((port(a.trim())?, port(b.trim())?)));
    let Some((first, last)) = pair else {
        return bad(format!("`{text}` is no range of ports"), FORM, "write \"10000-20000\"");
    };
    if first < 1024 {
        return bad("ports below 1024 are the system's", FORM, "");
    }
    // RTP sits on the even port of a pair and RTCP on the odd one: half pairs are not used.
    let first = first + first % 2;
    let last = if last % 2 == 0 { last - 1 } else { last };
    if first >= last {
        return bad(
            format!("`{text}` holds no pair of ports"),
            FORM,
            "the first port comes first, and a call needs two pairs",
        );
    }
    Ok((first, last))
}

fn port(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?.filter(|port| *port > 0)
}

/// An IP address that can be told to peers or bound.
pub(super) fn address(text: &str) -> Parsed<IpAddr> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address),
        Err(_) => bad(format!("`{text}` is no IP address"), "expected an IPv4 or IPv6 address", ""),
    }
}

/// A CIDR range or an address; the flag says that bits below the prefix were set.
pub(super) fn range(text: &str) -> Parsed<(AddressRange, bool)> {
    const FORM: &str = "expected an address or ADDRESS/BITS";
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(given) = address.parse::<IpAddr>() else {
        return bad(
            format!("`{address}` is no IP address"),
            FORM,
            "write \"192.0.2.0/24\" or \"2001:db8::/32\"",
        );
    };
    let network = given.to_canonical();
    let mapped = given.is_ipv6() && network.is_ipv4();
    let width: u8 = if network.is_ipv4() { 32 } else { 128 };
    let given_width: u8 = if mapped { 128 } else { width };
    let prefix = match bits.map(str::parse::<u8>) {
        None => width,
        // `::ffff:192.0.2.0/120` is 192.0.2.0/24.
        Some(Ok(bits)) if bits <= given_width && (!mapped || bits >= 96) => {
            bits - (given_width - width)
        }
        Some(_) => {
            return bad(
                format!("`{text}` has no such prefix length"),
                if width == 32 { "expected at most /32" } else { "expected at most /128" },
                "",
            );
        }
    };
    let cleared = clear(network, prefix);
    Ok((AddressRange { network: cleared, prefix }, cleared != network))
}

fn clear(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((a.to_bits() & mask).into())
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((a.to_bits() & mask).into())
        }
    }
}

/// A name that other settings refer to.
pub(super) fn name(text: &str) -> Parsed<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(fits) {
        return bad(
            format!("`{text}` is no name"),
            "expected 1 to 64 of A-Z a-z 0-9 - _ .",
            "names travel in URIs, callbacks and records",
        );
    }
    Ok(())
}

/// A digest user name or application key: printable, without what SIP headers quote.
pub(super) fn username(text: &str) -> Parsed<()> {
    let fits = |c: char| c.is_ascii_graphic() && !"\":\\,;<>".contains(c);
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(fits) {
        return bad(
            format!("`{text}` is no user name"),
            "expected 1 to 64 printable characters without space and \" : \\ , ; < >",
            "",
        );
    }
    Ok(())
}

/// A host name or an address, without port.
pub(super) fn host(text: &str) -> Parsed<()> {
    if text.parse::<IpAddr>().is_ok() || is_host_name(text) {
        return Ok(());
    }
    bad(
        format!("`{text}` is no host name"),
        "expected a host name or an IP address",
        "without scheme, port or path: sip.example.net",
    )
}

fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // Digits and dots only is an address written wrong, not a name.
    text.len() <= 253
        && text.split('.').all(label)
        && text.contains(|c: char| c.is_ascii_alphabetic())
}

/// E.164 with `+`.
pub(super) fn number(text: &str) -> Parsed<()> {
    let digits = text.strip_prefix('+').unwrap_or("");
    if !(2..=15).contains(&digits.len()) || !is_digits(digits) {
        return bad(
            format!("`{text}` is no E.164 number"),
            "expected + and 2 to 15 digits",
            "write it with country code and without blanks: \"+442071838750\"",
        );
    }
    Ok(())
}

/// A prefix of E.164 numbers, `+` written and dropped.
pub(super) fn prefix(text: &str) -> Parsed<String> {
    let digits = text.strip_prefix('+').unwrap_or("");
    if !(1..=15).contains(&digits.len()) || !is_digits(digits) {
        return bad(
            format!("`{text}` is no prefix of E.164 numbers"),
            "expected + and 1 to 15 digits",
            "write \"+44\"; an empty list stands for all numbers",
        );
    }
    Ok(digits.to_owned())
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0')
}

/// `trunk:NAME`, `callback` or `none`.
pub(super) fn target(text: &str) -> Parsed<NumberTarget> {
    match text {
        "callback" => Ok(NumberTarget::Callback),
        "none" => Ok(NumberTarget::None),
        _ => match text.strip_prefix("trunk:") {
            Some(trunk) if !trunk.is_empty() => Ok(NumberTarget::Trunk(trunk.to_owned())),
            _ => bad(
                format!("`{text}` is nowhere a call can go"),
                "expected \"trunk:NAME\", \"callback\" or \"none\"",
                "",
            ),
        },
    }
}

/// A `sip:` URI to send calls to: `sip:[user@]host[:port][;transport=udp|tcp]`.
pub(super) fn peer_uri(text: &str) -> Parsed<PeerUri> {
    const FORM: &str = "expected sip:[USER@]HOST[:PORT][;transport=udp|tcp]";
    if text.len() > SIP_URI_BYTES_MAX {
        return bad("the URI is longer than 256 characters", FORM, "");
    }
    let scheme = text.split(':').next().unwrap_or("");
    if scheme.eq_ignore_ascii_case("sips") {
        return no_tls(text);
    }
    if !scheme.eq_ignore_ascii_case("sip") || !text.contains(':') {
        return bad(format!("`{text}` is no SIP URI"), FORM, "write \"sip:203.0.113.7:5060\"");
    }
    if text.contains(|c: char| !c.is_ascii_graphic() || "<>\"?".contains(c)) {
        return bad(format!("`{text}` holds a blank, quote, bracket or header"), FORM, "");
    }
    let rest = &text[scheme.len() + 1..];
    let (address, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    let (user, host_port) = match address.rsplit_once('@') {
        Some((user, host_port)) => (Some(user), host_port),
        None => (None, address),
    };
    if user.is_some_and(|user| user.replace("{number}", "1").contains(['{', '}'])) {
        return bad(
            format!("`{text}` holds an unknown placeholder"),
            FORM,
            "only {number} is known",
        );
    }
    let Some((host_text, port)) = host_and_port(host_port) else {
        return bad(format!("`{host_port}` is no HOST[:PORT]"), FORM, "IPv6 goes in brackets");
    };
    host(host_text)?;
    let parameters = parameters.split(';').filter_map(|p| p.split_once('='));
    let mut named = parameters.filter(|(name, _)| name.eq_ignore_ascii_case("transport"));
    let transport = named.next().map_or(Ok(Transport::Udp), |(_, value)| transport(value))?;
    Ok(PeerUri { uri: text.to_owned(), host: host_text.to_owned(), port, transport })
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    match rest.strip_prefix(':') {
        Some(digits) => Some((host, Some(port(digits)?))),
        None => rest.is_empty().then_some((host, None)),
    }
}

/// An `http` or `https` URL for callbacks.
pub(super) fn callback_url(text: &str, allow_http: bool, allow_private: bool) -> Parsed<()> {
    const FORM: &str = "expected https://HOST[:PORT]/PATH";
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let is_http = scheme.eq_ignore_ascii_case("http");
    if !is_http && !scheme.eq_ignore_ascii_case("https") {
        return bad("the callback is no https:// URL", FORM, "");
    }
    if is_http && !allow_http {
        return bad(
            "the callback would travel without TLS",
            FORM,
            "use https://, or set allow_http = true in [callbacks]",
        );
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        return bad(
            "the callback holds a user name or password",
            FORM,
            "callbacks are signed; leave them out",
        );
    }
    if text.contains('#') || text.contains(|c: char| !c.is_ascii_graphic()) {
        return bad("the callback holds a blank, a fragment or a raw character", FORM, "");
    }
    let Some((host_text, _)) = host_and_port(authority) else {
        return bad(format!("`{authority}` is no HOST[:PORT]"), FORM, "IPv6 goes in brackets");
    };
    host(host_text)?;
    let local = host_text.eq_ignore_ascii_case("localhost")
        || host_text.parse::<IpAddr>().is_ok_and(is_private);
    if local && !allow_private {
        return bad(
            format!("`{host_text}` is a private address"),
            "expected a public host",
            "set allow_private = true in [callbacks] where that is meant",
        );
    }
    Ok(())
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(a) => {
            let shared = a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64;
            a.is_private() || a.is_loopback() || a.is_link_local() || a.is_unspecified() || shared
        }
        IpAddr::V6(a) => {
            a.is_loopback()
                || a.is_unspecified()
                || a.is_unique_local()
                || a.is_unicast_link_local()
        }
    }
}

/// The rule for passwords of credential lists. The message never holds the password.
pub(super) fn password(text: &str) -> Parsed<()> {
    const FORM: &str = "expected 12 characters or more with upper case, lower case and a digit";
    let has = |test: fn(&char) -> bool| text.chars().any(|c| test(&c));
    if text.chars().count() < 12 {
        return bad("the password is too short", FORM, "");
    }
    if !(has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase)) {
        return bad("the password has only one case of letters", FORM, "");
    }
    if !has(char::is_ascii_digit) {
        return bad("the password has no digit", FORM, "");
    }
    Ok(())
}

/// The rule for application secrets: base64 of at least 16 bytes.
pub(super) fn application_secret(text: &str) -> Parsed<()> {
    use base64::Engine as _;
    const FORM: &str = "expected base64 of at least 16 bytes";
    const HELP: &str = "`openssl rand -base64 32` makes one";
    match base64::engine::general_purpose::STANDARD.decode(text) {
        Ok(bytes) if bytes.len() >= 16 => Ok(()),
        Ok(_) => bad("the secret is too short", FORM, HELP),
        Err(_) => bad("the secret is no base64", FORM, HELP),
    }
}
