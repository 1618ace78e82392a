//! Requests that come to a phone, until they are answered and their repeats have died out.

use std::net::SocketAddr;

use super::script::Datagram;
use super::{PATIENCE, Phone, SipText, T1, T2, Todo};
use crate::base::packet::Transport;
use crate::base::time::{Duration, Instant};

/// A server transaction.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) request: SipText,
    pub(super) transport: Transport,
    pub(super) source: SocketAddr,
    /// Latest response.
    response: Vec<u8>,
    /// A final response other than 2xx to INVITE went and is not acknowledged.
    unacknowledged: bool,
    pub(super) done: bool,
    interval: Duration,
}

impl Phone {
    /// Takes a request: a repeat, an ACK, or something new.
    pub(super) fn request(
        &mut self,
        now: Instant,
        transport: Transport,
        source: SocketAddr,
        message: &SipText,
        out: &mut Vec<Datagram>,
    ) {
        let method = message.method().unwrap_or_default();
        if method == "ACK" {
            return self.acknowledged(now, message);
        }
        let known = self.servers.iter().find(|(_, server)| {
            server.request.branch() == message.branch() && server.request.method() == Some(method)
        });
        if let Some((_, server)) = known {
            if !server.response.is_empty() {
                let (transport, to, bytes) =
                    (server.transport, server.source, server.response.clone());
                out.push(Datagram { transport, from: self.config.sip, to, bytes });
            }
            return;
        }
        self.sequence += 1;
        let number = self.sequence;
        let server = Server {
            request: message.clone(),
            transport,
            source,
            response: Vec::new(),
            unacknowledged: false,
            done: false,
            interval: T1,
        };
        self.servers.insert(number, server);
        match (method, message.tag("to")) {
            ("INVITE", None) => self.incoming(now, number, message, out),
            ("CANCEL", _) => self.cancelled(now, number, message, out),
            ("OPTIONS", None) => self.respond(now, number, 200, None, out),
            (_, None) => self.respond(now, number, 405, None, out),
            _ => self.in_dialog(now, number, message, out),
        }
    }

    /// Answers a request. `body`: a description.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        number: u64,
        status: u16,
        body: Option<Vec<u8>>,
        out: &mut Vec<Datagram>,
    ) {
        self.respond_with(now, number, status, body, &[], out);
    }

    /// The same with further headers.
    pub(super) fn respond_with(
        &mut self,
        now: Instant,
        number: u64,
        status: u16,
        body: Option<Vec<u8>>,
        headers: &[(&str, String)],
        out: &mut Vec<Datagram>,
    ) {
        let Some(mut response) = self.make_response(number, status, None) else { return };
        for (name, value) in headers {
            response.push(name, value.clone());
        }
        if let Some(body) = body {
            response.push("content-type", "application/sdp");
            response.body = body;
        }
        let style = self.config.style;
        let Some(server) = self.servers.get_mut(&number) else { return };
        let is_invite = server.request.method() == Some("INVITE");
        server.response = response.to_bytes(style);
        server.done = status >= 200;
        let (transport, to) = (server.transport, server.source);
        out.push(Datagram { transport, from: self.config.sip, to, bytes: server.response.clone() });
        if status >= 300 && is_invite && transport == Transport::Udp {
            server.unacknowledged = true;
            self.plan(now + T1, Todo::ResendFinal(number));
        }
        if status >= 200 {
            self.plan(now + PATIENCE, Todo::ForgetServer(number));
        }
    }

    /// The response without body: Via, From, To (with our tag, or `tag`), Call-ID and CSeq of the
    /// request.
    pub(super) fn make_response(
        &self,
        number: u64,
        status: u16,
        tag: Option<&str>,
    ) -> Option<SipText> {
        let server = self.servers.get(&number)?;
        let request = &server.request;
        let call = self.calls.values().find(|call| {
            Some(call.invite_branch.as_str()) == request.branch()
                && Some(call.call_id.as_str()) == request.header("call-id")
                && !call.fork
        });
        let own = call.map(|call| call.local_tag.clone());
        let mut response =
            SipText { start: format!("SIP/2.0 {status} {}", phrase(status)), ..SipText::default() };
        for name in ["via", "record-route", "from"] {
            for value in request.values(name) {
                response.push(name, value);
            }
        }
        let to = request.header("to")?;
        if request.tag("to").is_some() || status == 100 {
            response.push("to", to);
        } else {
            let tag = tag.map(str::to_owned).or(own);
            let tag = tag.unwrap_or_else(|| format!("t{}", request.branch().map_or(0, str::len)));
            response.push("to", format!("{to};tag={tag}"));
        }
        response.push("call-id", request.header("call-id")?);
        response.push("cseq", request.header("cseq")?);
        let makes_dialog = matches!(request.method(), Some("INVITE" | "UPDATE"));
        if makes_dialog && (101..300).contains(&status) {
            response.push("contact", self.config.contact(server.transport));
        }
        Some(response)
    }

    pub(super) fn resend_final(&mut self, now: Instant, number: u64, out: &mut Vec<Datagram>) {
        let Some(server) = self.servers.get_mut(&number) else { return };
        if !server.unacknowledged {
            return;
        }
        server.interval = (server.interval * 2).min(T2);
        let at = now + server.interval;
        let (transport, to, bytes) = (server.transport, server.source, server.response.clone());
        out.push(Datagram { transport, from: self.config.sip, to, bytes });
        self.plan(at, Todo::ResendFinal(number));
    }

    /// ACK came: of a refusal (same branch), or of a 2xx (by dialog).
    fn acknowledged(&mut self, now: Instant, message: &SipText) {
        let refusal = self.servers.values_mut().find(|server| {
            server.request.branch() == message.branch()
                && server.request.method() == Some("INVITE")
                && server.unacknowledged
        });
        if let Some(server) = refusal {
            server.unacknowledged = false;
            return;
        }
        let Some(number) = self.find(message) else { return };
        self.answer_acknowledged(now, number, message);
    }
}

const fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        302 => "Moved Temporarily",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
