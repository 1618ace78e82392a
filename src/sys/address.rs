//! Socket addresses between Rust's form and the kernel's, without the heap.
#![expect(unsafe_code, reason = "the kernel's address is a union told apart by its family")]
#![expect(clippy::cast_possible_truncation, reason = "families and sizes of addresses are tiny")]

use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for an IPv4 or IPv6 address as the kernel writes it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union RawAddress {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Bytes of [`RawAddress`], as the kernel wants to know them.
pub(crate) const RAW_ADDRESS_BYTES: libc::socklen_t = size_of::<RawAddress>() as libc::socklen_t;

impl RawAddress {
    /// No address: family zero.
    pub(crate) const fn empty() -> Self {
        // SAFETY: all fields of all three forms are integers, for which zero is a value.
        unsafe { mem::zeroed() }
    }

    /// The kernel's form, and its length in bytes.
    pub(crate) fn set(&mut self, address: SocketAddr) -> libc::socklen_t {
        *self = Self::empty();
        match address {
            SocketAddr::V4(address) => {
                self.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                };
                size_of::<libc::sockaddr_in>() as libc::socklen_t
            }
            SocketAddr::V6(address) => {
                self.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
                size_of::<libc::sockaddr_in6>() as libc::socklen_t
            }
        }
    }

    /// An address that the kernel wrote into a buffer, at any alignment.
    pub(crate) fn from_bytes(bytes: &[u8; RAW_ADDRESS_BYTES as usize]) -> Self {
        // SAFETY: the array is as long as the union, whose forms are all made of integers.
        unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) }
    }

    /// Rust's form; `None` for a family that is neither IPv4 nor IPv6.
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        // SAFETY: the value was zeroed or written whole, by `set` or by the kernel; the family is
        // the first field of every form, and all bit patterns are valid integers.
        let family = i32::from(unsafe { self.family });
        if family == libc::AF_INET {
            // SAFETY: as above; the family says that this form was written.
            let v4 = unsafe { self.v4 };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            return Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into());
        }
        if family == libc::AF_INET6 {
            // SAFETY: as above; the family says that this form was written.
            let v6 = unsafe { self.v6 };
            let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
            return Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back() {
        let mut raw = RawAddress::empty();
        assert_eq!(raw.get(), None);
        for text in ["192.0.2.1:5060", "[2001:db8::1]:65535", "[fe80::1%3]:1"] {
            let address: SocketAddr = text.parse().expect("address");
            raw.set(address);
            assert_eq!(raw.get(), Some(address));
        }
    }
}
