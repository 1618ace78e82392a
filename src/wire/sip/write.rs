//! Writing messages into a lent buffer.
//!
//! Path: sip::transaction, call -> here -> Outbox
//!
//! Faults stick: a writer that ran out of room, or was given a value that would end its line,
//! writes nothing more and says so at the end. So calls chain without a check on each.

use std::fmt;
use std::net::SocketAddr;

use super::header::HeaderName;
use super::message::Message;
use super::method::Method;
use super::name_addr::NameAddr;
use super::params::split_list;
use super::table::{LWS, TOKEN, URI, is};
use crate::base::packet::Transport;
use crate::wire::sink::{Sink, WriteError};

/// Writes one message, first line to body.
#[derive(Debug)]
pub struct Writer<'b> {
    sink: Sink<'b>,
}

impl<'b> Writer<'b> {
    /// Begins a request.
    pub fn request(buffer: &'b mut [u8], method: Method<'_>, uri: &str) -> Self {
        let mut writer = Self { sink: Sink::new(buffer) };
        let clean = |text: &str, class| !text.is_empty() && text.bytes().all(|b| is(b, class));
        if !clean(method.name(), TOKEN) || !clean(uri, URI) {
            writer.sink.fail(WriteError::Unsafe);
        }
        writer.put(method.name().as_bytes());
        writer.put(b" ");
        writer.put(uri.as_bytes());
        writer.put(b" SIP/2.0\r\n");
        writer
    }

    /// Begins a response. `status` is from 100 to 699.
    pub fn response(buffer: &'b mut [u8], status: u16, reason: &str) -> Self {
        assert!((100..700).contains(&status), "a status has three digits");
        let mut writer = Self { sink: Sink::new(buffer) };
        writer.put(b"SIP/2.0 ");
        writer.sink.put_fmt(format_args!("{}", usize::from(status)));
        writer.put(b" ");
        writer.sink.put_value(reason);
        writer.put(b"\r\n");
        writer
    }

    /// Begins the response to a request: status line, the Vias with the top one completed from
    /// the packet's source, From, To (with `to_tag` where the request's To has none), Call-ID and
    /// CSeq (RFC 3261 §8.2.6.2).
    pub fn response_to(
        buffer: &'b mut [u8],
        request: &Message<'_>,
        source: SocketAddr,
        status: u16,
        reason: &str,
        to_tag: Option<&str>,
    ) -> Self {
        let mut writer = Self::response(buffer, status, reason);
        writer.copy_vias(request, source).copy(request, HeaderName::From);
        let tagged = request.to().map(|to: NameAddr<'_>| to.tag().is_some()).unwrap_or(true);
        match (to_tag, request.header_bytes(HeaderName::To)) {
            (Some(tag), Some(to)) if !tagged => {
                writer.put(b"To: ");
                writer.put_unfolded(to);
                writer.put(b";tag=");
                writer.sink.put_value(tag);
                writer.put(b"\r\n");
            }
            _ => {
                writer.copy(request, HeaderName::To);
            }
        }
        writer.copy(request, HeaderName::CallId).copy(request, HeaderName::CSeq);
        writer
    }

    /// A header line.
    pub fn header(&mut self, name: HeaderName, value: &str) -> &mut Self {
        self.header_named(name.name(), value)
    }

    /// A header line with a name of its own (a private header).
    pub fn header_named(&mut self, name: &str, value: &str) -> &mut Self {
        self.begin(name);
        self.sink.put_value(value);
        self.end()
    }

    /// A header line with a formatted value: `header_fmt(name, format_args!("{a}, {b}"))`.
    pub fn header_fmt(&mut self, name: HeaderName, value: fmt::Arguments<'_>) -> &mut Self {
        self.header_named_fmt(name.name(), value)
    }

    /// A header line with a name of its own and a formatted value.
    pub fn header_named_fmt(&mut self, name: &str, value: fmt::Arguments<'_>) -> &mut Self {
        self.begin(name);
        self.sink.put_fmt(value);
        self.end()
    }

    /// A Via of Carrick's own, asking for `rport` (RFC 3581). `sent_by` is `host[:port]`.
    pub fn via(&mut self, transport: Transport, sent_by: &str, branch: &str) -> &mut Self {
        let transport = transport.name();
        self.header_fmt(
            HeaderName::Via,
            format_args!("SIP/2.0/{transport} {sent_by};rport;branch={branch}"),
        )
    }

    /// A whole line, `Name: value` without its line break; for lines made elsewhere.
    pub fn raw_line(&mut self, line: &str) -> &mut Self {
        match line.split_once(':') {
            Some((name, value)) => self.header_named(name.trim_end(), value.trim_start()),
            None => {
                self.sink.fail(WriteError::Unsafe);
                self
            }
        }
    }

    /// All lines of a header of a received message, in order, each written under the long name
    /// with its folds undone.
    pub fn copy(&mut self, from: &Message<'_>, name: HeaderName) -> &mut Self {
        for value in from.lines_of(name) {
            self.begin(name.name());
            self.put_unfolded(value);
            self.end();
        }
        self
    }

    /// All Vias of a request, the top one with `received` and `rport` as the packet's source says,
    /// whatever the sender wrote there (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn copy_vias(&mut self, request: &Message<'_>, source: SocketAddr) -> &mut Self {
        for (index, line) in request.lines_of(HeaderName::Via).enumerate() {
            self.begin("Via");
            match std::str::from_utf8(line) {
                Ok(text) if index == 0 => self.put_top_via(text, source),
                _ => self.put_unfolded(line),
            }
            self.end();
        }
        self
    }

    fn put_top_via(&mut self, line: &str, source: SocketAddr) {
        let (top, rest) = split_list(line);
        let params = top.find(';').unwrap_or(top.len());
        let (sent_by, params) = top.split_at(params);
        self.put_unfolded(super::table::trim(sent_by).as_bytes());
        for (name, value) in super::params::Params::new(params) {
            if name.eq_ignore_ascii_case("received") || name.eq_ignore_ascii_case("rport") {
                continue;
            }
            self.put(b";");
            self.put_unfolded(name.as_bytes());
            if let Some(value) = value {
                self.put(b"=");
                self.put_unfolded(value.as_bytes());
            }
        }
        let (address, port) = (source.ip().to_canonical(), source.port());
        self.sink.put_fmt(format_args!(";received={address};rport={port}"));
        if let Some(rest) = rest {
            self.put(b", ");
            self.put_unfolded(super::table::trim(rest).as_bytes());
        }
    }

    /// Ends a message without a body. Gives its length.
    ///
    /// # Errors
    /// The first fault of any call on this writer.
    pub fn finish_empty(&mut self) -> Result<usize, WriteError> {
        self.put(b"Content-Length: 0\r\n\r\n");
        self.sink.done()
    }

    /// Ends a message with a body. Gives the message's length.
    ///
    /// # Errors
    /// The first fault of any call on this writer.
    pub fn finish(&mut self, content_type: &str, body: &[u8]) -> Result<usize, WriteError> {
        self.header(HeaderName::ContentType, content_type);
        self.put(b"Content-Length: ");
        self.sink.put_fmt(format_args!("{}", body.len()));
        self.put(b"\r\n\r\n");
        self.put(body);
        self.sink.done()
    }

    /// Ends a message with a body that `write` puts straight into the buffer; it is given the room
    /// left and says how many bytes it used, or `None` where they do not fit. Gives the message's
    /// length.
    ///
    /// # Errors
    /// The first fault of any call on this writer.
    pub fn finish_with(
        &mut self,
        content_type: &str,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<usize, WriteError> {
        self.header(HeaderName::ContentType, content_type);
        self.put(b"Content-Length: ");
        let digits = self.sink.length();
        self.put(b"     \r\n\r\n");
        let fits = |length: &usize, room: usize| *length <= room && *length < 100_000;
        let length = match self.sink.room() {
            Some(room) => write(room).filter(|length| fits(length, room.len())),
            None => return self.sink.done(),
        };
        let Some(length) = length else {
            self.sink.fail(WriteError::Overflow);
            return self.sink.done();
        };
        self.sink.advance(length);
        // White space before a value is free, so the number ends its field of five.
        let mut left = length;
        for place in self.sink.written_mut()[digits..digits + 5].iter_mut().rev() {
            *place = b"0123456789"[left % 10];
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.sink.done()
    }

    fn begin(&mut self, name: &str) {
        if name.is_empty() || !name.bytes().all(|byte| is(byte, TOKEN)) {
            self.sink.fail(WriteError::Unsafe);
        }
        self.put(name.as_bytes());
        self.put(b": ");
    }

    fn end(&mut self) -> &mut Self {
        self.put(b"\r\n");
        self
    }

    fn put(&mut self, bytes: &[u8]) {
        self.sink.put(bytes);
    }

    /// Bytes of a received value, whose line breaks are folds: each fold becomes one space.
    fn put_unfolded(&mut self, mut value: &[u8]) {
        while let Some(fold) = memchr::memchr2(b'\r', b'\n', value) {
            let mut head = fold;
            while head > 0 && is(value[head - 1], LWS) {
                head -= 1;
            }
            self.put(&value[..head]);
            self.put(b" ");
            value = &value[super::table::skip(value, fold, LWS)..];
        }
        self.put(value);
    }
}
