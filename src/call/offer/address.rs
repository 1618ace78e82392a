//! Which addresses a peer may name for its media. Whatever it names, the edge will send packets
//! there at line rate, so a description must not point it at itself, at its own host or at many.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use super::{Description, OfferError};

/// What is known when a description is judged.
#[derive(Clone, Debug)]
pub struct AddressPolicy<'a> {
    /// Source address of the signalling. A peer on the edge's own host or link may name media
    /// there; nobody else may.
    pub signalling_peer: IpAddr,
    /// The edge's own media addresses.
    pub own: &'a [IpAddr],
    /// Ports that the edge uses for media on them. Other ports are another program's, which may
    /// well be a peer on the same host.
    pub own_ports: RangeInclusive<u16>,
}

impl AddressPolicy<'_> {
    /// Judges the addresses of a description. An unspecified address is a hold and nothing is
    /// ever sent to it; a refused line (port zero) has no address.
    pub fn check(&self, description: &Description) -> Result<(), OfferError> {
        if description.rtp_port == 0 {
            return Ok(());
        }
        if !description.address.is_unspecified() {
            self.check_address(description.rtp_address())?;
        }
        match description.rtcp {
            Some(rtcp) if !rtcp.ip().is_unspecified() => self.check_address(rtcp),
            _ => Ok(()),
        }
    }

    /// Judges one address that media would be sent to.
    pub fn check_address(&self, media: SocketAddr) -> Result<(), OfferError> {
        let refuse = |text| Err(OfferError::not_acceptable(399, text));
        let (address, peer) = (media.ip().to_canonical(), self.signalling_peer.to_canonical());
        if address.is_unspecified() || address.is_multicast() || is_reserved(address) {
            return refuse("the media address is no host's");
        }
        if address.is_loopback() && !peer.is_loopback() {
            return refuse("the media address is a loopback address");
        }
        if is_link_local(address) && !is_link_local(peer) {
            return refuse("the media address is link-local");
        }
        let own = self.own.iter().any(|own| own.to_canonical() == address);
        if own && self.own_ports.contains(&media.port()) {
            return refuse("the media address is the edge's own");
        }
        Ok(())
    }
}

/// `0.0.0.0/8`, `240.0.0.0/4` and the broadcast address in it.
fn is_reserved(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(peer: &str, media: &str) -> bool {
        let own = ["198.51.100.7".parse().expect("address"), "127.0.0.1".parse().expect("address")];
        let signalling_peer = peer.parse().expect("address");
        let policy = AddressPolicy { signalling_peer, own: &own, own_ports: 10_000..=20_000 };
        policy.check_address(media.parse().expect("address")).is_ok()
    }

    #[test]
    fn only_hosts_that_are_not_the_edge() {
        for (peer, media, expected) in [
            ("192.0.2.1", "192.0.2.1:4000", true),
            ("192.0.2.1", "203.0.113.9:4000", true),
            ("192.0.2.1", "10.0.0.1:4000", true),
            ("192.0.2.1", "[2001:db8::1]:4000", true),
            ("192.0.2.1", "127.0.0.1:4000", false),
            ("192.0.2.1", "[::1]:4000", false),
            ("192.0.2.1", "[::ffff:127.0.0.1]:4000", false),
            ("127.0.0.1", "127.0.0.1:4000", true),
            ("::1", "127.0.0.2:4000", true),
            ("127.0.0.1", "127.0.0.1:10000", false),
            ("192.0.2.1", "198.51.100.7:20000", false),
            ("192.0.2.1", "198.51.100.7:20001", true),
            ("192.0.2.1", "[::ffff:198.51.100.7]:20000", false),
            ("192.0.2.1", "169.254.169.254:80", false),
            ("169.254.1.1", "169.254.1.1:4000", true),
            ("192.0.2.1", "[fe80::1]:4000", false),
            ("192.0.2.1", "224.0.0.1:4000", false),
            ("192.0.2.1", "[ff02::1]:4000", false),
            ("192.0.2.1", "255.255.255.255:4000", false),
            ("192.0.2.1", "0.1.2.3:4000", false),
            ("192.0.2.1", "0.0.0.0:4000", false),
            ("192.0.2.1", "[::]:4000", false),
            ("192.0.2.1", "[::ffff:0.0.0.0]:4000", false),
        ] {
            assert_eq!(allowed(peer, media), expected, "{peer} names {media}");
        }
    }
}
