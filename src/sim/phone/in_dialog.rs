//! What happens in the middle of a call, and at its end: re-INVITE, UPDATE, INFO, BYE.

use super::call::State;
use super::script::{Datagram, EndedBy, Mid, What};
use super::session::{Flow, Session};
use super::{Phone, SipText, T1, Todo};
use crate::base::time::{Duration, Instant};

impl Phone {
    /// A request inside a dialog.
    pub(super) fn in_dialog(
        &mut self,
        now: Instant,
        server: u64,
        message: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        let found = self.find(message);
        let open =
            found.filter(|number| self.calls.get(number).is_some_and(|call| !call.is_over()));
        let Some(number) = open else {
            return self.respond(now, server, 481, None, out);
        };
        let Some(call) = self.calls.get_mut(&number) else { return };
        let cseq = message.cseq().map_or(0, |(cseq, _)| cseq);
        if cseq <= call.remote_cseq && call.remote_cseq != 0 {
            // RFC 3261 §12.2.2: out of order.
            return self.respond(now, server, 500, None, out);
        }
        call.remote_cseq = cseq;
        match message.method().unwrap_or_default() {
            "BYE" => self.bye_came(now, number, server, out),
            "INVITE" => self.reoffered(now, number, server, message, out),
            "UPDATE" => self.updated(now, number, server, message, out),
            "INFO" => {
                self.event(number, now, What::Informed);
                self.respond(now, server, 200, None, out);
            }
            "OPTIONS" => self.respond(now, server, 200, None, out),
            _ => self.respond(now, server, 405, None, out),
        }
    }

    fn bye_came(&mut self, now: Instant, number: u64, server: u64, out: &mut Vec<Datagram>) {
        self.respond(now, server, 200, None, out);
        let Some(call) = self.calls.get_mut(&number) else { return };
        // BYEs that cross: ours still waits for its 200.
        if call.state == State::Leaving {
            return;
        }
        call.answer.clear();
        call.end(now, EndedBy::Them);
        self.event(number, now, What::Ended(EndedBy::Them));
    }

    fn reoffered(
        &mut self,
        now: Instant,
        number: u64,
        server: u64,
        message: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if call.reinvite.is_some() || call.state == State::Leaving {
            return self.respond(now, server, 491, None, out);
        }
        if !call.answer.is_empty() {
            let headers = [("retry-after", "2".to_owned())];
            return self.respond_with(now, server, 500, None, &headers, out);
        }
        message.branch().unwrap_or_default().clone_into(&mut call.invite_branch);
        if let Some(contact) = message.address("contact") {
            contact.clone_into(&mut call.target);
        }
        call.answer_in_ack = message.body.is_empty();
        let body = self.take_offer(now, number, &message.body);
        self.respond(now, server, 200, Some(body), out);
        let bytes = out.last().map(|datagram| datagram.bytes.clone()).unwrap_or_default();
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.answer = bytes;
        call.answer_interval = T1;
        call.answer_since = now;
        self.plan(now + T1, Todo::ResendAnswer(number));
        self.event(number, now, What::Reoffered);
    }

    fn updated(
        &mut self,
        now: Instant,
        number: u64,
        server: u64,
        message: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        if self.calls.get(&number).is_some_and(|call| call.reinvite.is_some()) {
            return self.respond(now, server, 491, None, out);
        }
        let described = !message.body.is_empty();
        let body = described.then(|| self.take_offer(now, number, &message.body));
        self.respond(now, server, 200, body, out);
        self.event(number, now, What::Reoffered);
    }

    /// Hears an offer, gives the answer; or an offer of our own where there was none.
    fn take_offer(&mut self, now: Instant, number: u64, offer: &[u8]) -> Vec<u8> {
        let all = self.config.formats();
        let Some(call) = self.calls.get_mut(&number) else { return Vec::new() };
        let Some(remote) = Session::parse(offer) else {
            return call.describe(Flow::SendRecv, all);
        };
        let fault = call.hear_description(offer, false, &self.config);
        let formats = remote.common(&self.config.codecs);
        let body = call.describe(remote.flow.answered(), formats);
        if let Some(fault) = fault {
            self.fault(number, now, fault);
        }
        body
    }

    /// Does what the script has for the middle of the call.
    pub(super) fn middle(&mut self, now: Instant, number: u64, mid: Mid, out: &mut Vec<Datagram>) {
        let Some(call) = self.calls.get(&number) else { return };
        if call.state != State::Up {
            return;
        }
        match mid {
            Mid::Info => self.info(now, number, out),
            Mid::Update => self.update(now, number, out),
            Mid::Hold | Mid::Resume | Mid::Delayed => self.reinvite(now, number, mid, out),
        }
    }

    fn info(&mut self, now: Instant, number: u64, out: &mut Vec<Datagram>) {
        let branch = self.branch();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let (mut request, to) = call.request("INFO", &self.config, &branch);
        request.push("content-type", "application/dtmf-relay");
        request.body = b"Signal=5\r\nDuration=160\r\n".to_vec();
        self.begin(now, number, &request, to, out);
    }

    fn update(&mut self, now: Instant, number: u64, out: &mut Vec<Datagram>) {
        let branch = self.branch();
        let formats = self.config.formats();
        let Some(call) = self.calls.get_mut(&number) else { return };
        // RFC 3311 §5.1: no offer while another is under way.
        if call.reinvite.is_some() || !call.answer.is_empty() {
            return;
        }
        let (mut request, to) = call.request("UPDATE", &self.config, &branch);
        request.push("content-type", "application/sdp");
        let flow = call.session.flow;
        request.body = call.describe(flow, formats);
        self.begin(now, number, &request, to, out);
    }

    fn reinvite(&mut self, now: Instant, number: u64, mid: Mid, out: &mut Vec<Datagram>) {
        let branch = self.branch();
        let formats = self.config.formats();
        let Some(call) = self.calls.get_mut(&number) else { return };
        if call.reinvite.is_some() || !call.answer.is_empty() {
            self.plan(now + Duration::from_millis(700), Todo::Middle(number, mid));
            return;
        }
        call.reinvite = Some(mid);
        let (mut request, to) = call.request("INVITE", &self.config, &branch);
        if mid != Mid::Delayed {
            let flow = if mid == Mid::Hold { Flow::SendOnly } else { Flow::SendRecv };
            request.push("content-type", "application/sdp");
            request.body = call.describe(flow, formats);
        }
        self.begin(now, number, &request, to, out);
    }

    /// The final response of a re-INVITE of ours.
    pub(super) fn reinvite_finished(
        &mut self,
        now: Instant,
        number: u64,
        message: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        let status = message.status().unwrap_or(0);
        let Some(call) = self.calls.get_mut(&number) else { return };
        let Some(mid) = call.reinvite.take() else { return };
        if status < 300 {
            if let Some(contact) = message.address("contact") {
                contact.clone_into(&mut call.target);
            }
            let delayed = mid == Mid::Delayed;
            let fault = call.hear_description(&message.body, !delayed, &self.config);
            if let Some(fault) = fault {
                self.fault(number, now, fault);
            }
            self.make_ack(number, delayed.then_some(&message.body));
            return;
        }
        let (placed, up) = (call.summary.placed, call.state == State::Up);
        let branch = message.branch().unwrap_or_default().to_owned();
        self.acknowledge_refusal(&branch, message, out);
        if status == 491 && up {
            // RFC 3261 §14.1: whoever made the Call-ID waits longer.
            let (least, most) = if placed { (2100, 1900) } else { (0, 2000) };
            let wait = Duration::from_millis(least + self.rng.below(most));
            self.plan(now + wait, Todo::Middle(number, mid));
        } else if matches!(status, 408 | 481) && up {
            self.plan(now, Todo::HangUp(number));
        }
    }

    /// Hangs up.
    pub(super) fn bye(&mut self, now: Instant, number: u64, out: &mut Vec<Datagram>) {
        let branch = self.branch();
        let Some(call) = self.calls.get_mut(&number) else { return };
        match call.state {
            State::Up | State::Answered => {}
            State::Inviting if call.summary.placed => return self.cancel(now, number, out),
            _ => return,
        }
        call.state = State::Leaving;
        call.media.due = None;
        call.answer.clear();
        let (request, to) = call.request("BYE", &self.config, &branch);
        self.begin(now, number, &request, to, out);
    }

    pub(super) fn bye_finished(&mut self, now: Instant, number: u64, message: &SipText) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.summary.bye_answered = message.status().is_some_and(|status| status < 300);
        call.end(now, EndedBy::Us);
        self.event(number, now, What::Ended(EndedBy::Us));
    }
}
