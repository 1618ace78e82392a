//! What the stream thread must know of SIP.

use crate::base::bounded::clipped;
use crate::base::id::ShardId;
use crate::base::packet::SipPath;
use crate::net::stream::{Framed, Protocol};
use crate::wire::sip::framing::{self, Framer};
use crate::wire::sip::{Framing, Message, Writer, call_key, status};

/// SIP over streams, for an edge of so many shards.
#[derive(Debug)]
pub(super) struct SipStreams {
    pub(super) shards: u16,
}

impl Protocol for SipStreams {
    type Framer = Framer;

    fn frame(&mut self, framer: &mut Framer, bytes: &[u8]) -> Framed {
        match framer.next(bytes) {
            framing::Framed::NeedMore { .. } => Framed::NeedMore,
            framing::Framed::KeepAlive { consumed, pong } => Framed::KeepAlive { consumed, pong },
            framing::Framed::Message { consumed, range } => Framed::Message { consumed, range },
            framing::Framed::Fatal(_) => Framed::Fatal,
        }
    }

    fn owner(&mut self, _path: &SipPath, message: &[u8]) -> ShardId {
        let call_id = call_key::call_id_of(message).unwrap_or_default();
        ShardId(call_key::owner(call_id, self.shards))
    }

    fn refusal(&mut self, bytes: &[u8], answer: &mut Vec<u8>) {
        let Err(fault) = Message::parse(bytes, Framing::Stream) else { return };
        let Some(request) = Message::salvage(bytes).filter(|_| fault.status != 0) else { return };
        let mut buffer = [0; 2048];
        let reason = clipped::<64>(status::reason(fault.status));
        let nobody = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        let mut writer =
            Writer::response_to(&mut buffer, &request, nobody, fault.status, &reason, None);
        if let Ok(length) = writer.finish_empty() {
            answer.extend_from_slice(&buffer[..length]);
        }
    }
}
