//! SIP messages as phones of the simulator read and write them: lines of text, nothing clever.
//! On purpose this shares no code with `wire`: what `wire` writes wrongly, `wire` might also read
//! wrongly, and the simulator would never see it.

/// A message: first line, headers in order with names in long lower-case form, body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SipText {
    /// Request-Line or Status-Line.
    pub start: String,
    /// Names (long form, lower case) and values (unfolded).
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// How a phone writes: everything here is allowed by RFC 3261, and found in the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Compact header names.
    pub compact: bool,
    /// Long values folded over two lines.
    pub folded: bool,
    /// Header names in lower case.
    pub lower: bool,
    /// Blanks before and after the colon.
    pub spaced: bool,
    /// No `rport` in Via.
    pub no_rport: bool,
}

/// Long names (as written) and their compact forms.
const NAMES: [(&str, &str); 10] = [
    ("Via", "v"),
    ("From", "f"),
    ("To", "t"),
    ("Call-ID", "i"),
    ("Contact", "m"),
    ("Content-Type", "c"),
    ("Content-Length", "l"),
    ("Supported", "k"),
    ("Subject", "s"),
    ("Content-Encoding", "e"),
];

impl SipText {
    /// A request with its first line.
    pub fn request(method: &str, uri: &str) -> Self {
        Self { start: format!("{method} {uri} SIP/2.0"), ..Self::default() }
    }

    /// Reads a whole message; `None` where it is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let split = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..split]).ok()?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        if !start.starts_with("SIP/2.0 ") && !start.ends_with(" SIP/2.0") {
            return None;
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let last = headers.last_mut()?;
                last.1.push(' ');
                last.1.push_str(line.trim());
                continue;
            }
            let (name, value) = line.split_once(':')?;
            headers.push((long_name(name.trim()), value.trim().to_owned()));
        }
        let mut message = Self { start, headers, body: bytes[split + 4..].to_vec() };
        if let Some(length) = message.header("content-length") {
            let length: usize = length.parse().ok()?;
            if length > message.body.len() {
                return None;
            }
            message.body.truncate(length);
        }
        Some(message)
    }

    /// Adds a header; the name in any case.
    pub fn push(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// First value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All values of a header, those joined by commas taken apart.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter().filter(|(n, _)| n == name);
        lines.flat_map(|(_, value)| split_commas(value)).collect()
    }

    /// Method of a request.
    pub fn method(&self) -> Option<&str> {
        (!self.start.starts_with("SIP/2.0 ")).then(|| self.start.split(' ').next())?
    }

    /// Request-URI.
    pub fn uri(&self) -> Option<&str> {
        self.method()?;
        self.start.split(' ').nth(1)
    }

    /// Status of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Number and method of CSeq.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("cseq")?.split_once([' ', '\t'])?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// Branch of the topmost Via.
    pub fn branch(&self) -> Option<&str> {
        parameter(self.values("via").first()?, "branch")
    }

    /// Tag of From or To.
    pub fn tag(&self, name: &str) -> Option<&str> {
        let value = self.header(name)?;
        parameter(value.rsplit_once('>').map_or(value, |(_, rest)| rest), "tag")
    }

    /// URI of a name-addr header such as Contact.
    pub fn address(&self, name: &str) -> Option<&str> {
        Some(bare_uri(self.values(name).first()?))
    }

    /// The bytes, in a writing style.
    pub fn to_bytes(&self, style: Style) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            let name = styled_name(name, style);
            let colon = if style.spaced { " :  " } else { ": " };
            let fold = style.folded.then(|| value.find("; ").or_else(|| value.find(' '))).flatten();
            // Start-like values (CSeq) may fold at blanks too: RFC 3261 §7.3.1 makes no exception.
            match fold {
                Some(at) => {
                    let (before, after) = value.split_at(at + 1);
                    let after = after.trim_start();
                    text.push_str(&format!("{name}{colon}{before}\r\n \t{after}\r\n"));
                }
                None => text.push_str(&format!("{name}{colon}{value}\r\n")),
            }
        }
        let length = styled_name("content-length", style);
        text.push_str(&format!("{length}: {}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The value of `;name=value` in `text`; empty for a parameter without value.
pub fn parameter<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The URI inside `<…>`, or the text up to its parameters.
pub fn bare_uri(value: &str) -> &str {
    if let Some((_, rest)) = value.split_once('<') {
        return rest.split('>').next().unwrap_or(rest);
    }
    value.split(';').next().unwrap_or(value).trim()
}

/// User part of a SIP URI; empty without one.
pub fn user_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split_once('@').map_or("", |(user, _)| user.split(';').next().unwrap_or(user))
}

/// `host:port` of a SIP URI as a socket address; port 5060 where none is given.
pub fn socket_of(uri: &str) -> Option<std::net::SocketAddr> {
    let rest = uri.split_once(':')?.1;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split([';', '?']).next()?;
    host.parse().ok().or_else(|| format!("{host}:5060").parse().ok())
}

/// How many bytes of `buffer` the first whole message takes; `None` while it is not whole.
/// Leading CRLFs (keep-alives) count as a message of their own.
pub fn framed(buffer: &[u8]) -> Option<usize> {
    if buffer.starts_with(b"\r\n") {
        return Some(2);
    }
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let length = text.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = long_name(name.trim());
        (name == "content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let total = head + length.unwrap_or(0);
    (buffer.len() >= total).then_some(total)
}

fn long_name(name: &str) -> String {
    let found = NAMES.iter().find(|(_, compact)| name.eq_ignore_ascii_case(compact));
    found.map_or(name, |(long, _)| long).to_ascii_lowercase()
}

fn styled_name(name: &str, style: Style) -> String {
    let known = NAMES.iter().find(|(long, _)| long.eq_ignore_ascii_case(name));
    if style.compact
        && let Some((_, compact)) = known
    {
        return (*compact).to_owned();
    }
    if style.lower {
        return name.to_owned();
    }
    match name {
        "cseq" => "CSeq".to_owned(),
        "call-id" => "Call-ID".to_owned(),
        "www-authenticate" => "WWW-Authenticate".to_owned(),
        _ => capitalised(name),
    }
}

fn capitalised(name: &str) -> String {
    let part = |part: &str| {
        let mut chars = part.chars();
        let first = chars.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(chars).collect::<String>()
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

/// Splits at commas outside quotes and angle brackets.
fn split_commas(value: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut depth) = (Vec::new(), 0, false, 0u32);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'<' if !quoted => depth += 1,
            b'>' if !quoted => depth = depth.saturating_sub(1),
            b',' if !quoted && depth == 0 => {
                parts.push(value[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(value[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_reads_back_the_same() {
        let mut message = SipText::request("INVITE", "sip:+49301@edge.test");
        message.push("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa");
        message.push("From", "\"A, B\" <sip:a@b;x=1>;tag=one");
        message.push("CSeq", "7 INVITE").push("Call-ID", "x@y");
        message.body = b"v=0\r\n".to_vec();
        for bits in 0..16u8 {
            let style = Style {
                compact: bits & 1 != 0,
                folded: bits & 2 != 0,
                lower: bits & 4 != 0,
                spaced: bits & 8 != 0,
                no_rport: false,
            };
            let bytes = message.to_bytes(style);
            assert_eq!(framed(&bytes), Some(bytes.len()));
            assert_eq!(framed(&bytes[..bytes.len() - 1]), None);
            let read = SipText::parse(&bytes).expect("reads");
            assert_eq!(read.cseq(), Some((7, "INVITE")));
            assert_eq!(read.tag("from"), Some("one"));
            assert_eq!(read.branch(), Some("z9hG4bKa"));
            assert_eq!(read.body, message.body);
        }
    }

    #[test]
    fn parts_of_uris() {
        assert_eq!(user_of("sip:+4930;x=1@host"), "+4930");
        assert_eq!(socket_of("sip:a@10.0.0.1:5070;transport=tcp"), "10.0.0.1:5070".parse().ok());
        assert_eq!(socket_of("sip:10.0.0.1"), "10.0.0.1:5060".parse().ok());
        assert_eq!(bare_uri("\"x\" <sip:a@b>;tag=1"), "sip:a@b");
        assert_eq!(parameter("<sip:a>;lr;tag=q", "tag"), Some("q"));
    }
}
