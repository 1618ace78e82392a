//! Dialogs (RFC 3261 §12): who is on the other end, where requests to it go, and what its next
//! request must look like.
//!
//! In: [`Dialog::from_invite`] (their INVITE), [`Dialog::calling`] (ours), [`Dialog::answered`],
//! [`Dialog::accept_request`]. Out: [`Dialog::request`] begins a message, [`Dialog::path`] says
//! where it goes.

use std::net::{IpAddr, SocketAddr};

use crate::base::bounded::{Text, text};
use crate::base::limits::{SIP_IDENTIFIER_BYTES_MAX, SIP_ROUTE_SET_BYTES_MAX, SIP_URI_BYTES_MAX};
use crate::base::packet::{SipPath, Transport};
use crate::wire::sip::{HeaderName, Message, Method, NameAddr, Uri, Writer, split_list};

/// Bytes of a From or To value without its tag.
const PARTY_BYTES_MAX: usize = SIP_URI_BYTES_MAX + 32;
/// Bytes of a peer's tag.
const TAG_BYTES_MAX: usize = 128;

/// How far a dialog has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Our INVITE is out; the peer has no tag yet.
    Calling,
    /// The peer has a tag, but the INVITE has no 2xx.
    Early,
    /// A 2xx went or came.
    Confirmed,
}

impl Phase {
    /// Which changes there are; all others are faults of ours.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Calling, Self::Early | Self::Confirmed)
                | (Self::Early, Self::Early | Self::Confirmed)
                | (Self::Confirmed, Self::Confirmed)
        )
    }
}

/// One side's view of a dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    phase: Phase,
    call_id: Text<SIP_IDENTIFIER_BYTES_MAX>,
    local_tag: Text<32>,
    remote_tag: Text<TAG_BYTES_MAX>,
    /// Our From (or To) value, without tag.
    local: Text<PARTY_BYTES_MAX>,
    /// The peer's, without tag.
    remote: Text<PARTY_BYTES_MAX>,
    /// The peer's Contact.
    target: Text<SIP_URI_BYTES_MAX>,
    /// Route values, separated by commas, nearest hop first.
    routes: Text<SIP_ROUTE_SET_BYTES_MAX>,
    local_cseq: u32,
    /// Zero until the peer's first request.
    remote_cseq: u32,
    path: SipPath,
    /// The peer sits behind NAT: its Contact is not believed.
    symmetric: bool,
}

impl Dialog {
    /// The dialog of an INVITE that came in; `local_tag` is ours. An error is the status that
    /// refuses the INVITE: an identifier or URI is longer than what is kept.
    pub fn from_invite(message: &Message<'_>, path: SipPath, local_tag: &str) -> Result<Self, u16> {
        let (Ok(from), Ok(to), Ok(call_id), Ok(cseq)) =
            (message.from(), message.to(), message.call_id(), message.cseq())
        else {
            return Err(400);
        };
        let contact = message.contact().map_err(|_| 400u16)?;
        Ok(Self {
            phase: Phase::Early,
            call_id: text(call_id).ok_or(400u16)?,
            local_tag: text(local_tag).ok_or(500u16)?,
            remote_tag: text(from.tag().unwrap_or_default()).ok_or(400u16)?,
            local: party(&to).ok_or(414u16)?,
            remote: party(&from).ok_or(414u16)?,
            target: text(contact.uri).ok_or(414u16)?,
            routes: routes(message, false).ok_or(400u16)?,
            local_cseq: 0,
            remote_cseq: cseq.number,
            path,
            symmetric: false,
        })
    }

    /// The dialog of an INVITE of ours. `local` and `remote` are From and To values without tags,
    /// `target` is the Request-URI. `None`: one of them is longer than what is kept.
    pub fn calling(
        call_id: &str,
        local_tag: &str,
        local: &str,
        remote: &str,
        target: &str,
        path: SipPath,
    ) -> Option<Self> {
        Some(Self {
            phase: Phase::Calling,
            call_id: text(call_id)?,
            local_tag: text(local_tag)?,
            remote_tag: Text::new(),
            local: text(local)?,
            remote: text(remote)?,
            target: text(target)?,
            routes: Text::new(),
            local_cseq: 0,
            remote_cseq: 0,
            path,
            symmetric: false,
        })
    }

    /// Requests go where the peer's came from, whatever its Contact says.
    pub fn set_symmetric(&mut self, symmetric: bool) {
        self.symmetric = symmetric;
    }

    /// Takes a response to our INVITE that carries a tag: the peer's identity, target and route
    /// set (RFC 3261 §12.1.2). A confirmed dialog keeps its route set (§12.2.1.2). An error means
    /// that the response cannot make a dialog.
    pub fn answered(&mut self, response: &Message<'_>, path: SipPath) -> Result<(), &'static str> {
        let status = response.status().unwrap_or_default();
        let tag = response.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        if tag.is_empty() && status < 200 {
            return Ok(());
        }
        let next = if status < 200 { Phase::Early } else { Phase::Confirmed };
        if !self.phase.may_become(next) {
            return Ok(());
        }
        self.remote_tag = text(tag).ok_or("the To-tag is too long")?;
        if self.phase != Phase::Confirmed {
            self.routes = routes(response, true).ok_or("the Record-Route values are too long")?;
        }
        if let Ok(contact) = response.contact() {
            self.target = text(contact.uri).ok_or("the Contact is too long")?;
        }
        self.phase = next;
        self.path.flow = path.flow;
        if path.flow.is_some() || self.symmetric {
            self.path.peer = path.peer;
        }
        Ok(())
    }

    /// Our 2xx went out: the dialog stands.
    pub fn confirm(&mut self) {
        assert!(self.phase.may_become(Phase::Confirmed));
        self.phase = Phase::Confirmed;
    }

    /// Checks a request inside the dialog and takes what it changes: CSeq, and the target where it
    /// may refresh it. An error is the status that refuses it (RFC 3261 §12.2.2).
    pub fn accept_request(&mut self, message: &Message<'_>, path: SipPath) -> Result<(), u16> {
        let (Ok(from), Ok(cseq)) = (message.from(), message.cseq()) else { return Err(400) };
        if from.tag().unwrap_or_default() != self.remote_tag.as_str() {
            return Err(481);
        }
        if cseq.number <= self.remote_cseq && self.remote_cseq != 0 {
            return Err(500);
        }
        self.remote_cseq = cseq.number;
        if matches!(message.method(), Some(Method::Invite | Method::Update))
            && let Ok(contact) = message.contact()
        {
            self.target = text(contact.uri).ok_or(414u16)?;
        }
        if path.transport == self.path.transport && (path.flow.is_some() || self.symmetric) {
            self.path = path;
        }
        Ok(())
    }

    /// The CSeq number for the next request of ours other than ACK and CANCEL.
    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq += 1;
        self.local_cseq
    }

    /// Begins a request inside the dialog, or the INVITE that asks for it: request line, Via,
    /// Route, Max-Forwards, From, To, Call-ID and CSeq. `sent_by` and `branch` are Via's.
    pub fn request<'b>(
        &self,
        buffer: &'b mut [u8],
        method: Method<'_>,
        cseq: u32,
        (sent_by, branch): (SocketAddr, &str),
        max_forwards: u8,
    ) -> Writer<'b> {
        let strict = self.strict_router();
        let mut sent = Text::<64>::new();
        // An address and a port are shorter than the room.
        let _ = std::fmt::write(&mut sent, format_args!("{sent_by}"));
        let mut writer = Writer::request(buffer, method, strict.unwrap_or(&self.target));
        writer.via(self.path.transport, &sent, branch);
        writer.header_fmt(HeaderName::MaxForwards, format_args!("{max_forwards}"));
        match strict {
            // RFC 3261 §12.2.1.1: a strict router gets itself as Request-URI, and the target last.
            Some(_) => {
                if let (_, Some(rest)) = split_list(&self.routes) {
                    writer.header(HeaderName::Route, rest.trim());
                }
                writer.header_fmt(HeaderName::Route, format_args!("<{}>", self.target));
            }
            None if !self.routes.is_empty() => {
                writer.header(HeaderName::Route, &self.routes);
            }
            None => {}
        }
        let (local, local_tag) = (&self.local, &self.local_tag);
        writer.header_fmt(HeaderName::From, format_args!("{local};tag={local_tag}"));
        if self.remote_tag.is_empty() {
            writer.header(HeaderName::To, &self.remote);
        } else {
            let (remote, remote_tag) = (&self.remote, &self.remote_tag);
            writer.header_fmt(HeaderName::To, format_args!("{remote};tag={remote_tag}"));
        }
        writer.header(HeaderName::CallId, &self.call_id);
        writer.header_fmt(HeaderName::CSeq, format_args!("{cseq} {}", method.name()));
        writer
    }

    /// Where a request inside the dialog goes: the flow that it came on, where there is one; else
    /// the nearest route or the target, where that is an address; else where the dialog was set up.
    pub fn path(&self) -> SipPath {
        let mut path = self.path;
        if path.flow.is_some() || self.symmetric || self.phase == Phase::Calling {
            return path;
        }
        let nearest = if self.routes.is_empty() {
            Uri::parse(&self.target).ok()
        } else {
            NameAddr::parse(split_list(&self.routes).0).ok().and_then(|r| r.parse_uri().ok())
        };
        if let Some(address) = nearest.and_then(|uri| address_of(&uri, path.transport))
            && address.is_ipv4() == path.peer.is_ipv4()
        {
            path.peer = address;
        }
        path
    }

    /// Forgets a broken connection: the next request makes a new one.
    pub fn lose_flow(&mut self) {
        self.path.flow = None;
    }

    /// Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Our tag.
    pub fn local_tag(&self) -> &str {
        &self.local_tag
    }

    /// The peer's tag; empty before it has one.
    pub fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// How far the dialog has come.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    fn strict_router(&self) -> Option<&str> {
        if self.routes.is_empty() {
            return None;
        }
        let first = NameAddr::parse(split_list(&self.routes).0).ok()?;
        let uri = Uri::parse(first.uri).ok()?;
        (!uri.is_loose_router()).then_some(first.uri)
    }
}

/// Address and port of a URI whose host is an address.
fn address_of(uri: &Uri<'_>, transport: Transport) -> Option<SocketAddr> {
    let default = if transport == Transport::Tls { 5061 } else { 5060 };
    let host: IpAddr = uri.host_addr()?;
    Some(SocketAddr::new(host, uri.port.unwrap_or(default)))
}

/// A From or To value without its tag: display name and URI.
fn party(address: &NameAddr<'_>) -> Option<Text<PARTY_BYTES_MAX>> {
    let mut party = Text::new();
    let written = match address.display {
        display if !display.is_empty() => {
            std::fmt::write(&mut party, format_args!("\"{display}\" <{}>", address.uri))
        }
        _ => std::fmt::write(&mut party, format_args!("<{}>", address.uri)),
    };
    written.ok().map(|()| party)
}

/// All Record-Route values as one Route value; reversed for the side that sent the request.
fn routes(message: &Message<'_>, reversed: bool) -> Option<Text<SIP_ROUTE_SET_BYTES_MAX>> {
    let mut routes = Text::<SIP_ROUTE_SET_BYTES_MAX>::new();
    for value in message.values(HeaderName::RecordRoute) {
        let mut next = Text::<SIP_ROUTE_SET_BYTES_MAX>::new();
        let (first, second) = if reversed { (value, &*routes) } else { (&*routes, value) };
        next.try_push_str(first).ok()?;
        if !first.is_empty() && !second.is_empty() {
            next.try_push_str(", ").ok()?;
        }
        next.try_push_str(second).ok()?;
        routes = next;
    }
    Some(routes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sip::Framing;

    const INVITE: &str = "INVITE sip:+14155550100@edge.example SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1\r\n\
        Record-Route: <sip:p1.example;lr>, <sip:192.0.2.1:5070;lr>\r\n\
        Record-Route: <sip:p3.example;lr>\r\n\
        From: \"A\" <sip:+14155550199@192.0.2.9>;tag=their\r\n\
        To: <sip:+14155550100@edge.example>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n\
        Contact: <sip:a@192.0.2.9:5080>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

    fn path() -> SipPath {
        let peer = "192.0.2.9:5060".parse().expect("address");
        SipPath { transport: Transport::Udp, listener: 0, peer, flow: None }
    }

    fn written(dialog: &Dialog, method: Method<'_>, cseq: u32) -> String {
        let mut buffer = [0; 2048];
        let sent_by = "198.51.100.1:5060".parse().expect("address");
        let mut writer = dialog.request(&mut buffer, method, cseq, (sent_by, "z9hG4bKx"), 70);
        let length = writer.finish_empty().expect("fits");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }

    #[test]
    fn the_called_side_keeps_the_route_order_and_swaps_the_parties() {
        let message = Message::parse(INVITE.as_bytes(), Framing::Datagram).expect("sound");
        let mut dialog = Dialog::from_invite(&message, path(), "ours").expect("dialog");
        dialog.confirm();
        let cseq = dialog.next_cseq();
        let bye = written(&dialog, Method::Bye, cseq);
        assert!(bye.starts_with("BYE sip:a@192.0.2.9:5080 SIP/2.0\r\n"), "{bye}");
        let routes = "Route: <sip:p1.example;lr>, <sip:192.0.2.1:5070;lr>, <sip:p3.example;lr>\r\n";
        assert!(bye.contains(routes), "{bye}");
        assert!(bye.contains("From: <sip:+14155550100@edge.example>;tag=ours\r\n"));
        assert!(bye.contains("To: \"A\" <sip:+14155550199@192.0.2.9>;tag=their\r\n"), "{bye}");
        assert!(bye.contains("CSeq: 1 BYE\r\n"));
        // The nearest hop is a name that nobody has resolved here: the set-up path serves.
        assert_eq!(dialog.path().peer, path().peer);
    }

    #[test]
    fn the_calling_side_reverses_the_routes_and_follows_the_contact() {
        let mut dialog = Dialog::calling(
            "c2",
            "ours",
            "<sip:me@edge.example>",
            "<sip:you@192.0.2.9>",
            "sip:you@192.0.2.9",
            path(),
        )
        .expect("fits");
        let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx\r\n\
            Record-Route: <sip:192.0.2.1:5070;lr>\r\nRecord-Route: <sip:p2.example;lr>\r\n\
            From: <sip:me@edge.example>;tag=ours\r\nTo: <sip:you@192.0.2.9>;tag=t2\r\n\
            Call-ID: c2\r\nCSeq: 1 INVITE\r\nContact: <sip:you@192.0.2.77:5090>\r\n\
            Content-Length: 0\r\n\r\n";
        let message = Message::parse(response.as_bytes(), Framing::Datagram).expect("sound");
        dialog.answered(&message, path()).expect("dialog");
        assert_eq!(dialog.phase(), Phase::Confirmed);
        let ack = written(&dialog, Method::Ack, 1);
        assert!(ack.starts_with("ACK sip:you@192.0.2.77:5090 SIP/2.0\r\n"));
        assert!(ack.contains("Route: <sip:p2.example;lr>, <sip:192.0.2.1:5070;lr>\r\n"), "{ack}");
        assert!(ack.contains("To: <sip:you@192.0.2.9>;tag=t2\r\n"));
    }

    #[test]
    fn a_strict_router_gets_itself() {
        let strict = INVITE.replace("<sip:p1.example;lr>", "<sip:p1.example>");
        let message = Message::parse(strict.as_bytes(), Framing::Datagram).expect("sound");
        let dialog = Dialog::from_invite(&message, path(), "ours").expect("dialog");
        let bye = written(&dialog, Method::Bye, 1);
        assert!(bye.starts_with("BYE sip:p1.example SIP/2.0\r\n"), "{bye}");
        assert!(bye.contains("Route: <sip:a@192.0.2.9:5080>\r\n"), "{bye}");
    }

    #[test]
    fn old_cseq_and_foreign_tags_are_refused() {
        let message = Message::parse(INVITE.as_bytes(), Framing::Datagram).expect("sound");
        let mut dialog = Dialog::from_invite(&message, path(), "ours").expect("dialog");
        let inside = |tag: &str, cseq: u32| {
            format!(
                "BYE sip:x@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK2\r\n\
                 From: <sip:a@192.0.2.9>;tag={tag}\r\nTo: <sip:b@edge.example>;tag=ours\r\n\
                 Call-ID: c1\r\nCSeq: {cseq} BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            )
        };
        let mut try_it = |tag: &str, cseq: u32| {
            let bytes = inside(tag, cseq);
            let message = Message::parse(bytes.as_bytes(), Framing::Datagram).expect("sound");
            dialog.accept_request(&message, path())
        };
        assert_eq!(try_it("foreign", 8), Err(481));
        assert_eq!(try_it("their", 7), Err(500));
        assert_eq!(try_it("their", 9), Ok(()));
        assert_eq!(try_it("their", 8), Err(500));
    }

    #[test]
    fn the_declared_transitions() {
        use Phase::{Calling, Confirmed, Early};
        for (from, to, may) in [
            (Calling, Early, true),
            (Calling, Confirmed, true),
            (Calling, Calling, false),
            (Early, Early, true),
            (Early, Confirmed, true),
            (Early, Calling, false),
            (Confirmed, Confirmed, true),
            (Confirmed, Early, false),
            (Confirmed, Calling, false),
        ] {
            assert_eq!(from.may_become(to), may, "{from:?} -> {to:?}");
        }
    }
}
