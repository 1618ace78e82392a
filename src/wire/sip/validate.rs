//! What RFC 3261 asks of every message beyond its structure (§8.1.1, §8.2.2, §20).

use super::error::{Fault, Malformed, Why};
use super::header::HeaderName;
use super::message::Message;
use super::method::Method;
use super::name_addr::NameAddr;
use super::start::Start;
use super::table::{LWS, is};
use super::uri::{Scheme, Uri};
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

impl Message<'_> {
    /// Checks what every later step relies on: the headers that must be there, those that may be
    /// there once, the Request-URI, CSeq against the method, and the grammar of From, To, the top
    /// Via, Call-ID, Contact, Route and Record-Route. After it the typed accessors of these
    /// succeed.
    ///
    /// # Errors
    /// The first fault found. In a response or an ACK its status is 0: drop the message.
    pub fn validate(&self) -> Result<(), Malformed> {
        let twice = self.repeated() & SINGLE;
        if twice != 0 {
            return Err(self.twice(twice));
        }
        let cseq = self.cseq()?;
        if let Start::Request { method, uri } = self.start() {
            self.check_request_uri(method, uri)?;
            if cseq.method != method {
                return Err(self.at_header(HeaderName::CSeq, Why::CSeqMethod));
            }
        }
        self.check_via()?;
        self.check_call_id()?;
        self.check_party(HeaderName::From, self.from()?)?;
        self.check_party(HeaderName::To, self.to()?)?;
        for name in [HeaderName::Contact, HeaderName::Route, HeaderName::RecordRoute] {
            if self.has(name) {
                self.check_addresses(name)?;
            }
        }
        if self.has(HeaderName::MaxForwards) && self.max_forwards().is_none() {
            return Err(self.fault(HeaderName::MaxForwards, Fault::new(0, "not 0 to 255")));
        }
        // A date in another zone would be read as one hours off (RFC 3261 §20.17, RFC 4475 §3.1.2.12).
        match self.header(HeaderName::Date) {
            Some(date) if !date.ends_with(" GMT") => {
                Err(self.fault(HeaderName::Date, Fault::new(0, "zone is not GMT")))
            }
            _ => Ok(()),
        }
    }

    fn check_request_uri(&self, method: Method<'_>, text: &str) -> Result<(), Malformed> {
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
        Ok(())
    }

    fn check_via(&self) -> Result<(), Malformed> {
        let via = self.top_via()?;
        via.params.check().map_err(|fault| self.fault(HeaderName::Via, fault))?;
        match via.branch() {
            Some(branch) if branch.len() > SIP_IDENTIFIER_BYTES_MAX => {
                Err(self.fault(HeaderName::Via, Fault::new(0, "branch too long")))
            }
            _ => Ok(()),
        }
    }

    fn check_call_id(&self) -> Result<(), Malformed> {
        let call_id = self.call_id()?;
        let what = if call_id.len() > SIP_IDENTIFIER_BYTES_MAX {
            "too long"
        } else if call_id.bytes().any(|byte| is(byte, LWS)) {
            "white space inside"
        } else {
            return Ok(());
        };
        Err(self.fault(HeaderName::CallId, Fault::new(0, what)))
    }

    fn check_party(&self, name: HeaderName, party: NameAddr<'_>) -> Result<(), Malformed> {
        check_address(&party).map_err(|fault| self.fault(name, fault))?;
        match party.tag() {
            Some(tag) if tag.len() > SIP_IDENTIFIER_BYTES_MAX => {
                Err(self.fault(name, Fault::new(0, "tag too long")))
            }
            _ => Ok(()),
        }
    }

    fn check_addresses(&self, name: HeaderName) -> Result<(), Malformed> {
        if self.header(name).is_none() {
            return Err(self.fault(name, Fault::new(0, "not UTF-8")));
        }
        for value in self.values(name) {
            if value == "*" && name == HeaderName::Contact {
                continue;
            }
            NameAddr::parse(value)
                .and_then(|address| check_address(&address))
                .map_err(|fault| self.fault(name, fault))?;
        }
        Ok(())
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

fn check_address(address: &NameAddr<'_>) -> Result<(), Fault> {
    address.parse_uri()?;
    address.params.check()
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
