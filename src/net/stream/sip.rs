//! SIP as the stream thread needs it: where messages end, whose they are, and the last answer to
//! bytes that cannot be read on.

use super::{Framed, Protocol};
use crate::base::id::ShardId;
use crate::base::limits::SIP_WRITE_BYTES_MAX;
use crate::base::packet::SipPath;
use crate::base::table::HashKey;
use crate::wire::sip::{Message, Writer, call_key, framing, status};

/// The rules of RFC 3261 §18.3 and RFC 5626 §4.4.1, for an edge of so many shards.
#[derive(Clone, Copy, Debug)]
pub struct Sip {
    shards: u16,
}

impl Sip {
    /// For an edge of `shards` shards, at least one.
    pub fn new(shards: u16) -> Self {
        assert!(shards > 0);
        Self { shards }
    }
}

impl Protocol for Sip {
    type Framer = framing::Framer;

    fn frame(&mut self, framer: &mut framing::Framer, bytes: &[u8]) -> Framed {
        match framer.next(bytes) {
            framing::Framed::NeedMore { .. } => {
                Framed::NeedMore { is_inside_message: framer.is_inside_message() }
            }
            framing::Framed::KeepAlive { consumed, pong } => Framed::KeepAlive { consumed, pong },
            framing::Framed::Message { consumed, range } => Framed::Message { consumed, range },
            framing::Framed::Fatal(malformed) => Framed::Fatal { status: malformed.status },
        }
    }

    fn owner(&mut self, _path: &SipPath, message: &[u8]) -> ShardId {
        // A message without a Call-ID is refused by whichever shard gets it.
        let call_id = call_key::call_id_of(message).unwrap_or(&[]);
        ShardId(call_key::owner(call_id, self.shards))
    }

    fn refusal(&mut self, path: &SipPath, status: u16, bytes: &[u8], answer: &mut Vec<u8>) {
        let Some(request) = Message::salvage(bytes) else { return };
        answer.resize(SIP_WRITE_BYTES_MAX, 0);
        // Any tag will do, because nothing is remembered of this request (RFC 3261 §8.2.7).
        let tag = format!("{:016x}", HashKey::FIXED.hash(bytes));
        let reason = status::reason(status);
        let mut writer =
            Writer::response_to(answer, &request, path.peer, status, reason, Some(&tag));
        let length = writer.finish_empty().unwrap_or(0);
        answer.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::packet::Transport;

    const REQUEST: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\n\
        From: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x-s2\r\nCSeq: 1 OPTIONS\r\n\
        Content-Length: +5\r\n\r\n";

    fn path() -> SipPath {
        let peer = "192.0.2.1:4000".parse().expect("address");
        SipPath { transport: Transport::Tcp, listener: 0, peer, flow: None }
    }

    #[test]
    fn a_bad_content_length_is_answered_once_and_ends_the_stream() {
        let mut sip = Sip::new(4);
        let mut framer = framing::Framer::new();
        let framed = sip.frame(&mut framer, REQUEST.as_bytes());
        assert_eq!(framed, Framed::Fatal { status: 400 });
        let mut answer = Vec::new();
        sip.refusal(&path(), 400, REQUEST.as_bytes(), &mut answer);
        let answer = String::from_utf8(answer).expect("text");
        assert!(answer.starts_with("SIP/2.0 400 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(answer.contains("Call-ID: x-s2\r\n") && answer.contains(";tag="), "{answer}");
        assert!(!answer.contains('\0'));
    }

    #[test]
    fn the_call_id_names_the_shard_and_a_line_break_is_no_message() {
        let mut sip = Sip::new(4);
        assert_eq!(sip.owner(&path(), REQUEST.as_bytes()), ShardId(2));
        assert!(sip.owner(&path(), b"nonsense").0 < 4);
        let mut framer = framing::Framer::new();
        let outside = Framed::NeedMore { is_inside_message: false };
        assert_eq!(sip.frame(&mut framer, b"\r\n"), outside);
        let inside = Framed::NeedMore { is_inside_message: true };
        assert_eq!(sip.frame(&mut framer, b"OPTIONS"), inside);
    }
}
