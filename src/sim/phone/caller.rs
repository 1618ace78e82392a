//! A phone that places a call.

use super::call::{PhoneCall, Role, State, Summary};
use super::digest::Challenge;
use super::script::{AckStyle, CallScript, Datagram, EndedBy, What};
use super::session::Flow;
use super::{CALLS_MAX, Phone, SipText, T1, Todo};
use crate::base::time::Instant;
use crate::sim::text::user_of;

/// INVITEs with credentials that a phone sends at most: one, and one more for a stale nonce.
const CHALLENGES_MAX: u32 = 2;

impl Phone {
    /// Places a call; gives its number.
    pub fn call(&mut self, now: Instant, script: CallScript, out: &mut Vec<Datagram>) -> u64 {
        assert!(self.calls.len() < CALLS_MAX);
        self.next_call += 1;
        let number = self.next_call;
        let (media, session) = self.new_media(number);
        let call_id = format!("{}@{}", self.rng.token::<20>(), self.config.sip.ip());
        let summary = Summary {
            call: number,
            placed: true,
            dialled: user_of(&script.uri).to_owned(),
            call_id: call_id.clone(),
            begun_at: now,
            status: 0,
            answered_at: None,
            confirmed_at: None,
            ended: None,
            bye_answered: false,
            cancelled: false,
            timed_out: false,
            fork: false,
            media_identity: media.identity,
            media: super::media::Figures::default(),
        };
        let give_up = script.give_up;
        let call = PhoneCall {
            state: State::Inviting,
            transport: self.config.transport,
            peer: self.config.edge,
            call_id,
            local_tag: self.rng.token::<10>().to_string(),
            remote_tag: String::new(),
            local_uri: format!("sip:{}@{}", script.from, self.config.sip.ip()),
            remote_uri: script.uri.clone(),
            target: script.uri.clone(),
            routes: Vec::new(),
            cseq: u32::try_from(self.rng.below(1000)).unwrap_or(0),
            remote_cseq: 0,
            invite_branch: String::new(),
            heard: false,
            challenges: 0,
            answer: Vec::new(),
            answer_interval: T1,
            answer_since: now,
            ack: Vec::new(),
            ack_to: None,
            ack_held: false,
            media,
            session,
            remote_version: None,
            reinvite: None,
            answer_in_ack: false,
            fork: false,
            role: Role::Caller(script),
            summary,
        };
        self.calls.insert(number, call);
        self.invite(now, number, None, out);
        if let Some(after) = give_up {
            self.plan(now + after, Todo::GiveUpCall(number));
        }
        number
    }

    /// Sends the INVITE, with credentials where there was a challenge.
    fn invite(
        &mut self,
        now: Instant,
        number: u64,
        credentials: Option<(&str, String)>,
        out: &mut Vec<Datagram>,
    ) {
        let branch = self.branch();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let Role::Caller(script) = call.role.clone() else { return };
        let (mut request, _) = call.request("INVITE", &self.config, &branch);
        call.invite_branch.clone_from(&branch);
        call.heard = false;
        request.push("allow", "INVITE, ACK, CANCEL, BYE, UPDATE, INFO, OPTIONS");
        for (name, value) in &script.headers {
            request.push(name, value.clone());
        }
        if let Some((name, value)) = credentials {
            request.push(name, value);
        }
        if script.offer {
            let formats = self.config.formats();
            request.push("content-type", "application/sdp");
            request.body = call.describe(Flow::SendRecv, formats);
        }
        let to = self.config.edge;
        self.begin(now, number, &request, to, out);
    }

    pub(super) fn provisional(
        &mut self,
        now: Instant,
        number: u64,
        status: u16,
        message: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let first = !std::mem::replace(&mut call.heard, true);
        if call.state == State::Cancelling && first {
            return self.send_cancel(now, number, out);
        }
        if status == 100 || call.summary.answered_at.is_some() {
            return;
        }
        let fault = (!message.body.is_empty())
            .then(|| call.hear_description(&message.body, true, &self.config));
        self.event(number, now, What::Ringing(status));
        if let Some(fault) = fault {
            self.event(number, now, What::EarlyMedia);
            if let Some(fault) = fault {
                self.fault(number, now, fault);
            }
            self.start_media(now, number);
        }
    }

    /// The final response of the INVITE that begins the call.
    pub(super) fn invite_finished(
        &mut self,
        now: Instant,
        number: u64,
        message: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        let status = message.status().unwrap_or(0);
        let Some(call) = self.calls.get_mut(&number) else { return };
        if status < 300 {
            return self.answered(now, number, message);
        }
        let branch = call.invite_branch.clone();
        let again = call.state == State::Inviting;
        self.acknowledge_refusal(&branch, message, out);
        if matches!(status, 401 | 407) && again && self.try_again(now, number, message, out) {
            return;
        }
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.summary.status = status;
        call.end(now, EndedBy::Them);
        self.event(number, now, What::Failed(status));
    }

    /// Answers a challenge, if there is anything to answer it with.
    fn try_again(
        &mut self,
        now: Instant,
        number: u64,
        message: &SipText,
        out: &mut Vec<Datagram>,
    ) -> bool {
        self.event(number, now, What::Challenged);
        let Some((username, password)) = self.config.credentials.clone() else { return false };
        let Some(call) = self.calls.get_mut(&number) else { return false };
        let (asks, answers) = if message.status() == Some(401) {
            ("www-authenticate", "authorization")
        } else {
            ("proxy-authenticate", "proxy-authorization")
        };
        let lines = message.headers.iter().filter(|(name, _)| name == asks);
        let challenges: Vec<_> = lines.filter_map(|(_, value)| Challenge::parse(value)).collect();
        // Old phones take the first that they know; half of ours do.
        let chosen = if self.rng.chance(1, 2) { challenges.first() } else { challenges.last() };
        let Some(challenge) = chosen else { return false };
        // A phone asks its user rather than try the same password again, unless only the nonce
        // was old.
        if call.challenges >= CHALLENGES_MAX || (call.challenges > 0 && !challenge.stale) {
            return false;
        }
        call.challenges += 1;
        let uri = call.remote_uri.clone();
        let user = (username.as_str(), password.as_str());
        let value = challenge.answer(user, ("INVITE", &uri), 1, &mut self.rng);
        self.invite(now, number, Some((answers, value)), out);
        true
    }

    fn answered(&mut self, now: Instant, number: u64, message: &SipText) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let Role::Caller(script) = call.role.clone() else { return };
        let cancelled = call.state == State::Cancelling;
        call.learn_as_caller(message);
        call.summary.status = message.status().unwrap_or(0);
        call.summary.answered_at = Some(now);
        // RFC 3264 §5: an offer that was answered early is not answered again differently.
        let fault = if message.body.is_empty() && call.remote_version.is_none() {
            Some("2xx without a description".to_owned())
        } else if message.body.is_empty() {
            None
        } else {
            call.hear_description(&message.body, script.offer, &self.config)
        };
        self.event(number, now, What::Answered);
        if let Some(fault) = fault {
            self.fault(number, now, fault);
        }
        self.make_ack(number, (!script.offer).then_some(&message.body));
        // A late or missing ACK is kept back; repeated 2xx get none either.
        let held = script.ack != AckStyle::Prompt && !cancelled;
        if let Some(call) = self.calls.get_mut(&number) {
            call.ack_held = held;
        }
        if let AckStyle::Late(after) = script.ack {
            self.plan(now + after, Todo::Acknowledge(number));
        }
        self.confirmed(now, number);
        if cancelled {
            // The answer was faster than our CANCEL: the call stands, so it is ended.
            self.plan(now, Todo::HangUp(number));
        }
    }

    /// Prepares the ACK of a 2xx; with an answer where the 2xx carried the offer.
    pub(super) fn make_ack(&mut self, number: u64, offer: Option<&Vec<u8>>) {
        let branch = self.branch();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let (mut ack, to) = call.request("ACK", &self.config, &branch);
        if let Some(offer) = offer
            && let Some(remote) = super::Session::parse(offer)
        {
            let formats = remote.common(&self.config.codecs);
            ack.push("content-type", "application/sdp");
            ack.body = call.describe(remote.flow.answered(), formats);
        }
        call.ack = ack.to_bytes(self.config.style);
        call.ack_to = Some(to);
    }

    /// Sends an ACK that was held back.
    pub(super) fn send_ack(&mut self, number: u64, out: &mut Vec<Datagram>) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.ack_held = false;
        let Some(to) = call.ack_to else { return };
        let (transport, from, bytes) = (call.transport, self.config.sip, call.ack.clone());
        out.push(Datagram { transport, from, to, bytes });
    }

    /// Gives up before the answer.
    pub(super) fn cancel(&mut self, now: Instant, number: u64, out: &mut Vec<Datagram>) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if call.state != State::Inviting {
            return;
        }
        call.state = State::Cancelling;
        // RFC 3261 §9.1: not before a provisional response has come.
        if call.heard {
            self.send_cancel(now, number, out);
        }
    }

    fn send_cancel(&mut self, now: Instant, number: u64, out: &mut Vec<Datagram>) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let branch = call.invite_branch.clone();
        let Some(client) = self.clients.get(&branch) else { return };
        let cseq = client.cseq;
        let (mut request, _) = call.request("CANCEL", &self.config, &branch);
        request.start = format!("CANCEL {} SIP/2.0", call.remote_uri);
        request.headers.retain(|(name, _)| name != "cseq" && name != "to");
        request.push("to", format!("<{}>", call.remote_uri));
        request.push("cseq", format!("{cseq} CANCEL"));
        let to = self.config.edge;
        self.begin(now, number, &request, to, out);
    }
}
