//! Cutting a byte stream into messages (RFC 3261 §18.3, RFC 5626 §4.4.1).
//!
//! Path: net::stream -> here -> shard::ingress
//!
//! Content-Length alone decides where a message ends, so its rules are strict: one header, digits
//! only, within the limit. After a fault nothing more of the stream may be read: two readers that
//! disagree about a length see different messages.

use std::ops::Range;

use super::error::{Malformed, Why};
use super::header::HeaderName;
use super::line::{Step, step};
use super::message::{content_length, start_line_end};
use super::method::Method;
use super::start::Start;
use crate::base::limits::STREAM_MESSAGE_BYTES_MAX;

/// What stands at the front of the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framed {
    /// No whole message yet.
    NeedMore {
        /// Bytes that must still come before it is worth asking again.
        at_least: usize,
    },
    /// Line breaks between messages.
    KeepAlive {
        /// Bytes to take from the buffer.
        consumed: usize,
        /// Whether they are a ping, to be answered with one CRLF. A run of pings is answered once.
        pong: bool,
    },
    /// A whole message.
    Message {
        /// Bytes to take from the buffer once the message has been handled.
        consumed: usize,
        /// Where the message lies; parse it as [`super::Framing::Stream`].
        range: Range<usize>,
    },
    /// The stream cannot be read on: answer (with [`super::Message::salvage`], where the status
    /// is not 0) and close.
    Fatal(Malformed),
}

/// The state between reads of one stream: how far the front message has been looked through, so
/// that bytes that trickle in are not looked through again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framer {
    scanned: usize,
    /// Length of the front message, once its headers have ended.
    length: Option<usize>,
}

impl Framer {
    /// A framer at the start of a stream.
    pub const fn new() -> Self {
        Self { scanned: 0, length: None }
    }

    /// Whether a message has begun and not ended; its sender is then on the clock.
    pub const fn is_inside_message(&self) -> bool {
        self.scanned > 0
    }

    /// Looks at the bytes that were received and not yet taken. The caller takes `consumed` bytes
    /// from the front before it calls again.
    pub fn next(&mut self, buffer: &[u8]) -> Framed {
        if self.scanned == 0
            && let Some(framed) = between_messages(buffer)
        {
            return framed;
        }
        let length = match self.length {
            Some(length) => length,
            None => match self.find_length(buffer) {
                Ok(Some(length)) => length,
                Ok(None) => return Framed::NeedMore { at_least: 1 },
                Err(malformed) => return Framed::Fatal(malformed),
            },
        };
        if buffer.len() < length {
            self.length = Some(length);
            return Framed::NeedMore { at_least: length - buffer.len() };
        }
        *self = Self::new();
        Framed::Message { consumed: length, range: 0..length }
    }

    /// The length of the front message, or `None` while its headers have not ended.
    fn find_length(&mut self, buffer: &[u8]) -> Result<Option<usize>, Malformed> {
        let from = self.scanned.saturating_sub(3);
        let Some(found) = memchr::memmem::find(&buffer[from..], b"\r\n\r\n") else {
            self.scanned = buffer.len();
            if buffer.len() >= STREAM_MESSAGE_BYTES_MAX {
                return Err(malformed(buffer, 0, Why::TooLarge));
            }
            return Ok(None);
        };
        let head = &buffer[..from + found + 4];
        self.scanned = head.len();
        let body = body_length(head).map_err(|(at, why)| malformed(head, at, why))?;
        let length = head.len() + body;
        if length > STREAM_MESSAGE_BYTES_MAX {
            return Err(malformed(head, 0, Why::TooLarge));
        }
        Ok(Some(length))
    }
}

/// Line breaks, the lack of bytes, or bytes that can begin no message.
fn between_messages(buffer: &[u8]) -> Option<Framed> {
    match buffer {
        [] | [b'\r'] => Some(Framed::NeedMore { at_least: 1 }),
        [b'\r', b'\n', ..] => {
            let breaks = super::message::leading_breaks(buffer);
            let rest = &buffer[breaks..];
            // At the end of what came, one CRLF may be the first half of a ping.
            let held = if matches!(rest, [] | [b'\r']) { breaks % 4 } else { 0 };
            if breaks == held {
                return Some(Framed::NeedMore { at_least: 2 - rest.len() });
            }
            Some(Framed::KeepAlive { consumed: breaks - held, pong: breaks >= 4 })
        }
        [first, ..] if first.is_ascii_graphic() => None,
        _ => Some(Framed::Fatal(Malformed { at: 0, why: Why::NotSip, status: 0 })),
    }
}

/// Content-Length of a whole head, by the line grammar of the message index.
fn body_length(head: &[u8]) -> Result<usize, (usize, Why)> {
    let mut at = start_line_end(head)? + 2;
    let mut length = None;
    let name = HeaderName::ContentLength;
    loop {
        match step(head, at)? {
            Step::Header(line) => {
                if line.id == name {
                    if length.is_some() {
                        return Err((at, Why::Duplicate(name)));
                    }
                    let value = content_length(&head[line.value.0..line.value.1]);
                    let what = "not a decimal number";
                    length = Some(value.ok_or((line.value.0, Why::Value { name, what }))?);
                }
                at = line.next;
            }
            Step::End(body) => {
                return match length {
                    None => Err((body, Why::Missing(name))),
                    Some(length) if length > STREAM_MESSAGE_BYTES_MAX => {
                        Err((body, Why::BodyTooLarge))
                    }
                    Some(length) => Ok(length),
                };
            }
        }
    }
}

/// A fault in a stream; only a request other than ACK is answered.
#[cold]
fn malformed(head: &[u8], at: usize, why: Why) -> Malformed {
    let line = start_line_end(head).map_or(&[][..], |end| &head[..end]);
    let start = Start::parse(line).ok().or_else(|| Start::salvage(line));
    let status = match start {
        Some(Start::Request { method, .. }) if method != Method::Ack => why.status(),
        _ => 0,
    };
    Malformed { at, why, status }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nabc";

    /// Feeds `stream` in pieces of `size` and gives the messages and pongs, and the fault.
    fn feed(stream: &[u8], size: usize) -> (Vec<Vec<u8>>, usize, Option<Malformed>) {
        let (mut framer, mut buffer) = (Framer::new(), Vec::new());
        let (mut messages, mut pongs) = (Vec::new(), 0);
        for piece in stream.chunks(size) {
            buffer.extend_from_slice(piece);
            loop {
                let consumed = match framer.next(&buffer) {
                    Framed::NeedMore { at_least } => {
                        assert!(at_least > 0);
                        break;
                    }
                    Framed::KeepAlive { consumed, pong } => {
                        pongs += usize::from(pong);
                        consumed
                    }
                    Framed::Message { consumed, range } => {
                        messages.push(buffer[range].to_vec());
                        consumed
                    }
                    Framed::Fatal(fault) => return (messages, pongs, Some(fault)),
                };
                assert!(consumed > 0);
                buffer.drain(..consumed);
            }
        }
        (messages, pongs, None)
    }

    #[test]
    fn pieces_of_any_size_give_the_same_messages() {
        let stream = [b"\r\n\r\n", PING, b"\r\n", PING, PING, b"\r\n\r\n\r\n"].concat();
        for size in 1..stream.len() {
            let (messages, pongs, fault) = feed(&stream, size);
            assert_eq!((messages.len(), pongs, fault), (3, 2, None), "pieces of {size}");
            assert!(messages.iter().all(|message| message == PING));
        }
    }

    #[test]
    fn bad_lengths_end_the_stream() {
        for (line, status) in [
            ("", 400),
            ("Content-Length: -1\r\n", 400),
            ("Content-Length: +3\r\n", 400),
            ("Content-Length: 0x3\r\n", 400),
            ("Content-Length: 3 3\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: 3\r\nl: 3\r\n", 400),
            ("Content-Length: 4294967299\r\n", 413),
            ("Content-Length: 65500\r\nX: 123456789012345678901234\r\n", 513),
        ] {
            let stream =
                format!("INVITE sip:a SIP/2.0\r\n{line}\r\nabcINVITE sip:b SIP/2.0\r\n\r\n");
            let (messages, _, fault) = feed(stream.as_bytes(), 7);
            assert_eq!((messages.len(), fault.map(|f| f.status)), (0, Some(status)), "{line}");
        }
    }

    #[test]
    fn what_is_no_sip_ends_the_stream_without_an_answer() {
        assert_eq!(feed(&[0x16, 3, 1, 2, 0], 5).2.map(|fault| fault.status), Some(0));
        assert_eq!(feed(b"GET / HTTP/1.1\r\n\r\n", 5).2.map(|fault| fault.status), Some(0));
        assert_eq!(feed(b"\n\n", 1).2.map(|fault| fault.status), Some(0));
        let endless = vec![b'a'; STREAM_MESSAGE_BYTES_MAX + 1];
        assert_eq!(feed(&endless, 1500).2.map(|fault| fault.why), Some(Why::TooLarge));
    }

    #[test]
    fn folded_and_compact_lengths_count() {
        let stream = b"OPTIONS sip:a SIP/2.0\r\nContent-Length \t:\r\n 3\r\n\r\nabc\r\n\r\n";
        assert_eq!(feed(stream, 4).0.len(), 1);
    }
}
