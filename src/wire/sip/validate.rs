//! What RFC 3261 asks of every message beyond its structure (§8.1.1, §8.2.2, §20).

use super::cseq::CSeq;
use super::error::{Fault, Malformed, Why};
use super::header::HeaderName;
use super::message::Message;
use super::method::Method;
use super::name_addr::NameAddr;
use super::start::Start;
use super::uri::{Scheme, Uri};
use super::via::Via;
use crate::base::limits::{SIP_IDENTIFIER_BYTES_MAX, SIP_URI_BYTES_MAX};

/// Headers that a message has once or not at all, as bits by [`HeaderName::index`].
const SINGLE: u128 = bits(&[
    HeaderName::CallId,
    HeaderName::ContentDisposition,
    HeaderName::ContentLength,
    HeaderName::ContentType,
    HeaderName::CSeq,
    HeaderName::Date,
    HeaderName::Event,
    HeaderName::Expires,
    HeaderName::From,
    HeaderName::MaxForwards,
    HeaderName::MimeVersion,
    HeaderName::MinExpires,
    HeaderName::MinSe,
    HeaderName::RAck,
    HeaderName::ReferTo,
    HeaderName::ReferredBy,
    HeaderName::Replaces,
    HeaderName::ReplyTo,
    HeaderName::RSeq,
    HeaderName::SessionExpires,
    HeaderName::Timestamp,
    HeaderName::To,
]);
const _: () = assert!(HeaderName::COUNT < 128);

/// What every message has, read and checked.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    /// The Request-URI; `None` in a response.
    pub uri: Option<Uri<'a>>,
    /// The first Via.
    pub via: Via<'a>,
    /// From.
    pub from: NameAddr<'a>,
    /// From's tag; peers of RFC 2543 send none.
    pub from_tag: Option<&'a str>,
    /// To.
    pub to: NameAddr<'a>,
    /// To's tag.
    pub to_tag: Option<&'a str>,
    /// Call-ID.
    pub call_id: &'a str,
    /// CSeq.
    pub cseq: CSeq<'a>,
    /// Max-Forwards, where it is there.
    pub max_forwards: Option<u8>,
    /// The first Contact, where there is one, and its URI. `*` counts as none.
    pub contact: Option<(NameAddr<'a>, Uri<'a>)>,
}

impl<'a> Message<'a> {
    /// Checks what every later step relies on: the headers that must be there, those that may be
    /// there once, the Request-URI, CSeq against the method, and the grammar of From, To, the top
    /// Via, Call-ID, Contact, Route and Record-Route. After it the typed accessors of these
    /// succeed.
    ///
    /// # Errors
    /// The first fault found. In a response or an ACK its status is 0: drop the message.
    pub fn validate(&self) -> Result<(), Malformed> {
        self.checked().map(|_| ())
    }

    /// The same as [`Message::validate`], and gives what it read on the way, so that it need not
    /// be read again.
    ///
    /// # Errors
    /// As [`Message::validate`].
    pub fn checked(&self) -> Result<Checked<'a>, Malformed> {
        let twice = self.repeated() & SINGLE;
        if twice != 0 {
            return Err(self.twice(twice));
        }
        let cseq = self.cseq()?;
        let uri = match self.start() {
            Start::Request { method, uri } => {
                if cseq.method != method {
                    return Err(self.at_header(HeaderName::CSeq, Why::CSeqMethod));
                }
                Some(self.checked_uri(method, uri)?)
            }
            Start::Response { .. } => None,
        };
        let via = self.checked_via()?;
        let call_id = self.checked_call_id()?;
        let (from, from_tag) = self.checked_party(HeaderName::From, self.from()?)?;
        let (to, to_tag) = self.checked_party(HeaderName::To, self.to()?)?;
        let contact = self.checked_addresses(HeaderName::Contact)?;
        self.checked_addresses(HeaderName::Route)?;
        self.checked_addresses(HeaderName::RecordRoute)?;
        let max_forwards = self.max_forwards();
        if max_forwards.is_none() && self.has(HeaderName::MaxForwards) {
            return Err(self.fault(HeaderName::MaxForwards, Fault::new(0, "not 0 to 255")));
        }
        // A date in another zone would be read hours off (RFC 3261 §20.17, RFC 4475 §3.1.2.12).
        if let Some(date) = self.header(HeaderName::Date)
            && !date.ends_with(" GMT")
        {
            return Err(self.fault(HeaderName::Date, Fault::new(0, "zone is not GMT")));
        }
        Ok(Checked { uri, via, from, from_tag, to, to_tag, call_id, cseq, max_forwards, contact })
    }

    #[inline]
    fn checked_uri(&self, method: Method<'a>, text: &'a str) -> Result<Uri<'a>, Malformed> {
        let at = method.name().len() + 1;
        if text.len() > SIP_URI_BYTES_MAX {
            return Err(self.malformed(at, Why::RequestUriTooLong));
        }
        let uri = Uri::parse(text)
            .map_err(|fault| self.malformed(at + fault.at, Why::RequestUri(fault.what)))?;
        if matches!(uri.scheme, Scheme::Other(_)) {
            return Err(self.malformed(at, Why::Scheme));
        }
        if uri.headers.is_some() {
            // They would be headers of Carrick's own request (RFC 4475 §3.1.2.11).
            return Err(self.malformed(at, Why::RequestUri("headers are not allowed")));
        }
        Ok(uri)
    }

    #[inline]
    fn checked_via(&self) -> Result<Via<'a>, Malformed> {
        let via = self.top_via()?;
        let branch =
            via.params.check("branch").map_err(|fault| self.fault(HeaderName::Via, fault))?;
        if branch.is_some_and(|branch| branch.len() > SIP_IDENTIFIER_BYTES_MAX) {
            return Err(self.fault(HeaderName::Via, Fault::new(0, "branch too long")));
        }
        Ok(via)
    }

    #[inline]
    fn checked_call_id(&self) -> Result<&'a str, Malformed> {
        let call_id = self.call_id()?;
        let what = if call_id.len() > SIP_IDENTIFIER_BYTES_MAX {
            "too long"
        } else if call_id.bytes().fold(false, |found, byte| found | (byte <= b' ')) {
            // Every byte is looked at, without a branch, so that many are at once.
            "white space or a control byte inside"
        } else {
            return Ok(call_id);
        };
        Err(self.fault(HeaderName::CallId, Fault::new(0, what)))
    }

    #[inline]
    fn checked_party(
        &self,
        name: HeaderName,
        party: NameAddr<'a>,
    ) -> Result<(NameAddr<'a>, Option<&'a str>), Malformed> {
        let tag = party
            .parse_uri()
            .and_then(|_| party.params.check("tag"))
            .map_err(|fault| self.fault(name, fault))?;
        if tag.is_some_and(|tag| tag.len() > SIP_IDENTIFIER_BYTES_MAX) {
            return Err(self.fault(name, Fault::new(0, "tag too long")));
        }
        Ok((party, tag))
    }

    /// Checks every address of a list header; gives the first.
    #[inline]
    fn checked_addresses(
        &self,
        name: HeaderName,
    ) -> Result<Option<(NameAddr<'a>, Uri<'a>)>, Malformed> {
        let mut first = None;
        if !self.has(name) {
            return Ok(first);
        }
        if self.header(name).is_none() {
            return Err(self.fault(name, Fault::new(0, "not UTF-8")));
        }
        for value in self.values(name) {
            if value == "*" && name == HeaderName::Contact {
                continue;
            }
            let address = NameAddr::parse(value).map_err(|fault| self.fault(name, fault))?;
            let uri = address.parse_uri().map_err(|fault| self.fault(name, fault))?;
            address.params.check("").map_err(|fault| self.fault(name, fault))?;
            first.get_or_insert((address, uri));
        }
        Ok(first)
    }

    #[cold]
    fn fault(&self, name: HeaderName, fault: Fault) -> Malformed {
        self.bad_value(name, fault)
    }

    #[cold]
    fn at_header(&self, name: HeaderName, why: Why) -> Malformed {
        let place = self.bad_value(name, Fault::new(0, ""));
        Malformed { why, status: if place.status == 0 { 0 } else { why.status() }, ..place }
    }

    #[cold]
    fn twice(&self, bits: u128) -> Malformed {
        let name = HeaderName::from_index(bits.trailing_zeros() as usize);
        self.malformed(self.second(name).unwrap_or(0), Why::Duplicate(name))
    }
}

const fn bits(names: &[HeaderName]) -> u128 {
    let mut bits = 0;
    let mut at = 0;
    while at < names.len() {
        bits |= 1 << names[at].index();
        at += 1;
    }
    bits
}
