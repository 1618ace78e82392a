//! What is wrong with received bytes: where, why, and what to answer.

use std::fmt;

use super::header::HeaderName;

/// A message that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Offset of the fault in the bytes that were given.
    pub at: usize,
    /// The fault.
    pub why: Why,
    /// Status of the answer; 0 where none may be sent (a response, an ACK, or no SIP at all).
    pub status: u16,
}

/// Reasons for refusing a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The bytes do not begin like a SIP message.
    NotSip,
    /// A SIP version other than 2.0.
    Version,
    /// The request line is not `Method SP Request-URI SP SIP/2.0`.
    RequestLine,
    /// The status code is not three digits from 100 to 699.
    StatusCode,
    /// A header line without a name made of token characters and a colon.
    HeaderName,
    /// A carriage return or line feed that is not part of a CRLF pair.
    LineBreak,
    /// A NUL byte outside a quoted pair.
    Nul,
    /// A header line above [`crate::base::limits::SIP_HEADER_LINE_BYTES_MAX`].
    HeaderLineTooLong,
    /// More header lines than [`crate::base::limits::SIP_HEADERS_MAX`].
    TooManyHeaders,
    /// The bytes end before the empty line that ends the headers.
    Truncated,
    /// More bytes than [`crate::base::limits`] allows for the transport.
    TooLarge,
    /// Content-Length is above what [`crate::base::limits`] allows.
    BodyTooLarge,
    /// Content-Length promises more bytes than came.
    BodyShort,
    /// A header that must be there is not.
    Missing(HeaderName),
    /// A header that may be there once is there twice.
    Duplicate(HeaderName),
    /// A header's value is wrong.
    Value {
        /// Which header.
        name: HeaderName,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The Request-URI is wrong.
    RequestUri(&'static str),
    /// The Request-URI is longer than [`crate::base::limits::SIP_URI_BYTES_MAX`].
    RequestUriTooLong,
    /// The Request-URI has a scheme other than sip, sips and tel.
    Scheme,
    /// The method in CSeq is not the method of the request line.
    CSeqMethod,
}

impl Why {
    /// The status with which a request of this fault is answered (RFC 3261 §21.4, §21.5).
    pub const fn status(self) -> u16 {
        match self {
            Self::NotSip => 0,
            Self::Version => 505,
            Self::TooLarge => 513,
            Self::BodyTooLarge => 413,
            Self::RequestUriTooLong => 414,
            Self::Scheme => 416,
            _ => 400,
        }
    }
}

impl Malformed {
    /// The fault with the status that `why` calls for.
    pub const fn new(at: usize, why: Why) -> Self {
        Self { at, why, status: why.status() }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSip => f.write_str("not a SIP message"),
            Self::Version => f.write_str("SIP version is not 2.0"),
            Self::RequestLine => f.write_str("bad request line"),
            Self::StatusCode => f.write_str("bad status code"),
            Self::HeaderName => f.write_str("bad header name"),
            Self::LineBreak => f.write_str("line break is not CRLF"),
            Self::Nul => f.write_str("NUL byte in a header"),
            Self::HeaderLineTooLong => f.write_str("header line too long"),
            Self::TooManyHeaders => f.write_str("too many header lines"),
            Self::Truncated => f.write_str("headers do not end"),
            Self::TooLarge => f.write_str("message too large"),
            Self::BodyTooLarge => f.write_str("body too large"),
            Self::BodyShort => f.write_str("body shorter than Content-Length"),
            Self::Missing(name) => write!(f, "no {name} header"),
            Self::Duplicate(name) => write!(f, "more than one {name} header"),
            Self::Value { name, what } => write!(f, "{name}: {what}"),
            Self::RequestUri(what) => write!(f, "Request-URI: {what}"),
            Self::RequestUriTooLong => f.write_str("Request-URI too long"),
            Self::Scheme => f.write_str("Request-URI scheme is not supported"),
            Self::CSeqMethod => f.write_str("CSeq method differs from the request's"),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.why)
    }
}

impl std::error::Error for Malformed {}

/// What is wrong inside one value: the offset in the value, and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Offset in the value.
    pub at: usize,
    /// The reason.
    pub what: &'static str,
}

impl Fault {
    pub(crate) const fn new(at: usize, what: &'static str) -> Self {
        Self { at, what }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.what)
    }
}

impl std::error::Error for Fault {}
