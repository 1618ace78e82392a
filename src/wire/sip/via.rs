//! Via (RFC 3261 §20.42, RFC 3581).

use std::net::{IpAddr, SocketAddr};

use super::error::Fault;
use super::params::Params;
use super::table::{LWS, TOKEN, skip};
use super::uri::{host_addr, host_port};
use crate::base::packet::Transport;

/// The magic cookie that begins every branch of this protocol version (RFC 3261 §8.1.1.7).
pub(crate) const COOKIE: &str = "z9hG4bK";

/// One Via value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// Transport name as written; [`Via::transport`] reads it.
    pub protocol: &'a str,
    /// Host of sent-by: a name, an IPv4 address, or an IPv6 address in brackets.
    pub host: &'a str,
    /// Port of sent-by.
    pub port: Option<u16>,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one value (not a list), without white space at its ends.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let bytes = text.as_bytes();
        let after_slash = match bytes.get(..8) {
            Some(b"SIP/2.0/") => 8,
            Some(head) if head.eq_ignore_ascii_case(b"SIP/2.0/") => 8,
            _ => loose_protocol(bytes)?,
        };
        let protocol = skip(bytes, after_slash, LWS);
        let protocol_end = skip(bytes, protocol, TOKEN);
        let host = skip(bytes, protocol_end, LWS);
        if protocol == protocol_end || host == protocol_end {
            return Err(Fault::new(protocol_end, "no transport"));
        }
        let (host_end, port, end) = host_port(bytes, host, LWS)?;
        let params = skip(bytes, end, LWS);
        if params < bytes.len() && bytes[params] != b';' {
            return Err(Fault::new(params, "expected ';' behind sent-by"));
        }
        let part = |start: usize, end: usize| text.get(start..end).unwrap_or("");
        Ok(Self {
            protocol: part(protocol, protocol_end),
            host: part(host, host_end),
            port,
            params: Params::new(part(params, bytes.len())),
        })
    }

    /// The transport, where Carrick has it.
    pub fn transport(&self) -> Option<Transport> {
        Transport::parse(self.protocol)
    }

    /// The `branch` parameter, where it is there and not empty.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    /// Whether the branch begins with `z9hG4bK` and goes on: it then names the transaction.
    pub fn has_cookie(&self) -> bool {
        self.branch().is_some_and(|branch| {
            branch.len() > COOKIE.len()
                && branch.as_bytes()[..COOKIE.len()].eq_ignore_ascii_case(COOKIE.as_bytes())
        })
    }

    /// The `received` parameter's address, with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        host_addr(self.params.get("received")?)
    }

    /// The `rport` parameter: `None` absent, `Some(None)` asked for, `Some(Some(port))` filled in.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(|port| port.parse().ok())
    }

    /// The `maddr` parameter.
    pub fn maddr(&self) -> Option<&'a str> {
        self.params.get("maddr").filter(|host| !host.is_empty())
    }

    /// The address in sent-by, where it is one and not a name.
    pub fn host_addr(&self) -> Option<IpAddr> {
        host_addr(self.host)
    }

    /// Where a response to this Via goes when only the Via is known (RFC 3261 §18.2.2, RFC 3581
    /// §4): `received` or the sent-by address; `rport`, or the sent-by port, or `default_port`.
    pub fn response_target(&self, default_port: u16) -> Option<SocketAddr> {
        let address = self.received().or_else(|| self.host_addr())?;
        let port = self.rport().flatten().or(self.port).unwrap_or(default_port);
        Some(SocketAddr::new(address, port))
    }
}

/// `SIP / 2.0 /` with white space; the offset behind the second slash.
#[cold]
fn loose_protocol(bytes: &[u8]) -> Result<usize, Fault> {
    let mut at = 0;
    for word in [&b"SIP"[..], b"2.0"] {
        let end = at + word.len();
        if !bytes.get(at..end).is_some_and(|found| found.eq_ignore_ascii_case(word)) {
            return Err(Fault::new(at, "protocol is not SIP/2.0"));
        }
        let slash = skip(bytes, end, LWS);
        if bytes.get(slash) != Some(&b'/') {
            return Err(Fault::new(slash, "expected '/'"));
        }
        at = skip(bytes, slash + 1, LWS);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_loose_and_ipv6() {
        let via = Via::parse("SIP/2.0/UDP 192.0.2.1:5061;rport;branch=z9hG4bKx").expect("plain");
        assert_eq!((via.host, via.port), ("192.0.2.1", Some(5061)));
        assert_eq!(via.transport(), Some(Transport::Udp));
        assert_eq!(via.rport(), Some(None));
        assert!(via.has_cookie());
        let via =
            Via::parse("SIP  /   2.0\r\n /UDP\r\n    192.0.2.2 : 5070;branch=390").expect("loose");
        assert_eq!((via.host, via.port, via.branch()), ("192.0.2.2", Some(5070), Some("390")));
        assert!(!via.has_cookie());
        let via = Via::parse("SIP/2.0/TLS [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bK")
            .expect("ipv6");
        assert_eq!(via.host_addr(), "2001:db8::9:1".parse().ok());
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
        assert!(!via.has_cookie());
    }

    #[test]
    fn answers_go_to_received_and_rport() {
        let via =
            Via::parse("SIP/2.0/UDP 10.0.0.1:5062;received=192.0.2.9;rport=40000").expect("via");
        assert_eq!(via.response_target(5060), "192.0.2.9:40000".parse().ok());
        let via = Via::parse("SIP/2.0/UDP 10.0.0.1:5062;rport").expect("via");
        assert_eq!(via.response_target(5060), "10.0.0.1:5062".parse().ok());
        assert_eq!(Via::parse("SIP/2.0/UDP pbx.example").expect("via").response_target(5060), None);
    }

    #[test]
    fn refuses_bad_values() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/ host",
            "SIP/7.0/UDP host",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP [2001:db8:::1]",
            "SIP/2.0/UDP host:99999",
            "SIP/2.0/UDP host:",
            "SIP/2.0/UDP host x",
            "SIP/2.0/UDP ;branch=1",
        ] {
            assert!(Via::parse(bad).is_err(), "{bad}");
        }
    }
}
