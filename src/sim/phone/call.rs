//! One call of a phone: its dialog and what became of it.

use std::net::SocketAddr;

use super::media::{Figures, Media};
use super::script::{AnswerScript, CallScript, EndedBy, Mid};
use super::session::{Flow, Session};
use super::{PhoneConfig, SipText};
use crate::base::packet::Transport;
use crate::base::time::{Duration, Instant};
use crate::sim::text::{bare_uri, socket_of};

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// INVITE came or went.
    Inviting,
    /// CANCEL is to go or went.
    Cancelling,
    /// 200 went; ACK has not come.
    Answered,
    /// Both are agreed.
    Up,
    /// BYE went.
    Leaving,
    /// Over.
    Over,
}

/// What this side is about to do.
#[derive(Clone, Debug)]
pub(super) enum Role {
    Caller(CallScript),
    Callee(AnswerScript),
}

#[derive(Debug)]
pub(super) struct PhoneCall {
    pub(super) role: Role,
    pub(super) state: State,
    pub(super) transport: Transport,
    /// Where the peer sends from, and where requests go that name no address.
    pub(super) peer: SocketAddr,
    pub(super) call_id: String,
    pub(super) local_tag: String,
    pub(super) remote_tag: String,
    /// Our side as a URI, the other side as a URI.
    pub(super) local_uri: String,
    pub(super) remote_uri: String,
    /// Contact of the other side.
    pub(super) target: String,
    pub(super) routes: Vec<String>,
    pub(super) cseq: u32,
    pub(super) remote_cseq: u32,
    /// Branch of the INVITE under way: ours, or the one that came.
    pub(super) invite_branch: String,
    /// A provisional response came, so that CANCEL may go.
    pub(super) heard: bool,
    pub(super) challenges: u32,
    /// Our 2xx, until its ACK comes; and our ACK, for repeated 2xx.
    pub(super) answer: Vec<u8>,
    pub(super) answer_interval: Duration,
    pub(super) answer_since: Instant,
    pub(super) ack: Vec<u8>,
    pub(super) ack_to: Option<SocketAddr>,
    /// ACK is late on purpose.
    pub(super) ack_held: bool,
    pub(super) media: Media,
    pub(super) session: Session,
    pub(super) remote_version: Option<(u64, u64)>,
    /// A re-INVITE of ours is under way, for this.
    pub(super) reinvite: Option<Mid>,
    /// The INVITE had no description: its ACK carries the answer.
    pub(super) answer_in_ack: bool,
    /// A second answer of a fork that is to be ended by the other side.
    pub(super) fork: bool,
    pub(super) summary: Summary,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The phone's number of the call.
    pub call: u64,
    /// Whether the phone placed it.
    pub placed: bool,
    /// User part that was dialled.
    pub dialled: String,
    /// Call-ID of the leg.
    pub call_id: String,
    /// When it began.
    pub begun_at: Instant,
    /// Final status of INVITE; 0: none.
    pub status: u16,
    /// When 2xx came or went.
    pub answered_at: Option<Instant>,
    /// When the dialog was confirmed by ACK.
    pub confirmed_at: Option<Instant>,
    /// When it ended, and by whom.
    pub ended: Option<(Instant, EndedBy)>,
    /// Whether our BYE got its 200.
    pub bye_answered: bool,
    /// The other side's CANCEL came.
    pub cancelled: bool,
    /// A request of ours got no final response.
    pub timed_out: bool,
    /// A fork's second answer.
    pub fork: bool,
    /// Mark of this side's media.
    pub media_identity: u64,
    /// Media sent and heard.
    pub media: Figures,
}

impl PhoneCall {
    /// A request inside the dialog, with the next CSeq.
    pub(super) fn request(
        &mut self,
        method: &str,
        config: &PhoneConfig,
        branch: &str,
    ) -> (SipText, SocketAddr) {
        if method != "ACK" && method != "CANCEL" {
            self.cseq += 1;
        }
        let mut request = SipText::request(method, &self.target);
        let rport = if config.style.no_rport { "" } else { ";rport" };
        let (transport, sip) = (self.transport.name(), config.sip);
        request.push("via", format!("SIP/2.0/{transport} {sip};branch={branch}{rport}"));
        for route in &self.routes {
            request.push("route", route.clone());
        }
        request.push("max-forwards", "70");
        request.push("from", format!("<{}>;tag={}", self.local_uri, self.local_tag));
        let tag = if self.remote_tag.is_empty() {
            String::new()
        } else {
            format!(";tag={}", self.remote_tag)
        };
        request.push("to", format!("<{}>{tag}", self.remote_uri));
        request.push("call-id", self.call_id.clone());
        request.push("cseq", format!("{} {method}", self.cseq));
        if matches!(method, "INVITE" | "UPDATE") {
            request.push("contact", config.contact(self.transport));
        }
        let next = self.routes.first().map_or(self.target.as_str(), |route| bare_uri(route));
        let to = socket_of(next).unwrap_or(self.peer);
        (request, to)
    }

    /// Takes the other side's tag, contact and routes from a response to our INVITE.
    pub(super) fn learn_as_caller(&mut self, response: &SipText) {
        if let Some(tag) = response.tag("to") {
            tag.clone_into(&mut self.remote_tag);
        }
        if let Some(contact) = response.address("contact") {
            contact.clone_into(&mut self.target);
        }
        self.routes =
            response.values("record-route").into_iter().rev().map(str::to_owned).collect();
    }

    /// A description of ours: the formats that we have, or those in `formats`.
    pub(super) fn describe(&mut self, flow: Flow, formats: Vec<(u8, String)>) -> Vec<u8> {
        let changed = self.session.flow != flow || self.session.formats != formats;
        self.session.flow = flow;
        self.session.formats = formats;
        // RFC 3264 §8: the version rises with every change, and only then.
        self.session.version += u64::from(changed);
        self.session.text().into_bytes()
    }

    /// Takes the other side's description; a sentence where it breaks a rule.
    pub(super) fn hear_description(
        &mut self,
        body: &[u8],
        is_answer: bool,
        config: &PhoneConfig,
    ) -> Option<String> {
        let Some(remote) = Session::parse(body) else {
            return Some("a description that cannot be read".to_owned());
        };
        let common = remote.common(&config.codecs);
        let fault = self.description_fault(&remote, is_answer);
        self.remote_version = Some((remote.id, remote.version));
        let usable = common.iter().find(|(_, name)| !name.starts_with("telephone-event"));
        self.media.remote = match usable {
            Some((payload, _)) if remote.media.port() != 0 => {
                self.media.payload = *payload;
                Some(remote.media)
            }
            _ => None,
        };
        let theirs = remote.flow.answered();
        self.media.flow = if is_answer { both(self.session.flow, theirs) } else { theirs };
        fault
    }

    fn description_fault(&self, remote: &Session, is_answer: bool) -> Option<String> {
        if let Some((id, version)) = self.remote_version {
            if id != remote.id {
                return Some(format!("the description's id changed from {id} to {}", remote.id));
            }
            if remote.version < version {
                return Some("the description's version went back".to_owned());
            }
        }
        let offered = |name: &str| self.session.formats.iter().any(|(_, n)| n == name);
        let stranger = remote.formats.iter().find(|(_, name)| !offered(name));
        match stranger {
            Some((payload, name)) if is_answer && remote.media.port() != 0 => {
                Some(format!("the answer has format {payload} {name}, which was not offered"))
            }
            _ => None,
        }
    }

    /// Starts sending, if the script says so.
    pub(super) fn start_media(&mut self, now: Instant) -> bool {
        let wanted = match &self.role {
            Role::Caller(script) => script.media,
            Role::Callee(script) => script.media && !self.fork,
        };
        let start = wanted && self.media.remote.is_some() && self.media.due.is_none();
        if start {
            self.media.due = Some(now);
        }
        start
    }

    pub(super) fn during(&self) -> &[(Duration, Mid)] {
        match &self.role {
            Role::Caller(script) => &script.during,
            Role::Callee(script) => &script.during,
        }
    }

    pub(super) const fn talk(&self) -> Option<Duration> {
        match &self.role {
            Role::Caller(script) => script.talk,
            Role::Callee(script) => script.talk,
        }
    }

    /// Marks the call over.
    pub(super) fn end(&mut self, now: Instant, by: EndedBy) {
        self.state = State::Over;
        self.media.due = None;
        if self.summary.ended.is_none() && self.summary.answered_at.is_some() {
            self.summary.ended = Some((now, by));
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

/// What is left when one side says `ours` and the other allows `theirs`.
const fn both(ours: Flow, theirs: Flow) -> Flow {
    match (ours.sends() && theirs.sends(), ours.receives() && theirs.receives()) {
        (true, true) => Flow::SendRecv,
        (true, false) => Flow::SendOnly,
        (false, true) => Flow::RecvOnly,
        (false, false) => Flow::Inactive,
    }
}
