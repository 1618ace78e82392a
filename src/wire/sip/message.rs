//! The index over one received message.
//!
//! Path: shard::ingress (or the stream framer) -> here -> sip::transaction

use super::cseq::CSeq;
use super::error::{Fault, Malformed, Why};
use super::header::HeaderName;
use super::line::{Line, Step, step};
use super::method::Method;
use super::name_addr::NameAddr;
use super::params::split_list;
use super::start::Start;
use super::uri::Uri;
use super::via::Via;
use crate::base::bounded::List;
use crate::base::limits::{DATAGRAM_BYTES_MAX, SIP_HEADERS_MAX, STREAM_MESSAGE_BYTES_MAX};

/// How the bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One datagram: Content-Length may be absent, and bytes behind the body are ignored.
    Datagram,
    /// One message cut from a stream by the framer: Content-Length is needed.
    Stream,
}

/// No line; [`SIP_HEADERS_MAX`] keeps real indexes below it.
const NONE: u8 = u8::MAX;
const _: () = assert!(SIP_HEADERS_MAX < NONE as usize);

/// One header line: offsets from the start of the message, which a line cannot lie behind the
/// first 64 KiB of.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// The name ends where token characters do.
    name: u16,
    value: (u16, u16),
    id: HeaderName,
    /// Next line of the same header, or [`NONE`].
    next: u8,
}

/// A received message: borrowed bytes and an index over their header lines. Making one allocates
/// nothing; values are read when asked for.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    /// Start line and headers as text, or empty where some byte of them is not UTF-8.
    text: &'a str,
    start: Start<'a>,
    spans: List<Span, SIP_HEADERS_MAX>,
    first: [u8; HeaderName::COUNT + 1],
    /// Bits of the headers that have a second line, by [`HeaderName::index`].
    repeated: u128,
    body: &'a [u8],
    /// Line breaks before the message, that offsets in faults count.
    skipped: usize,
}

impl<'a> Message<'a> {
    /// Indexes a message. Empty lines before it are skipped (RFC 3261 §7.5).
    ///
    /// # Errors
    /// The bytes have no SIP structure, pass a limit, or their Content-Length is wrong. Where the
    /// fault's status is not 0 and a word of answer is due, use [`Message::salvage`].
    pub fn parse(bytes: &'a [u8], framing: Framing) -> Result<Self, Malformed> {
        let skipped = leading_breaks(bytes);
        // Filled where it lies: an index is large, and moving it would cost as much as making it.
        let mut result = Ok(Self::empty(&bytes[skipped..], skipped));
        if let Ok(message) = &mut result
            && let Err((at, why)) = message.read(framing)
        {
            result = Err(message.malformed(at, why));
        }
        result
    }

    /// What can be read of a request that [`Message::parse`] refused, so that it can be answered:
    /// its method and its well-formed header lines, without a body. `None` where that is no
    /// request, or is an ACK, which has no answer.
    pub fn salvage(bytes: &'a [u8]) -> Option<Self> {
        let skipped = leading_breaks(bytes);
        let mut message = Message::empty(&bytes[skipped..], skipped);
        super::salvage::read(&mut message).then_some(message)
    }

    fn empty(bytes: &'a [u8], skipped: usize) -> Self {
        Self {
            bytes,
            text: "",
            start: Start::Response { status: 0, reason: "" },
            spans: List::new_const(),
            first: [NONE; HeaderName::COUNT + 1],
            repeated: 0,
            body: &[],
            skipped,
        }
    }

    fn read(&mut self, framing: Framing) -> Result<(), (usize, Why)> {
        let bytes = self.bytes;
        let limit = match framing {
            Framing::Datagram => DATAGRAM_BYTES_MAX,
            Framing::Stream => STREAM_MESSAGE_BYTES_MAX,
        };
        let start_end = start_line_end(bytes)?;
        self.start = Start::parse(&bytes[..start_end])?;
        if bytes.len() > limit {
            return Err((limit, Why::TooLarge));
        }
        let body_at = self.index(start_end + 2)?;
        // Counting both marks finds a carriage return that stands alone: lines were cut at line
        // feeds, each with a carriage return before it.
        let head = &bytes[..body_at];
        if let Some(at) = memchr::memchr(0, head).and_then(|_| bare_nul(head)) {
            return Err((at, Why::Nul));
        }
        self.text = std::str::from_utf8(head).unwrap_or("");
        self.body = self.cut_body(body_at, framing)?;
        Ok(())
    }

    /// Indexes the header lines from `at`; gives the offset of the body.
    fn index(&mut self, mut at: usize) -> Result<usize, (usize, Why)> {
        let mut last = [NONE; HeaderName::COUNT + 1];
        let mut breaks = 2;
        loop {
            match step(self.bytes, at)? {
                Step::End(body) => {
                    let returns = memchr::memchr_iter(b'\r', &self.bytes[..body]).count();
                    return if returns == breaks { Ok(body) } else { Err((0, Why::LineBreak)) };
                }
                Step::Header(line) => {
                    if !self.add(&line, &mut last) {
                        return Err((at, Why::TooManyHeaders));
                    }
                    breaks += line.breaks;
                    at = line.next;
                }
            }
        }
    }

    /// Files a line; `false` where the index is full.
    #[inline]
    fn add(&mut self, line: &Line, last: &mut [u8; HeaderName::COUNT + 1]) -> bool {
        let id = HeaderName::parse_at(self.bytes, line.name.0, line.name.1);
        let place = u8::try_from(self.spans.len()).unwrap_or(NONE);
        // Offsets are below the limits of a message, which `limits` holds to sixteen bits.
        let (Some((name, _)), Some(value)) = (short(line.name), short(line.value)) else {
            return false;
        };
        if self.spans.try_push(Span { name, value, id, next: NONE }).is_err() {
            return false;
        }
        let previous = std::mem::replace(&mut last[id.index()], place);
        match self.spans.get_mut(usize::from(previous)) {
            Some(span) => {
                span.next = place;
                self.repeated |= 1 << id.index();
            }
            None => self.first[id.index()] = place,
        }
        true
    }

    /// Files a line of a message that is being salvaged.
    pub(super) fn add_salvaged(&mut self, line: &Line) -> bool {
        let mut last = [NONE; HeaderName::COUNT + 1];
        for (place, span) in self.spans.iter().enumerate() {
            last[span.id.index()] = u8::try_from(place).unwrap_or(NONE);
        }
        self.add(line, &mut last)
    }

    /// The bytes that the index is over, for salvaging.
    pub(super) const fn raw(&self) -> &'a [u8] {
        self.bytes
    }

    /// Sets the start line of a message that is being salvaged.
    pub(super) fn set_start(&mut self, start: Start<'a>) {
        self.start = start;
    }

    /// Content-Length: decimal digits, one header, no more than came (RFC 3261 §18.3).
    fn cut_body(&self, at: usize, framing: Framing) -> Result<&'a [u8], (usize, Why)> {
        let rest = &self.bytes[at..];
        let name = HeaderName::ContentLength;
        let mut spans = self.spans_of(name);
        let Some(span) = spans.next() else {
            return match framing {
                Framing::Datagram => Ok(rest),
                Framing::Stream => Err((at, Why::Missing(name))),
            };
        };
        let place = usize::from(span.value.0);
        if let Some(second) = spans.next() {
            return Err((usize::from(second.value.0), Why::Duplicate(name)));
        }
        match content_length(self.bytes_of(*span)) {
            None => Err((place, Why::Value { name, what: "not a decimal number" })),
            Some(length) if length > STREAM_MESSAGE_BYTES_MAX => Err((place, Why::BodyTooLarge)),
            Some(length) => rest.get(..length).ok_or((place, Why::BodyShort)),
        }
    }

    /// A fault at an offset of this message, with the status that answers it.
    #[cold]
    pub(super) fn malformed(&self, at: usize, why: Why) -> Malformed {
        let status = match self.start {
            Start::Request { method: Method::Ack, .. } => 0,
            Start::Request { .. } => why.status(),
            // Not read yet: only what looks like a request line may be answered.
            Start::Response { status: 0, .. } => match why {
                Why::RequestLine | Why::Version => why.status(),
                _ => 0,
            },
            Start::Response { .. } => 0,
        };
        Malformed { at: at + self.skipped, why, status }
    }
}

/// Reading a message.
impl<'a> Message<'a> {
    /// Bytes of the message, its body included.
    #[expect(clippy::len_without_is_empty, reason = "a message is never empty")]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The first line.
    pub const fn start(&self) -> Start<'a> {
        self.start
    }

    /// Whether this is a request.
    pub const fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The request's method; `None` in a response.
    pub const fn method(&self) -> Option<Method<'a>> {
        match self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The Request-URI as text; `None` in a response.
    pub const fn request_uri(&self) -> Option<&'a str> {
        match self.start {
            Start::Request { uri, .. } => Some(uri),
            Start::Response { .. } => None,
        }
    }

    /// The response's status; `None` in a request.
    pub const fn status(&self) -> Option<u16> {
        match self.start {
            Start::Response { status, .. } => Some(status),
            Start::Request { .. } => None,
        }
    }

    /// The body: what Content-Length says, else (in a datagram) the rest.
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The value of the first line of this header, without white space at its ends. Folds inside
    /// stay. `None` where there is no such line, or its value is not UTF-8.
    #[inline]
    pub fn header(&self, name: HeaderName) -> Option<&'a str> {
        self.text_of(*self.spans.get(usize::from(self.first[name.index()]))?)
    }

    /// The same as bytes, whatever they are.
    pub fn header_bytes(&self, name: HeaderName) -> Option<&'a [u8]> {
        Some(self.bytes_of(*self.spans.get(usize::from(self.first[name.index()]))?))
    }

    /// Whether there is a line of this header.
    pub const fn has(&self, name: HeaderName) -> bool {
        self.first[name.index()] != NONE
    }

    /// The values of all lines of this header, a line each; lines that are not UTF-8 are left out.
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &'a str> {
        self.spans_of(name).filter_map(|span| self.text_of(*span))
    }

    /// The items of this header over all its lines, split at commas (outside quotes and angle
    /// brackets), trimmed; empty items are left out.
    pub fn values(&self, name: HeaderName) -> Values<'a, '_> {
        Values { message: self, next: self.first[name.index()], rest: None }
    }

    /// The value of the first line whose name is this, for headers without a [`HeaderName`].
    pub fn header_named(&self, name: &str) -> Option<&'a str> {
        self.all_headers().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Name (as written) and value of every line, in order; lines that are not UTF-8 are left out.
    pub fn all_headers(&self) -> Headers<'a, '_> {
        Headers { message: self, next: 0 }
    }

    /// Name and value of every line of this header, as bytes.
    pub(super) fn lines_of(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.spans_of(name).map(|span| self.bytes_of(*span))
    }

    #[inline]
    fn spans_of(&self, name: HeaderName) -> impl Iterator<Item = &Span> {
        let mut next = self.first[name.index()];
        std::iter::from_fn(move || {
            let span = self.spans.get(usize::from(next))?;
            next = span.next;
            Some(span)
        })
    }

    fn bytes_of(&self, span: Span) -> &'a [u8] {
        &self.bytes[usize::from(span.value.0)..usize::from(span.value.1)]
    }

    #[inline]
    fn text_of(&self, span: Span) -> Option<&'a str> {
        let range = usize::from(span.value.0)..usize::from(span.value.1);
        match self.text.get(range) {
            Some(value) => Some(value),
            None => std::str::from_utf8(self.bytes_of(span)).ok(),
        }
    }
}

/// Typed values, read when asked for.
impl<'a> Message<'a> {
    /// Call-ID.
    pub fn call_id(&self) -> Result<&'a str, Malformed> {
        let value = self.needed(HeaderName::CallId)?;
        if value.is_empty() {
            return Err(self.bad_value(HeaderName::CallId, Fault::new(0, "empty")));
        }
        Ok(value)
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq<'a>, Malformed> {
        self.typed(HeaderName::CSeq, CSeq::parse)
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr<'a>, Malformed> {
        self.typed(HeaderName::From, NameAddr::parse)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr<'a>, Malformed> {
        self.typed(HeaderName::To, NameAddr::parse)
    }

    /// The first Via value.
    pub fn top_via(&self) -> Result<Via<'a>, Malformed> {
        self.typed(HeaderName::Via, |line| Via::parse(split_list(line).0))
    }

    /// The first Contact value; an error where there is none, or it is `*`.
    pub fn contact(&self) -> Result<NameAddr<'a>, Malformed> {
        self.typed(HeaderName::Contact, |line| NameAddr::parse(split_list(line).0))
    }

    /// The Request-URI, read; an error in a response.
    pub fn uri(&self) -> Result<Uri<'a>, Malformed> {
        let Some(text) = self.request_uri() else {
            return Err(self.malformed(0, Why::RequestUri("a response has none")));
        };
        Uri::parse(text).map_err(|fault| {
            let at = self.method().map_or(0, |method| method.name().len() + 1);
            self.malformed(at + fault.at, Why::RequestUri(fault.what))
        })
    }

    /// Max-Forwards, where there is one and it is a number up to 255.
    pub fn max_forwards(&self) -> Option<u8> {
        u8::try_from(number(self.header(HeaderName::MaxForwards)?)?).ok()
    }

    /// Expires in seconds; a number above 2^32 - 1 reads as that (RFC 3261 §20.19).
    pub fn expires(&self) -> Option<u32> {
        number(self.header(HeaderName::Expires)?)
    }

    /// RSeq (RFC 3262 §7.1).
    pub fn rseq(&self) -> Option<u32> {
        number(self.header(HeaderName::RSeq)?)
    }

    /// RAck: the response number, and the CSeq it answers (RFC 3262 §7.2).
    pub fn rack(&self) -> Option<(u32, CSeq<'a>)> {
        let value = self.header(HeaderName::RAck)?;
        let (response, cseq) = value.split_once([' ', '\t', '\r', '\n'])?;
        Some((number(response)?, CSeq::parse(super::table::trim(cseq)).ok()?))
    }

    /// Retry-After in seconds (RFC 3261 §20.33).
    pub fn retry_after(&self) -> Option<u32> {
        let value = self.header(HeaderName::RetryAfter)?;
        number(value.split([' ', '\t', '\r', '\n', ';', '(']).next()?)
    }

    /// Session-Expires: seconds, and the refresher, where it is named (RFC 4028 §4).
    pub fn session_expires(&self) -> Option<(u32, Option<&'a str>)> {
        let value = self.header(HeaderName::SessionExpires)?;
        let at = value.find(';').unwrap_or(value.len());
        let (seconds, params) = value.split_at(at);
        let params = super::params::Params::new(params);
        Some((number(super::table::trim(seconds))?, params.get("refresher")))
    }

    /// Min-SE in seconds (RFC 4028 §5).
    pub fn min_se(&self) -> Option<u32> {
        let value = self.header(HeaderName::MinSe)?;
        number(super::table::trim(value.split(';').next()?))
    }

    /// The media type of Content-Type, without its parameters.
    pub fn content_type(&self) -> Option<&'a str> {
        let value = self.header(HeaderName::ContentType)?;
        Some(super::table::trim(value.split(';').next()?))
    }

    /// Whether a list header (Supported, Require, Allow ...) has this item, compared without case.
    pub fn lists(&self, name: HeaderName, item: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(item))
    }

    fn needed(&self, name: HeaderName) -> Result<&'a str, Malformed> {
        let Some(span) = self.spans.get(usize::from(self.first[name.index()])) else {
            return Err(self.malformed(0, Why::Missing(name)));
        };
        self.text_of(*span).ok_or_else(|| self.bad_value(name, Fault::new(0, "not UTF-8")))
    }

    #[inline]
    fn typed<T>(
        &self,
        name: HeaderName,
        read: impl FnOnce(&'a str) -> Result<T, Fault>,
    ) -> Result<T, Malformed> {
        read(self.needed(name)?).map_err(|fault| self.bad_value(name, fault))
    }

    /// A fault in the first line of a header.
    #[cold]
    pub(super) fn bad_value(&self, name: HeaderName, fault: Fault) -> Malformed {
        let at = self.spans.get(usize::from(self.first[name.index()]));
        let at = at.map_or(0, |span| usize::from(span.value.0));
        self.malformed(at + fault.at, Why::Value { name, what: fault.what })
    }

    /// Bits of the headers that have a second line, by [`HeaderName::index`].
    pub(super) const fn repeated(&self) -> u128 {
        self.repeated
    }

    /// The offset of the second line of a header, where there is one.
    pub(super) fn second(&self, name: HeaderName) -> Option<usize> {
        let first = self.spans.get(usize::from(self.first[name.index()]))?;
        Some(usize::from(self.spans.get(usize::from(first.next))?.value.0))
    }
}

/// Items of a list header over all its lines.
#[derive(Clone, Debug)]
pub struct Values<'a, 'm> {
    message: &'m Message<'a>,
    next: u8,
    rest: Option<&'a str>,
}

impl<'a> Iterator for Values<'a, '_> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            if let Some(rest) = self.rest {
                let (item, rest) = split_list(rest);
                self.rest = rest;
                if !item.is_empty() {
                    return Some(item);
                }
            } else {
                let span = *self.message.spans.get(usize::from(self.next))?;
                self.next = span.next;
                self.rest = self.message.text_of(span);
            }
        }
    }
}

/// Every header line, in order.
#[derive(Clone, Debug)]
pub struct Headers<'a, 'm> {
    message: &'m Message<'a>,
    next: usize,
}

impl<'a> Iterator for Headers<'a, '_> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let span = *self.message.spans.get(self.next)?;
            self.next += 1;
            let name = usize::from(span.name);
            let end = super::table::skip(self.message.bytes, name, super::table::TOKEN);
            let name = std::str::from_utf8(&self.message.bytes[name..end]).ok();
            if let (Some(name), Some(value)) = (name, self.message.text_of(span)) {
                return Some((name, value));
            }
        }
    }
}

/// Line breaks before the start line; whole CRLF pairs only.
pub(super) fn leading_breaks(bytes: &[u8]) -> usize {
    let mut at = 0;
    while bytes[at..].starts_with(b"\r\n") {
        at += 2;
    }
    at
}

/// The offset of the CRLF that ends the start line.
pub(super) fn start_line_end(bytes: &[u8]) -> Result<usize, (usize, Why)> {
    match memchr::memchr(b'\n', bytes) {
        Some(feed) if feed > 0 && bytes[feed - 1] == b'\r' => Ok(feed - 1),
        _ => Err((0, Why::NotSip)),
    }
}

/// A decimal number of digits only, at most `u32::MAX` (larger ones read as that).
pub(crate) fn number(text: &str) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u32, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number.saturating_mul(10).saturating_add(u32::from(byte - b'0')))
    })
}

/// Content-Length's value; `None` where it is not made of digits alone.
pub(super) fn content_length(value: &[u8]) -> Option<usize> {
    usize::try_from(number(std::str::from_utf8(value).ok()?)?).ok()
}

fn short((start, end): (usize, usize)) -> Option<(u16, u16)> {
    Some((u16::try_from(start).ok()?, u16::try_from(end).ok()?))
}

/// The offset of a NUL that no backslash in a quoted pair excuses (RFC 3261 §25.1 lets
/// `quoted-pair` be any byte up to 0x7f but line breaks).
#[cold]
fn bare_nul(head: &[u8]) -> Option<usize> {
    memchr::memchr_iter(0, head).find(|at| *at == 0 || head[at - 1] != b'\\')
}
