//! Building sockets: addresses, service classes, buffer sizes, and errors that an operator can
//! act on.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::base::packet::Transport;
use crate::sys::clock;

/// Service class of signalling: CS3 (RFC 4594 §4.2 puts telephony signalling in CS5 or CS3), as
/// the whole former TOS byte.
pub const SIP_TOS: u32 = 24 << 2;
/// Service class of speech: Expedited Forwarding (RFC 3246), as the whole former TOS byte.
pub const MEDIA_TOS: u32 = 46 << 2;

/// Receive buffer of a SIP socket: a few thousand requests that came while the shard was busy.
const SIP_RECEIVE_BYTES: usize = 4 * 1024 * 1024;
const SIP_SEND_BYTES: usize = 1024 * 1024;
/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 1024;
/// A process that used io_uring leaves its ports bound for a short while after its death.
const BIND_TRIES: u32 = 10;
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// A listener that could not be opened: where, and what to do about it.
#[derive(Debug)]
pub struct BindError {
    /// Transport of the listener.
    pub transport: Transport,
    /// Address of the listener.
    pub address: SocketAddr,
    /// What the kernel said.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, address) = (self.transport.name(), self.address);
        write!(f, "cannot listen for SIP on {transport} {address}: {}; ", self.error)?;
        match self.error.kind() {
            io::ErrorKind::AddrInUse => {
                f.write_str("another program has the port: stop it, or configure another port")
            }
            io::ErrorKind::AddrNotAvailable => {
                f.write_str("no interface of this host has the address: correct it, or add it")
            }
            io::ErrorKind::PermissionDenied => f.write_str(
                "ports below 1024 need the capability CAP_NET_BIND_SERVICE: grant it, or \
                 configure a higher port",
            ),
            _ => f.write_str("check the address and the limits on open descriptors"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// A UDP socket for one shard's share of a SIP listener. All shards bind the same address, and the
/// kernel spreads peers over them (`SO_REUSEPORT`).
pub fn sip_udp(address: SocketAddr) -> Result<UdpSocket, BindError> {
    let build = || {
        let socket = base(address, Type::DGRAM, Protocol::UDP)?;
        socket.set_reuse_port(true)?;
        mark(&socket, address.ip(), SIP_TOS)?;
        // The kernel gives what it may; less than asked for is no reason not to start.
        let _ = socket.set_recv_buffer_size(SIP_RECEIVE_BYTES);
        let _ = socket.set_send_buffer_size(SIP_SEND_BYTES);
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    retry(build).map_err(|error| BindError { transport: Transport::Udp, address, error })
}

/// A listening TCP socket for the stream thread.
pub fn sip_tcp(address: SocketAddr) -> Result<TcpListener, BindError> {
    let build = || {
        let socket = base(address, Type::STREAM, Protocol::TCP)?;
        // Connections of a former process in TIME-WAIT must not keep the port.
        socket.set_reuse_address(true)?;
        mark(&socket, address.ip(), SIP_TOS)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    retry(build).map_err(|error| BindError { transport: Transport::Tcp, address, error })
}

/// A TCP connection under way from `from` (any port) to `to`; it is not established yet.
pub fn connect(from: IpAddr, to: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = base(to, Type::STREAM, Protocol::TCP)?;
    mark(&socket, to.ip(), SIP_TOS)?;
    if !from.is_unspecified() && from.is_ipv4() == to.is_ipv4() {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

/// A UDP socket on one media port. Called while calls are served: it neither waits nor allocates.
pub fn media(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = base(address, Type::DGRAM, Protocol::UDP)?;
    mark(&socket, address.ip(), MEDIA_TOS)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn base(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    // `Type::nonblocking` saves the system calls that set the flags afterwards.
    let socket = Socket::new(domain, kind.nonblocking(), Some(protocol))?;
    if domain == Domain::IPV6 {
        // IPv4 has listeners of its own, so that addresses never come in two spellings.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn mark(socket: &Socket, ip: IpAddr, tos: u32) -> io::Result<()> {
    if ip.is_ipv4() { socket.set_tos_v4(tos) } else { socket.set_tclass_v6(tos) }
}

fn retry<T>(mut build: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut tries = 1;
    loop {
        match build() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < BIND_TRIES => {
                tries += 1;
                clock::pause(BIND_PAUSE);
            }
            result => return result,
        }
    }
}

/// The unspecified IPv4 address, for connections that may leave from anywhere.
pub const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_a_sip_port_but_strangers_are_named() {
        for ip in ["127.0.0.1", "::1"] {
            let ip: IpAddr = ip.parse().expect("address");
            let first = sip_udp(SocketAddr::new(ip, 0)).expect("bind");
            let address = first.local_addr().expect("address");
            let second = sip_udp(address).expect("a second shard");
            assert_eq!(second.local_addr().expect("address"), address);
        }
        let stranger = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let address = stranger.local_addr().expect("address");
        let text = sip_udp(address).expect_err("taken").to_string();
        assert!(text.contains(&address.to_string()) && text.contains("another program"), "{text}");
        let text =
            sip_udp("192.0.2.1:5060".parse().expect("address")).expect_err("far").to_string();
        assert!(text.contains("no interface"), "{text}");
    }

    #[test]
    fn a_bind_waits_for_a_port_that_is_just_being_freed() {
        let stranger = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = stranger.local_addr().expect("address");
        let freeing = std::thread::spawn(move || {
            clock::pause(Duration::from_millis(50));
            drop(stranger);
        });
        sip_tcp(address).expect("bind after the port was freed");
        freeing.join().expect("thread");
    }

    #[test]
    fn sockets_carry_their_service_class() {
        let media = Socket::from(media("127.0.0.1:0".parse().expect("address")).expect("bind"));
        assert_eq!(media.tos_v4().expect("tos"), 184);
        let sip = Socket::from(sip_udp("[::1]:0".parse().expect("address")).expect("bind"));
        assert_eq!(sip.tclass_v6().expect("class"), 96);
        assert!(sip.only_v6().expect("only v6"));
    }
}
