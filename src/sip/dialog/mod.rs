//! Dialogs (RFC 3261 §12): who talks to whom, in which order, and which way.
//!
//! A `Dialog` is a value that a call keeps for each leg. It writes the common part of every
//! request of its own ([`Dialog::request`]) and checks every request of the peer
//! ([`Dialog::accept_request`]). It has no timers and sends nothing.
//!
//! Path: `sip::transaction` -> here -> `call`

mod route;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;

pub use state::{DialogEvent, DialogState};

use crate::base::bounded::{Text, text};
use crate::base::limits::{SIP_IDENTIFIER_BYTES_MAX, SIP_ROUTE_SET_BYTES_MAX, SIP_URI_BYTES_MAX};
use crate::base::packet::SipPath;
use crate::wire::sip::{HeaderName, Message, Method, NameAddr, Writer};

/// Bytes of a display name that a dialog keeps; a longer one is left out.
pub const DISPLAY_BYTES_MAX: usize = 128;
/// Bytes of `"display" <URI>`.
pub const ADDRESS_BYTES_MAX: usize = DISPLAY_BYTES_MAX + SIP_URI_BYTES_MAX + "\"\" <>".len();

/// A Call-ID or tag.
pub type Identifier = Text<SIP_IDENTIFIER_BYTES_MAX>;
/// A URI.
pub type UriText = Text<SIP_URI_BYTES_MAX>;
/// An address as From and To carry it, without parameters: `"display" <URI>` or `<URI>`.
pub type Address = Text<ADDRESS_BYTES_MAX>;

/// Which end of the INVITE that made the dialog we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We called.
    Caller,
    /// We were called.
    Callee,
}

/// A message that a dialog cannot take: what to answer, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Status of the answer to a request; a response is dropped.
    pub status: u16,
    /// The reason, for people.
    pub why: &'static str,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.why)
    }
}

impl std::error::Error for Unfit {}

/// What a call that we place needs to know before anyone has answered.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Call-ID, made by us.
    pub call_id: &'a str,
    /// From-tag, made by us.
    pub local_tag: &'a str,
    /// From: `"display" <URI>`.
    pub local: &'a str,
    /// To: `"display" <URI>`.
    pub remote: &'a str,
    /// Request-URI.
    pub target: &'a str,
    /// Route of the first INVITE (an outbound proxy); mostly empty.
    pub route_set: &'a str,
    /// Contact, with its angle brackets.
    pub contact: &'a str,
    /// Where the INVITE goes.
    pub path: SipPath,
}

/// One end of a dialog, or of what will become one.
#[derive(Clone, Debug)]
pub struct Dialog {
    role: Role,
    state: DialogState,
    call_id: Identifier,
    local_tag: Identifier,
    /// Empty until the peer has chosen it, or where it is of RFC 2543 and chooses none.
    remote_tag: Identifier,
    local: Address,
    remote: Address,
    remote_target: UriText,
    /// Values of the Route headers, in order, joined by commas.
    route_set: Text<SIP_ROUTE_SET_BYTES_MAX>,
    /// Max-Forwards of the INVITE that asks for the dialog; requests inside it get the same.
    max_forwards: u8,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    contact: Address,
    path: SipPath,
    /// The peer sits behind address translation: what it says of its address is of no use.
    translated: bool,
}

impl Dialog {
    /// The dialog that an incoming INVITE makes, with the tag of our answers and our Contact
    /// (RFC 3261 §12.1.1).
    ///
    /// # Errors
    /// The INVITE has no usable Contact, or passes a limit: answer with the status.
    pub fn incoming(
        invite: &Message<'_>,
        path: SipPath,
        local_tag: &str,
        contact: &str,
    ) -> Result<Self, Unfit> {
        let bad = |why| Unfit { status: 400, why };
        let from = invite.from().map_err(|_| bad("bad From"))?;
        let to = invite.to().map_err(|_| bad("bad To"))?;
        let via = invite.top_via().map_err(|_| bad("bad Via"))?;
        let sent_by = via.host_addr().map(|address| address.to_canonical());
        let call_id = invite.call_id().map_err(|_| bad("bad Call-ID"))?;
        let cseq = invite.cseq().map_err(|_| bad("bad CSeq"))?;
        Ok(Self {
            role: Role::Callee,
            state: DialogState::Early,
            call_id: text(call_id).ok_or_else(|| bad("Call-ID too long"))?,
            local_tag: text(local_tag).ok_or_else(|| bad("tag too long"))?,
            remote_tag: text(from.tag().unwrap_or("")).ok_or_else(|| bad("tag too long"))?,
            local: address(&to).ok_or_else(|| bad("To too long"))?,
            remote: address(&from).ok_or_else(|| bad("From too long"))?,
            remote_target: target(invite).ok_or_else(|| bad("no usable Contact"))?,
            route_set: route::in_order(invite)
                .ok_or_else(|| bad("too many Record-Route values"))?,
            max_forwards: 70,
            local_cseq: 0,
            remote_cseq: Some(cseq.number),
            contact: text(contact).ok_or_else(|| bad("Contact too long"))?,
            path,
            translated: sent_by.is_some_and(|address| address != path.peer.ip().to_canonical()),
        })
    }

    /// What will become one or more dialogs when a call of ours is answered: it writes the INVITE,
    /// and [`Dialog::fork`] makes a dialog of each To-tag that answers.
    ///
    /// # Errors
    /// A text passes its limit.
    pub fn outgoing(call: &Outgoing<'_>) -> Result<Self, Unfit> {
        let long = Unfit { status: 500, why: "a text of the outgoing call is too long" };
        Ok(Self {
            role: Role::Caller,
            state: DialogState::Calling,
            call_id: text(call.call_id).ok_or(long)?,
            local_tag: text(call.local_tag).ok_or(long)?,
            remote_tag: Identifier::new(),
            local: text(call.local).ok_or(long)?,
            remote: text(call.remote).ok_or(long)?,
            remote_target: text(call.target).ok_or(long)?,
            route_set: text(call.route_set).ok_or(long)?,
            max_forwards: 70,
            local_cseq: 0,
            remote_cseq: None,
            contact: text(call.contact).ok_or(long)?,
            path: call.path,
            translated: false,
        })
    }

    /// The dialog that a response (101 to 299) to our INVITE makes (RFC 3261 §12.1.2). `self` is
    /// what [`Dialog::outgoing`] made; it stays as it is, because another fork may answer too.
    ///
    /// # Errors
    /// The response makes no dialog: it has no To-tag, or passes a limit.
    pub fn fork(&self, response: &Message<'_>, path: SipPath) -> Result<Self, Unfit> {
        let bad = |why| Unfit { status: 500, why };
        let status = response.status().filter(|status| (101..300).contains(status));
        let status = status.ok_or_else(|| bad("makes no dialog"))?;
        let to = response.to().map_err(|_| bad("bad To"))?;
        let tag = match (to.tag(), status) {
            (Some(tag), _) => tag,
            // A 2xx without a tag is of RFC 2543 and still a dialog (RFC 3261 §12.1.2).
            (None, 200..) => "",
            (None, _) => return Err(bad("no To-tag")),
        };
        let event = if status < 200 { DialogEvent::Provisional } else { DialogEvent::Success };
        let mut dialog = self.clone();
        dialog.state = self.state.next(event).ok_or_else(|| bad("the call is over"))?;
        dialog.remote_tag = text(tag).ok_or_else(|| bad("tag too long"))?;
        dialog.path = path;
        dialog.learn(response)?;
        Ok(dialog)
    }

    /// Takes another response to the INVITE with this dialog's To-tag: an early dialog becomes
    /// confirmed, and its route set and target are those of the 2xx (RFC 3261 §13.2.2.4).
    ///
    /// # Errors
    /// The response belongs to another dialog, or comes when it cannot.
    pub fn advance(&mut self, response: &Message<'_>) -> Result<(), Unfit> {
        let bad = |why| Unfit { status: 500, why };
        let to = response.to().map_err(|_| bad("bad To"))?;
        if to.tag().unwrap_or("") != self.remote_tag.as_str() {
            return Err(bad("another dialog"));
        }
        let event = match response.status() {
            Some(101..200) => DialogEvent::Provisional,
            Some(200..300) => DialogEvent::Success,
            Some(300..) => DialogEvent::Failure,
            _ => return Err(bad("says nothing of a dialog")),
        };
        let next = self.state.next(event).ok_or_else(|| bad("comes too late"))?;
        if event != DialogEvent::Failure {
            self.learn(response)?;
        }
        self.state = next;
        Ok(())
    }

    /// Moves to another state. `false`: the event cannot happen now, and nothing changed.
    pub fn apply(&mut self, event: DialogEvent) -> bool {
        match self.state.next(event) {
            Some(next) => {
                self.state = next;
                true
            }
            None => false,
        }
    }

    /// Checks a request inside the dialog, and learns from it: the order of requests, and the
    /// peer's new target (RFC 3261 §12.2.2). Repetitions never come here: their transaction
    /// swallows them.
    ///
    /// # Errors
    /// 481: it is of another dialog, or the dialog is over. 500: it is older than one that came
    /// before.
    pub fn accept_request(&mut self, request: &Message<'_>) -> Result<(), Unfit> {
        if !self.is_of(request) || self.state == DialogState::Terminated {
            return Err(Unfit { status: 481, why: "no such dialog" });
        }
        let Ok(cseq) = request.cseq() else {
            return Err(Unfit { status: 400, why: "bad CSeq" });
        };
        // An ACK has its INVITE's number, and a CANCEL its request's.
        if matches!(cseq.method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        if self.remote_cseq.is_some_and(|last| cseq.number <= last) {
            return Err(Unfit { status: 500, why: "CSeq does not rise" });
        }
        if matches!(cseq.method, Method::Invite | Method::Update)
            && request.has(HeaderName::Contact)
        {
            let bad = Unfit { status: 400, why: "no usable Contact" };
            self.remote_target = target(request).ok_or(bad)?;
        }
        self.remote_cseq = Some(cseq.number);
        Ok(())
    }

    /// The peer answered our re-INVITE or UPDATE with 2xx: its Contact is the new target.
    pub fn refresh_target(&mut self, response: &Message<'_>) {
        if let Some(target) = target(response) {
            self.remote_target = target;
        }
    }

    /// The number of our next request. ACK and CANCEL take that of their INVITE instead.
    pub fn next_cseq(&mut self) -> u32 {
        // Half of the numbers are legal; a dialog that used them up would have lasted for years.
        self.local_cseq = (self.local_cseq + 1) & 0x7fff_ffff;
        self.local_cseq
    }

    /// Begins a request of ours: request line, Via, Route, Max-Forwards, From, To, Call-ID, CSeq
    /// and, where the method may move the target, Contact. The caller adds the rest and finishes.
    /// It goes to [`Dialog::next_hop`]. `sent_by` is our `host[:port]`.
    pub fn request<'b>(
        &self,
        buffer: &'b mut [u8],
        method: Method<'_>,
        cseq: u32,
        sent_by: &str,
        branch: &str,
    ) -> Writer<'b> {
        let strict = route::strict_first(&self.route_set);
        let uri = strict.map_or(self.remote_target.as_str(), |(uri, _)| uri);
        let mut writer = Writer::request(buffer, method, uri);
        writer.via(self.path.transport, sent_by, branch);
        match strict {
            // RFC 3261 §12.2.1.1: a strict router is the Request-URI, and the target comes last.
            Some((_, rest)) => {
                if !rest.is_empty() {
                    writer.header(HeaderName::Route, rest);
                }
                let target = &self.remote_target;
                writer.header_fmt(HeaderName::Route, format_args!("<{target}>"));
            }
            None if !self.route_set.is_empty() => {
                writer.header(HeaderName::Route, &self.route_set);
            }
            None => {}
        }
        writer.header_fmt(HeaderName::MaxForwards, format_args!("{}", self.max_forwards));
        tagged(&mut writer, HeaderName::From, &self.local, &self.local_tag);
        tagged(&mut writer, HeaderName::To, &self.remote, &self.remote_tag);
        writer
            .header(HeaderName::CallId, &self.call_id)
            .header_fmt(HeaderName::CSeq, format_args!("{cseq} {method}"));
        if !matches!(method, Method::Bye | Method::Ack | Method::Prack | Method::Info) {
            writer.header(HeaderName::Contact, &self.contact);
        }
        writer
    }

    /// Where our requests go: to the first Route, else to the remote target, where that names an
    /// address; else, or where the peer is behind address translation, to where it is known to
    /// be. A connection that leads there is used again.
    pub fn next_hop(&self) -> SipPath {
        route::next_hop(&self.route_set, &self.remote_target, self.path, self.translated)
    }

    /// Requests may take at most so many hops from now on. A back-to-back edge passes on what is
    /// left of the other leg's, so that a loop through it ends (RFC 3261 §16.3, RFC 7332).
    pub fn set_max_forwards(&mut self, hops: u8) {
        self.max_forwards = hops;
    }

    /// The peer was heard of at another place, or its connection is another: requests go there.
    pub fn set_path(&mut self, path: SipPath) {
        self.path = path;
    }

    /// Whether a request of the peer has our tag, its tag and the Call-ID.
    pub fn is_of(&self, request: &Message<'_>) -> bool {
        let tag = |address: NameAddr<'_>, tag: &str| address.tag().unwrap_or("") == tag;
        request.call_id().is_ok_and(|call_id| call_id == self.call_id.as_str())
            && request.to().is_ok_and(|to| tag(to, &self.local_tag))
            && request.from().is_ok_and(|from| tag(from, &self.remote_tag))
    }

    /// Route set and target, from a response to the INVITE. One without a usable Contact leaves
    /// the target as it was: a 2xx has to be acknowledged, whatever is wrong with it.
    fn learn(&mut self, response: &Message<'_>) -> Result<(), Unfit> {
        let many = Unfit { status: 500, why: "too many Record-Route values" };
        // The Route of the first INVITE has served its purpose.
        self.route_set = route::reversed(response).ok_or(many)?;
        self.refresh_target(response);
        self.translated = route::is_translated(&self.remote_target, self.path.peer.ip());
        Ok(())
    }
}

/// What a dialog is made of.
impl Dialog {
    /// Which end we are.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// How far it has come.
    pub const fn state(&self) -> DialogState {
        self.state
    }

    /// Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Our tag.
    pub fn local_tag(&self) -> &str {
        &self.local_tag
    }

    /// The peer's tag; empty while it has none.
    pub fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// Our address, `"display" <URI>`.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The peer's address, `"display" <URI>`.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// Where the peer wants its requests.
    pub fn remote_target(&self) -> &str {
        &self.remote_target
    }

    /// The Route values, joined by commas.
    pub fn route_set(&self) -> &str {
        &self.route_set
    }

    /// Our Contact.
    pub fn contact(&self) -> &str {
        &self.contact
    }

    /// The number of our latest request; zero before the first.
    pub const fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// The number of the peer's latest request.
    pub const fn remote_cseq(&self) -> Option<u32> {
        self.remote_cseq
    }

    /// Where the dialog was set up.
    pub const fn path(&self) -> SipPath {
        self.path
    }
}

fn tagged(writer: &mut Writer<'_>, name: HeaderName, address: &str, tag: &str) {
    if tag.is_empty() {
        writer.header(name, address);
    } else {
        writer.header_fmt(name, format_args!("{address};tag={tag}"));
    }
}

/// From or To without parameters. A display name that is folded or too long is left out: it is
/// for people, and the tags carry the identity.
fn address(from: &NameAddr<'_>) -> Option<Address> {
    let mut address = Address::new();
    let clean = !from.display.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    if !from.display.is_empty() && clean && from.display.len() <= DISPLAY_BYTES_MAX {
        for part in ["\"", from.display, "\" "] {
            address.try_push_str(part).ok()?;
        }
    }
    if from.uri.len() > SIP_URI_BYTES_MAX {
        return None;
    }
    for part in ["<", from.uri, ">"] {
        address.try_push_str(part).ok()?;
    }
    Some(address)
}

/// The URI of the Contact, where there is one that requests can be sent to.
fn target(message: &Message<'_>) -> Option<UriText> {
    let uri = message.contact().ok()?.parse_uri().ok()?;
    text(uri.text).filter(|_| !uri.host.is_empty())
}
