//! Callback URLs: the one spelling on which all official validators agree.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A checked URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackUrl<'u> {
    /// Whether it is `https`.
    pub https: bool,
    /// Host as written, IPv6 without brackets.
    pub host: &'u str,
    /// Port, where one is given.
    pub port: Option<u16>,
    /// Path as it travels and is signed; `/` where the URL has none.
    pub path: &'u str,
}

impl CallbackUrl<'_> {
    /// Whether the host is this machine by its spelling: `localhost` or a loopback address.
    pub fn is_loopback(&self) -> bool {
        is_localhost(self.host) || self.address().is_some_and(|address| address.is_loopback())
    }

    /// The address, where the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Whether a name is `localhost` or below it (RFC 6761 §6.3).
pub fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let tail = name.rsplit('.').next().unwrap_or_default();
    tail.eq_ignore_ascii_case("localhost")
}

/// Checks a callback URL. `http` is for loopback hosts, elsewhere only where `allow_http` says so.
/// Queries and escapes are refused, because no two validators of signatures agree on them.
///
/// # Errors
/// A sentence for whoever wrote the URL.
pub fn check_url(url: &str, allow_http: bool) -> Result<CallbackUrl<'_>, &'static str> {
    if url.len() > 1024 {
        return Err("a callback URL has at most 1024 bytes");
    }
    let (https, rest) = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
        _ => return Err("a callback URL begins with https:// (or http://)"),
    };
    for (sign, why) in [
        ('?', "a callback URL has no query: validators disagree on whether it is signed"),
        ('%', "a callback URL has no percent-escapes: validators disagree on how they are signed"),
        ('#', "a callback URL has no fragment"),
        ('@', "a callback URL carries no user name or password"),
    ] {
        if rest.contains(sign) {
            return Err(why);
        }
    }
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:/".contains(&b);
    if !path.bytes().all(allowed) {
        return Err("the path of a callback URL has only letters, digits and -._~!$&'()*+,;=:/");
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("the path of a callback URL has no . or .. segments");
    }
    let (host, port) = host_port(authority)?;
    let checked = CallbackUrl { https, host, port, path };
    if !https && !allow_http && !checked.is_loopback() {
        return Err("a callback URL is https, except for this machine itself");
    }
    Ok(checked)
}

fn host_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    const WRONG: &str = "the host of a callback URL is a DNS name or an address";
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(WRONG)?;
            host.parse::<Ipv6Addr>().map_err(|_| WRONG)?;
            match after {
                "" => (host, None),
                _ => (host, Some(after.strip_prefix(':').ok_or(WRONG)?)),
            }
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            if !is_host_name(host) {
                return Err(WRONG);
            }
            (host, port)
        }
    };
    let port = match port {
        None => None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            let port = digits.parse::<u16>().ok().filter(|port| *port > 0);
            Some(port.ok_or("a port is a number from 1 to 65535")?)
        }
        Some(_) => return Err("a port is a number from 1 to 65535"),
    };
    Ok((host, port))
}

/// A DNS name or dotted IPv4. A name whose last label begins with a digit is refused unless it is
/// a plain dotted quad: resolvers read `127.1`, `0x7f.1` and `2130706433` as addresses.
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

/// Whether callbacks may go to an address that a name resolved to: a public unicast address. All
/// spellings of a private IPv4 address inside IPv6 count as that address.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            let embedded = match s {
                // NAT64 (RFC 6052, RFC 8215), IPv4-compatible, 6to4, Teredo: judge what is inside.
                [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0, 0, 0, 0, 0, 0, a, b] => Some((a, b)),
                [0x2002, a, b, ..] => Some((a, b)),
                _ => None,
            };
            if let Some((a, b)) = embedded {
                return is_public_v4(Ipv4Addr::from(u32::from(a) << 16 | u32::from(b)));
            }
            // Only global unicast 2000::/3, less Teredo and ORCHID (2001::/23), documentation and
            // discard ranges.
            s[0] & 0xe000 == 0x2000
                && !(s[0] == 0x2001 && (s[1] & 0xfe00 == 0 || s[1] == 0xdb8))
                && s[0] & 0xfff0 != 0x3ff0
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && b & 0xc0 == 64;
    let special = matches!((a, b, c), (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100))
        || (a, b, c) == (203, 0, 113)
        || a == 198 && b & 0xfe == 18;
    !(a == 0
        || a >= 224
        || shared
        || special
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_urls() {
        let url = check_url("https://backend.example.com/sinch/ice", false).expect("good");
        assert_eq!((url.host, url.port, url.path), ("backend.example.com", None, "/sinch/ice"));
        let url = check_url("HTTPS://[2001:db8::1]:8443", false).expect("good");
        assert_eq!((url.host, url.port, url.path), ("2001:db8::1", Some(8443), "/"));
        for local in ["http://localhost:80/a", "http://127.0.0.9/", "http://[::1]:9/x"] {
            assert!(check_url(local, false).expect(local).is_loopback());
        }
        assert!(check_url("http://backend.example.com/", false).is_err());
        assert!(check_url("http://backend.example.com/", true).is_ok());
    }

    #[test]
    fn spellings_that_are_refused() {
        for url in [
            "",
            "backend.example.com/",
            "ftp://a/",
            "https://",
            "https:///path",
            "https://a b/",
            "https://a/b c",
            "https://a/?x=1",
            "https://a/%2e",
            "https://a/#f",
            "https://u:p@a/",
            "https://u@a/",
            "https://a:0/",
            "https://a:65536/",
            "https://a:/",
            "https://a:8x/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://1.2.3/",
            "https://[::1/",
            "https://[::1]x/",
            "https://[127.0.0.1]/",
            "https://a..b/",
            "https://a\\b/",
            "https://a/b\\c",
            "https://a/\r\nX: y",
            "https://b\u{fc}cher.example/",
            "https://a/../b",
            "https://a/./b",
            "https://[fe80::1%25eth0]/",
            "https://[::1]:/",
            "https://-\u{0}/",
            "https://a/\u{0}",
            "https://.a/",
            "//a/b",
        ] {
            assert!(check_url(url, true).is_err(), "{url}");
        }
    }

    #[test]
    fn private_addresses_in_every_spelling() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a00:1",
            "2002:a00:1::",
            "2001:0:a::1",
            "2001:db8::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(address.parse().expect(address)), "{address}");
        }
        for address in
            ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101"]
        {
            assert!(is_public(address.parse().expect(address)), "{address}");
        }
    }
}
