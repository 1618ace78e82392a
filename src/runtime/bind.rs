//! Binding the SIP listeners: everything is bound before any thread starts.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::start::{StartError, while_};
use crate::base::bounded::{Text, clipped};
use crate::base::packet::Transport;
use crate::config::Config;
use crate::net::sockets;

/// A listener with its sockets: one a shard for UDP, one in all for streams.
pub(super) struct BoundListener {
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
    pub(super) advertised: Text<96>,
    pub(super) udp: std::cell::RefCell<Vec<UdpSocket>>,
    pub(super) tcp: std::cell::RefCell<Option<TcpListener>>,
}

pub(super) struct Bound {
    pub(super) listeners: Vec<BoundListener>,
}

pub(super) fn bind(config: &Config, shards: usize) -> Result<Bound, StartError> {
    let refuse = |error: sockets::BindError| StartError(error.to_string());
    let mut listeners = Vec::new();
    for listener in &config.sip.listeners {
        let mut address = listener.bind;
        let mut udp = Vec::new();
        let mut tcp = None;
        if listener.transport == Transport::Udp {
            for _ in 0..shards {
                let socket = sockets::sip_udp(address).map_err(refuse)?;
                // Port zero is chosen by the kernel once; all shards share it.
                address = socket.local_addr().map_err(while_("reading a bound address"))?;
                udp.push(socket);
            }
            udp.reverse();
        } else {
            let socket = sockets::sip_tcp(address).map_err(refuse)?;
            address = socket.local_addr().map_err(while_("reading a bound address"))?;
            tcp = Some(socket);
        }
        let advertised = clipped(&format!("{}:{}", listener.advertised_host, address.port()));
        let transport = listener.transport;
        let (udp, tcp) = (udp.into(), tcp.into());
        listeners.push(BoundListener { transport, address, advertised, udp, tcp });
    }
    Ok(Bound { listeners })
}
