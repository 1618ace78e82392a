//! Requests that a phone sends, until their final response.

use std::net::SocketAddr;

use super::call::State;
use super::script::{Datagram, What};
use super::{PATIENCE, Phone, SipText, T1, T2, Todo};
use crate::base::packet::Transport;
use crate::base::time::{Duration, Instant};

/// A client transaction.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) call: u64,
    pub(super) method: String,
    pub(super) cseq: u32,
    transport: Transport,
    to: SocketAddr,
    bytes: Vec<u8>,
    interval: Duration,
    heard: bool,
    /// Status and To-tag of the final response.
    done: Option<(u16, String)>,
}

impl Client {
    pub(super) const fn waits(&self) -> bool {
        self.done.is_none()
    }
}

/// Repeats of an impatient phone.
const HASTE: Duration = Duration::from_millis(90);

impl Phone {
    /// Sends a request and sees it through.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        number: u64,
        request: &SipText,
        to: SocketAddr,
        out: &mut Vec<Datagram>,
    ) {
        let Some(call) = self.calls.get(&number) else { return };
        let branch = request.branch().unwrap_or_default().to_owned();
        let (cseq, method) = request.cseq().unwrap_or_default();
        let interval = if self.config.impatient { HASTE } else { T1 };
        let bytes = request.to_bytes(self.config.style);
        let client = Client {
            call: number,
            method: method.to_owned(),
            cseq,
            transport: call.transport,
            to,
            bytes: bytes.clone(),
            interval,
            heard: false,
            done: None,
        };
        let (transport, from) = (call.transport, self.config.sip);
        // CANCEL has the branch of its INVITE.
        let key = if method == "CANCEL" { format!("{branch}!") } else { branch };
        self.clients.insert(key.clone(), client);
        out.push(Datagram { transport, from, to, bytes });
        if transport == Transport::Udp {
            self.plan(now + interval, Todo::Resend(key.clone()));
        }
        self.plan(now + PATIENCE, Todo::GiveUpRequest(key));
    }

    pub(super) fn resend(&mut self, now: Instant, branch: String, out: &mut Vec<Datagram>) {
        let impatient = self.config.impatient;
        let from = self.config.sip;
        let Some(client) = self.clients.get_mut(&branch) else { return };
        let is_invite = client.method == "INVITE";
        if client.done.is_some() || (is_invite && client.heard) {
            return;
        }
        client.interval = match (impatient, is_invite) {
            (true, _) => HASTE,
            (false, true) => client.interval * 2,
            (false, false) if client.heard => T2,
            (false, false) => (client.interval * 2).min(T2),
        };
        let (transport, to, bytes) = (client.transport, client.to, client.bytes.clone());
        let at = now + client.interval;
        out.push(Datagram { transport, from, to, bytes });
        self.plan(at, Todo::Resend(branch));
    }

    pub(super) fn give_up_request(&mut self, now: Instant, branch: &str) {
        let Some(client) = self.clients.get_mut(branch) else { return };
        // An INVITE that rings has no deadline but the caller's patience.
        if client.done.is_some() || (client.method == "INVITE" && client.heard) {
            return;
        }
        client.done = Some((408, String::new()));
        let (number, method) = (client.call, client.method.clone());
        self.clients.remove(branch);
        self.timed_out(now, number, method);
    }

    /// A request got no final response in time.
    pub(super) fn timed_out(&mut self, now: Instant, number: u64, method: String) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.summary.timed_out = true;
        match method.as_str() {
            "INVITE" if call.summary.answered_at.is_none() => {
                call.summary.status = 408;
                call.state = State::Over;
            }
            "BYE" => call.end(now, super::EndedBy::Us),
            "INVITE" => call.reinvite = None,
            _ => {}
        }
        self.event(number, now, What::TimedOut(method));
    }

    pub(super) fn response(&mut self, now: Instant, message: &SipText, out: &mut Vec<Datagram>) {
        let (Some(branch), Some(status)) = (message.branch(), message.status()) else { return };
        let Some((cseq, method)) = message.cseq() else { return };
        let key = if method == "CANCEL" { format!("{branch}!") } else { branch.to_owned() };
        let Some(client) = self.clients.get_mut(&key) else { return };
        let number = client.call;
        if (client.method.as_str(), client.cseq) != (method, cseq) {
            let sentence = format!("a response to {cseq} {method}, which was not asked");
            return self.fault(number, now, sentence);
        }
        let tag = message.tag("to").unwrap_or_default().to_owned();
        if status < 200 {
            client.heard = true;
            if client.done.is_none() && method == "INVITE" {
                self.provisional(now, number, status, message, out);
            }
            return;
        }
        if let Some((earlier, first)) = &client.done {
            let same = (*earlier, first) == (status, &tag);
            let sentence = format!("{method} got two final responses: {earlier}, then {status}");
            if !same {
                self.fault(number, now, sentence);
            }
        } else {
            client.done = Some((status, tag));
            self.plan(now + PATIENCE, Todo::ForgetClient(key.clone()));
            self.finished(now, number, method, message, out);
            if method == "INVITE" && status >= 300 {
                return;
            }
        }
        if method == "INVITE" {
            self.acknowledge_again(number, &key, message, out);
        }
    }

    /// First final response of a request.
    fn finished(
        &mut self,
        now: Instant,
        number: u64,
        method: &str,
        message: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        let is_first_invite =
            self.calls.get(&number).is_some_and(|call| call.summary.answered_at.is_none());
        match method {
            "INVITE" if is_first_invite => self.invite_finished(now, number, message, out),
            "INVITE" => self.reinvite_finished(now, number, message, out),
            "BYE" => self.bye_finished(now, number, message),
            _ => {}
        }
    }

    /// ACK of a response other than 2xx: part of the INVITE's own transaction (RFC 3261
    /// §17.1.1.3).
    pub(super) fn acknowledge_refusal(
        &self,
        branch: &str,
        response: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        let Some(client) = self.clients.get(branch) else { return };
        let Some(invite) = SipText::parse(&client.bytes) else { return };
        let mut ack = SipText::request("ACK", invite.uri().unwrap_or_default());
        for name in ["via", "route", "max-forwards", "from"] {
            for value in invite.values(name) {
                ack.push(name, value);
            }
        }
        ack.push("to", response.header("to").unwrap_or_default());
        ack.push("call-id", invite.header("call-id").unwrap_or_default());
        ack.push("cseq", format!("{} ACK", client.cseq));
        let bytes = ack.to_bytes(self.config.style);
        let (transport, from, to) = (client.transport, self.config.sip, client.to);
        out.push(Datagram { transport, from, to, bytes });
    }

    fn acknowledge_again(
        &self,
        number: u64,
        branch: &str,
        message: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        if message.status().is_some_and(|status| status >= 300) {
            return self.acknowledge_refusal(branch, message, out);
        }
        let Some(call) = self.calls.get(&number) else { return };
        if let Some(to) = call.ack_to
            && !call.ack_held
        {
            let (transport, from, bytes) = (call.transport, self.config.sip, call.ack.clone());
            out.push(Datagram { transport, from, to, bytes });
        }
    }
}
