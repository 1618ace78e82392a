//! Phones that are lines of text: what a caller and a callee write, and how a test reads what
//! they get.

use super::Sent;

/// A customer's address whose application is asked.
pub const ASKED: &str = "198.51.100.1:5060";
/// A customer's address whose application has no callback.
pub const PLAIN: &str = "198.51.100.2:5060";
/// A customer's address with limits.
pub const LIMITED: &str = "198.51.100.3:5060";
/// A customer's address that authenticates by digest.
pub const DIGEST: &str = "198.51.100.4:5060";
/// Carrier north's address: +49 and +44.
pub const NORTH: &str = "203.0.113.1:5060";
/// The second carrier of +44.
pub const BACKUP: &str = "203.0.113.2:5060";
/// A carrier that may challenge: +33.
pub const SOUTH: &str = "203.0.113.3:5060";

/// A session description of a phone.
pub fn sdp(address: &str, port: u16) -> String {
    format!(
        "v=0\r\no=phone 4711 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"
    )
}

/// A caller of one call.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its address.
    pub address: &'static str,
    /// Call-ID.
    pub call_id: String,
    /// From-tag.
    pub tag: String,
    /// Branch of the INVITE.
    pub branch: String,
    /// CSeq number of the INVITE.
    pub cseq: u32,
    /// Request-URI.
    pub uri: String,
    /// Further header lines of the INVITE, each with its line end.
    pub extra: String,
    /// Body of the INVITE.
    pub body: String,
}

impl Caller {
    /// A caller at `address` who calls `number`. `name` makes its identifiers.
    pub fn new(address: &'static str, name: &str, number: &str) -> Self {
        Self {
            address,
            call_id: format!("{name}@caller-a.example"),
            tag: format!("tag-{name}"),
            branch: format!("z9hG4bK-{name}"),
            cseq: 7,
            uri: format!("sip:{number}@edge.test"),
            extra: String::new(),
            body: sdp("198.51.100.77", 4000),
        }
    }

    /// Its INVITE.
    pub fn invite(&self) -> String {
        self.request("INVITE", &self.branch, self.cseq, "", &self.extra, &self.body)
    }

    /// CANCEL of it.
    pub fn cancel(&self) -> String {
        self.request("CANCEL", &self.branch, self.cseq, "", "", "")
    }

    /// ACK to a response: to a 2xx under a branch of its own.
    pub fn ack(&self, response: &str) -> String {
        self.ack_with(response, "")
    }

    /// ACK with a body.
    pub fn ack_with(&self, response: &str, body: &str) -> String {
        let accepted = status(response) < 300;
        let branch = if accepted { format!("{}-ack", self.branch) } else { self.branch.clone() };
        self.request("ACK", &branch, cseq(response), &to_tag(response), "", body)
    }

    /// A request inside the dialog that `response` made.
    pub fn inside(&self, method: &str, cseq: u32, response: &str, body: &str) -> String {
        let branch = format!("{}-{cseq}", self.branch);
        self.request(method, &branch, cseq, &to_tag(response), "", body)
    }

    /// Any request.
    pub fn request(
        &self,
        method: &str,
        branch: &str,
        cseq: u32,
        to_tag: &str,
        extra: &str,
        body: &str,
    ) -> String {
        let Self { address, call_id, tag, uri, .. } = self;
        let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        let forwards = if extra.contains("Max-Forwards") { "" } else { "Max-Forwards: 70\r\n" };
        let kind = if body.is_empty() || extra.contains("Content-Type") {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch={branch};rport\r\n\
             {forwards}From: <sip:+46700000001@caller-a.example>;tag={tag}\r\nTo: <{uri}>{to_tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:alice@{address}>\r\n\
             {extra}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// A response to `request`. Where `tag` is not empty, To gets it.
pub fn reply(request: &str, status: u16, tag: &str, extra: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status} Reason\r\n");
    for line in request.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        if matches!(name, "Via" | "From" | "Call-ID" | "CSeq") {
            text += &format!("{line}\r\n");
        }
        if name == "To" {
            let tag = if line.contains(";tag=") || tag.is_empty() {
                String::new()
            } else {
                format!(";tag={tag}")
            };
            text += &format!("{line}{tag}\r\n");
        }
    }
    if !extra.contains("Contact:") {
        text += "Contact: <sip:bob@203.0.113.66:5070>\r\n";
    }
    text += extra;
    if !body.is_empty() {
        text += "Content-Type: application/sdp\r\n";
    }
    text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A request of the callee inside the dialog that the edge's INVITE and our `tag` made.
pub fn callee_request(invite: &str, tag: &str, method: &str, cseq: u32, body: &str) -> String {
    let from = header(invite, "To").expect("To");
    let to = header(invite, "From").expect("From");
    let call_id = header(invite, "Call-ID").expect("Call-ID");
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:edge@192.0.2.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 203.0.113.66:5070;branch=z9hG4bK-callee-{method}-{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: {from};tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:bob@203.0.113.66:5070>\r\n{kind}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Value of the first header of this name.
pub fn header<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let head = text.lines().take_while(|line| !line.is_empty());
    let mut values = head.filter_map(|line| line.split_once(": "));
    values.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Status of a response; zero for a request.
pub fn status(text: &str) -> u16 {
    let rest = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
    rest.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Method of a request; empty for a response.
pub fn method(text: &str) -> &str {
    match text.split(' ').next() {
        Some("SIP/2.0") | None => "",
        Some(method) => method,
    }
}

/// Tag in To.
pub fn to_tag(text: &str) -> String {
    tag_in(header(text, "To").unwrap_or_default())
}

/// Tag in From.
pub fn from_tag(text: &str) -> String {
    tag_in(header(text, "From").unwrap_or_default())
}

fn tag_in(value: &str) -> String {
    value.split_once(";tag=").map_or(String::new(), |(_, tag)| tag.to_owned())
}

/// CSeq number.
pub fn cseq(text: &str) -> u32 {
    let value = header(text, "CSeq").unwrap_or_default();
    value.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The body.
pub fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// Methods and statuses in short: `INVITE`, `200`.
pub fn shorts(sent: &[Sent]) -> Vec<String> {
    let short = |sent: &Sent| match status(&sent.text) {
        0 => method(&sent.text).to_owned(),
        status => status.to_string(),
    };
    sent.iter().map(short).collect()
}

/// The only message of this kind (`INVITE`, `200`) that was sent to this address.
#[track_caller]
pub fn one<'s>(sent: &'s [Sent], short: &str, to: &str) -> &'s str {
    let is_it = |sent: &&Sent| {
        let kind = status(&sent.text).to_string();
        (kind == short || method(&sent.text) == short) && sent.to.to_string() == to
    };
    let found: Vec<_> = sent.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "one {short} to {to} in {sent:#?}");
    &found[0].text
}
