//! A phone that is called.

use super::call::{PhoneCall, Role, State, Summary};
use super::digest::Challenge;
use super::script::{AnswerScript, Datagram, Door, EndedBy, Outcome, What};
use super::session::{Flow, Session};
use super::{PATIENCE, Phone, SipText, T1, T2, Todo};
use crate::base::packet::Transport;
use crate::base::time::{Duration, Instant};
use crate::sim::text::{bare_uri, user_of};

/// How long the losing answer of a fork may stand.
const FORK_PATIENCE: Duration = Duration::from_secs(40);

impl Phone {
    /// A new call.
    pub(super) fn incoming(
        &mut self,
        now: Instant,
        server: u64,
        invite: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        let user = user_of(invite.uri().unwrap_or_default()).to_owned();
        let script = self.scripts.get(&user).unwrap_or(&self.default).clone();
        if let Some(door) = &script.challenge
            && !self.opens(now, server, door, invite, out)
        {
            return;
        }
        if script.trying {
            self.respond(now, server, 100, None, out);
        }
        let number = self.new_incoming(now, server, invite, &user, script.clone());
        self.event(number, now, What::Incoming(user));
        if !invite.body.is_empty()
            && let Some(call) = self.calls.get_mut(&number)
            && let Some(fault) = call.hear_description(&invite.body, false, &self.config)
        {
            self.fault(number, now, fault);
        }
        if let Some((after, ..)) = script.ring {
            self.plan(now + after, Todo::Ring(number));
        }
        self.plan(now + script.outcome.0, Todo::Outcome(number));
    }

    /// Whether the INVITE has the credentials that this door wants; else challenges or refuses.
    fn opens(
        &mut self,
        now: Instant,
        server: u64,
        door: &Door,
        invite: &SipText,
        out: &mut Vec<Datagram>,
    ) -> bool {
        let call_id = invite.header("call-id").unwrap_or_default().to_owned();
        let value = invite.header("proxy-authorization");
        if let (Some(value), Some(challenge)) = (value, self.doors.get(&call_id)) {
            let user = (door.username.as_str(), door.password.as_str());
            let Err(why) = challenge.accepts(value, user, "INVITE") else { return true };
            self.fault(0, now, format!("the carrier's challenge was answered wrongly: {why}"));
            self.respond(now, server, 403, None, out);
            return false;
        }
        let challenge = Challenge {
            realm: self.config.name.clone(),
            nonce: self.rng.token::<24>().to_string(),
            auth: true,
            sha256: door.sha256,
            ..Challenge::default()
        };
        let header = ("proxy-authenticate", challenge.value());
        self.doors.insert(call_id, challenge);
        self.respond_with(now, server, 407, None, &[header], out);
        false
    }

    fn new_incoming(
        &mut self,
        now: Instant,
        server: u64,
        invite: &SipText,
        user: &str,
        script: AnswerScript,
    ) -> u64 {
        self.next_call += 1;
        let number = self.next_call;
        let (media, session) = self.new_media(number);
        let text = |name: &str| invite.header(name).unwrap_or_default().to_owned();
        let (transport, peer) = self
            .servers
            .get(&server)
            .map_or((Transport::Udp, self.config.edge), |s| (s.transport, s.source));
        let summary = Summary {
            call: number,
            placed: false,
            dialled: user.to_owned(),
            call_id: text("call-id"),
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
        let call = PhoneCall {
            state: State::Inviting,
            transport,
            peer,
            call_id: text("call-id"),
            local_tag: self.rng.token::<10>().to_string(),
            remote_tag: invite.tag("from").unwrap_or_default().to_owned(),
            local_uri: bare_uri(&text("to")).to_owned(),
            remote_uri: bare_uri(&text("from")).to_owned(),
            target: invite.address("contact").unwrap_or_default().to_owned(),
            routes: invite.values("record-route").into_iter().map(str::to_owned).collect(),
            cseq: u32::try_from(self.rng.below(1000)).unwrap_or(0),
            remote_cseq: invite.cseq().map_or(0, |(cseq, _)| cseq),
            invite_branch: invite.branch().unwrap_or_default().to_owned(),
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
            answer_in_ack: invite.body.is_empty(),
            fork: false,
            role: Role::Callee(script),
            summary,
        };
        self.calls.insert(number, call);
        number
    }

    /// The server transaction of a call's INVITE.
    fn invite_server(&self, number: u64) -> Option<u64> {
        let branch = &self.calls.get(&number)?.invite_branch;
        let of_call = self.servers.iter().find(|(_, server)| {
            server.request.method() == Some("INVITE")
                && server.request.branch() == Some(branch.as_str())
        });
        of_call.map(|(server, _)| *server)
    }

    /// Our description for this call: an answer where an offer came, else an offer.
    pub(super) fn description(&mut self, number: u64) -> Vec<u8> {
        let all = self.config.formats();
        let Some(server) = self.invite_server(number) else { return Vec::new() };
        let body = self.servers.get(&server).map(|s| s.request.body.clone()).unwrap_or_default();
        let codecs = self.config.codecs.clone();
        let Some(call) = self.calls.get_mut(&number) else { return Vec::new() };
        match Session::parse(&body) {
            Some(remote) => {
                let formats = remote.common(&codecs);
                call.describe(remote.flow.answered(), formats)
            }
            None => call.describe(Flow::SendRecv, all),
        }
    }

    pub(super) fn ring(&mut self, now: Instant, number: u64, out: &mut Vec<Datagram>) {
        let Some(call) = self.calls.get(&number) else { return };
        let Role::Callee(script) = &call.role else { return };
        let Some((_, status, early)) = script.ring else { return };
        if call.state != State::Inviting {
            return;
        }
        let describe = early && !call.answer_in_ack;
        let Some(server) = self.invite_server(number) else { return };
        let body = describe.then(|| self.description(number));
        self.respond(now, server, status, body, out);
        if describe {
            self.start_media(now, number);
        }
    }

    pub(super) fn outcome(&mut self, now: Instant, number: u64, out: &mut Vec<Datagram>) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let Role::Callee(script) = &call.role else { return };
        if call.state != State::Inviting {
            return;
        }
        let outcome = script.outcome.1.clone();
        let spoke = script.trying || script.ring.is_some();
        let Some(server) = self.invite_server(number) else { return };
        match outcome {
            // Nobody can cancel what never said a word (RFC 3261 §9.1): it forgets by itself.
            Outcome::Silence if !spoke => {
                if let Some(call) = self.calls.get_mut(&number) {
                    call.end(now, EndedBy::Us);
                }
            }
            Outcome::Silence => {}
            Outcome::Refuse(status) => self.refuse(now, number, server, (status, None), out),
            Outcome::Redirect(uri) => {
                let contact = format!("<{uri}>");
                self.refuse(now, number, server, (302, Some(contact)), out);
            }
            Outcome::Answer => self.answer(now, number, server, out),
            Outcome::Fork => {
                self.answer(now, number, server, out);
                self.fork(now, number, server, out);
            }
        }
    }

    fn refuse(
        &mut self,
        now: Instant,
        number: u64,
        server: u64,
        (status, contact): (u16, Option<String>),
        out: &mut Vec<Datagram>,
    ) {
        let headers: Vec<_> = contact.into_iter().map(|contact| ("contact", contact)).collect();
        self.respond_with(now, server, status, None, &headers, out);
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.summary.status = status;
        call.end(now, EndedBy::Us);
        self.event(number, now, What::Failed(status));
    }

    /// 200, repeated until its ACK comes (RFC 3261 §13.3.1.4).
    fn answer(&mut self, now: Instant, number: u64, server: u64, out: &mut Vec<Datagram>) {
        let body = self.description(number);
        self.respond(now, server, 200, Some(body), out);
        let bytes = out.last().map(|datagram| datagram.bytes.clone()).unwrap_or_default();
        self.answered_with(now, number, bytes);
    }

    fn answered_with(&mut self, now: Instant, number: u64, bytes: Vec<u8>) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.state = State::Answered;
        call.summary.status = 200;
        call.summary.answered_at = Some(now);
        call.answer = bytes;
        call.answer_interval = T1;
        call.answer_since = now;
        self.plan(now + T1, Todo::ResendAnswer(number));
        self.event(number, now, What::Answered);
    }

    /// A second answer with another tag, which the other side must acknowledge and end.
    fn fork(&mut self, now: Instant, number: u64, server: u64, out: &mut Vec<Datagram>) {
        let invite = self.servers.get(&server).map(|s| s.request.clone()).unwrap_or_default();
        let Some(Role::Callee(script)) = self.calls.get(&number).map(|call| call.role.clone())
        else {
            return;
        };
        let script = AnswerScript { during: Vec::new(), media: false, ..script };
        let user = user_of(invite.uri().unwrap_or_default()).to_owned();
        let loser = self.new_incoming(now, server, &invite, &user, script);
        let Some(call) = self.calls.get_mut(&loser) else { return };
        call.fork = true;
        let tag = call.local_tag.clone();
        let body = self.description(loser);
        let Some(mut response) = self.make_response(server, 200, Some(&tag)) else { return };
        response.push("content-type", "application/sdp");
        response.body = body;
        let bytes = response.to_bytes(self.config.style);
        let Some(served) = self.servers.get(&server) else { return };
        let (transport, to) = (served.transport, served.source);
        out.push(Datagram { transport, from: self.config.sip, to, bytes: bytes.clone() });
        self.answered_with(now, loser, bytes);
        self.plan(now + FORK_PATIENCE, Todo::ForkDeadline(loser, number));
    }

    pub(super) fn resend_answer(&mut self, now: Instant, number: u64, out: &mut Vec<Datagram>) {
        let from = self.config.sip;
        let Some(call) = self.calls.get_mut(&number) else { return };
        if call.answer.is_empty() || call.is_over() {
            return;
        }
        if now.since(call.answer_since) > PATIENCE {
            // Nobody acknowledges: the call is ended (RFC 3261 §13.3.1.4).
            call.answer.clear();
            call.summary.timed_out = true;
            self.event(number, now, What::TimedOut("ACK".to_owned()));
            return self.bye(now, number, out);
        }
        call.answer_interval = (call.answer_interval * 2).min(T2);
        let (transport, to, bytes) = (call.transport, call.peer, call.answer.clone());
        let at = now + call.answer_interval;
        out.push(Datagram { transport, from, to, bytes });
        self.plan(at, Todo::ResendAnswer(number));
    }

    /// The ACK of our 2xx came.
    pub(super) fn answer_acknowledged(&mut self, now: Instant, number: u64, ack: &SipText) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if call.answer.is_empty() {
            return;
        }
        // An ACK of an earlier INVITE must not stop the repeats of a later 2xx.
        let answered = SipText::parse(&call.answer).and_then(|a| a.cseq().map(|(cseq, _)| cseq));
        if ack.cseq().map(|(cseq, _)| cseq) != answered {
            return;
        }
        call.answer.clear();
        let wanted = std::mem::take(&mut call.answer_in_ack);
        let unanswered = wanted && ack.body.is_empty();
        let fault = if wanted && !unanswered {
            call.hear_description(&ack.body, true, &self.config)
        } else {
            None
        };
        if let Some(fault) = fault {
            self.fault(number, now, fault);
        }
        if unanswered {
            // Whoever gives the call up at once has nothing to answer.
            self.plan(now + T2, Todo::AnswerDeadline(number));
        }
        self.confirmed(now, number);
        self.start_media(now, number);
    }

    /// CANCEL came.
    pub(super) fn cancelled(
        &mut self,
        now: Instant,
        server: u64,
        cancel: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        let of_invite = self.servers.iter().find(|(_, server)| {
            server.request.method() == Some("INVITE") && server.request.branch() == cancel.branch()
        });
        let Some((invite, found)) = of_invite.map(|(number, server)| (*number, server)) else {
            return self.respond(now, server, 481, None, out);
        };
        let done = found.done;
        let number = self
            .calls
            .iter()
            .find(|(_, call)| !call.fork && Some(call.invite_branch.as_str()) == cancel.branch());
        let number = number.map(|(number, _)| *number);
        self.respond(now, server, 200, None, out);
        if done {
            return;
        }
        self.respond(now, invite, 487, None, out);
        let Some(number) = number else { return };
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.summary.cancelled = true;
        call.summary.status = 487;
        call.end(now, EndedBy::Them);
        self.event(number, now, What::Cancelled);
    }
}
