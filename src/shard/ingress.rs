//! SIP comes in: whose is it, is it SIP at all, request or response.
//!
//! Path: `shard::receive` -> here -> `shard::request`, `shard::response`

use std::net::SocketAddr;

use super::{Shard, Turn};
use crate::base::counter::Counter;
use crate::base::id::ShardId;
use crate::base::packet::{Route, SipPath, Transport};
use crate::wire::sip::call_key;
use crate::wire::sip::{Framing, Malformed, Message, Start};

impl Shard {
    /// A datagram on a SIP listener: another shard's is handed over as it is.
    pub(super) fn datagram(
        &mut self,
        turn: &mut Turn<'_>,
        listener: u8,
        peer: SocketAddr,
        bytes: &[u8],
    ) {
        let path = SipPath { transport: Transport::Udp, listener, peer, flow: None };
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return self.count(Counter::SipKeepAlives);
        }
        if let Some(call_id) = call_key::call_id_of(bytes) {
            let shard = ShardId(call_key::owner(call_id, self.setup.shards));
            if shard != self.setup.id {
                return self.hand_over(turn, shard, path, bytes);
            }
        }
        self.message(turn, path, bytes);
    }

    fn hand_over(&self, turn: &mut Turn<'_>, shard: ShardId, path: SipPath, bytes: &[u8]) {
        let route = Route::HandOver { shard, path };
        let passed =
            turn.out.send(route, &mut |buffer: &mut [u8]| match buffer.get_mut(..bytes.len()) {
                Some(room) => {
                    room.copy_from_slice(bytes);
                    bytes.len()
                }
                None => 0,
            });
        self.count(if passed { Counter::SipHandedOver } else { Counter::SipQueueFull });
    }

    /// A whole message that is this shard's.
    pub(super) fn message(&mut self, turn: &mut Turn<'_>, path: SipPath, bytes: &[u8]) {
        let framing =
            if path.transport.is_reliable() { Framing::Stream } else { Framing::Datagram };
        // By reference: an index is large to move.
        let parsed = Message::parse(bytes, framing);
        let message = match &parsed {
            Ok(message) => message,
            Err(malformed) => return self.malformed(turn, path, bytes, malformed),
        };
        if let Err(malformed) = message.validate() {
            return self.malformed(turn, path, bytes, &malformed);
        }
        self.count(Counter::SipReceived);
        match message.start() {
            Start::Request { .. } => self.request(turn, path, message),
            Start::Response { .. } => self.response(turn, path, message),
        }
    }

    /// What is no SIP is counted; a request that can be read far enough is told what is wrong.
    fn malformed(&self, turn: &mut Turn<'_>, path: SipPath, bytes: &[u8], fault: &Malformed) {
        self.count(Counter::SipMalformed);
        if fault.status == 0 {
            return;
        }
        if let Some(request) = Message::salvage(bytes) {
            self.answer_statelessly(turn, path, &request, fault.status, &mut |_| {});
        }
    }
}
