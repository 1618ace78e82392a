//! The first line of a message.

use super::error::Why;
use super::method::Method;
use super::table::{TOKEN, URI, skip, skip_run};

/// Request line or status line (RFC 3261 §7.1, §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request.
    Request {
        /// What is asked.
        method: Method<'a>,
        /// Of whom.
        uri: &'a str,
    },
    /// A response.
    Response {
        /// From 100 to 699.
        status: u16,
        /// May be empty; may be any text.
        reason: &'a str,
    },
}

impl<'a> Start<'a> {
    /// Reads a line without its line break. Strict: single spaces, nothing behind the version.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, (usize, Why)> {
        if is_response(line) {
            return Self::response(line);
        }
        let method_end = skip(line, 0, TOKEN);
        if method_end == 0 || line.get(method_end) != Some(&b' ') {
            return Err(bad_request(line, method_end));
        }
        let uri_end = skip_run(line, method_end + 1, URI);
        if uri_end == method_end + 1 || line.get(uri_end) != Some(&b' ') {
            return Err(bad_request(line, uri_end));
        }
        match line.get(uri_end + 1..) {
            Some(b"SIP/2.0") => {}
            Some(version) if version.eq_ignore_ascii_case(b"SIP/2.0") => {}
            _ => return Err(bad_request(line, uri_end + 1)),
        }
        // Both are ASCII by now, and one look at them together says so.
        let text = std::str::from_utf8(&line[..uri_end]).map_err(|_| (0, Why::RequestLine))?;
        let method = Method::parse(&text[..method_end]);
        Ok(Self::Request { method, uri: &text[method_end + 1..] })
    }

    fn response(line: &'a [u8]) -> Result<Self, (usize, Why)> {
        let bad = Err((8, Why::StatusCode));
        let Some([hundreds @ b'1'..=b'6', tens @ b'0'..=b'9', ones @ b'0'..=b'9']) =
            line.get(8..11)
        else {
            return bad;
        };
        let digit = |byte: &u8| u16::from(byte - b'0');
        let status = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
        // A status line without the space before an empty reason is common enough to let pass.
        let reason = match line.get(11..) {
            Some([]) => &[][..],
            Some([b' ', reason @ ..]) => reason,
            _ => return bad,
        };
        // The reason is for people; one that is not text says nothing.
        Ok(Self::Response { status, reason: std::str::from_utf8(reason).unwrap_or("") })
    }

    /// Reads what can be read of a request line that [`Start::parse`] refused, so that the request
    /// can be answered: its method, and an empty URI.
    pub(crate) fn salvage(line: &'a [u8]) -> Option<Self> {
        if is_response(line) {
            return None;
        }
        let method = line.get(..skip(line, 0, TOKEN)).filter(|method| !method.is_empty())?;
        ends_in_version(line)?;
        Some(Self::Request { method: Method::parse(std::str::from_utf8(method).ok()?), uri: "" })
    }
}

/// Whether the line begins like a status line.
pub(crate) fn is_response(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'S' | b's'))
        && line.get(..8).is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/2.0 "))
}

/// Tells a broken SIP request line from something that is no SIP at all.
#[cold]
fn bad_request(line: &[u8], at: usize) -> (usize, Why) {
    match ends_in_version(line) {
        Some(true) => (at, Why::RequestLine),
        Some(false) => (at, Why::Version),
        None => (at, Why::NotSip),
    }
}

/// Whether the last word is `SIP/2.0`; `None` where it is no SIP version at all.
fn ends_in_version(line: &[u8]) -> Option<bool> {
    let line = line.trim_ascii_end();
    let word = line.rsplit(|byte| *byte == b' ').next()?;
    let version = word.get(4..)?;
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let mut parts = version.split(|byte| *byte == b'.');
    let shaped = word[..4].eq_ignore_ascii_case(b"SIP/")
        && parts.next().is_some_and(digits)
        && parts.next().is_some_and(digits)
        && parts.next().is_none();
    shaped.then_some(version == b"2.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_kinds() {
        let request = Start::parse(b"INVITE sip:a@b SIP/2.0").expect("request");
        assert_eq!(request, Start::Request { method: Method::Invite, uri: "sip:a@b" });
        for (line, status, reason) in [
            ("SIP/2.0 100 ", 100, ""),
            ("SIP/2.0 200", 200, ""),
            ("SIP/2.0 486 Busy Here", 486, "Busy Here"),
        ] {
            let response = Start::parse(line.as_bytes()).expect(line);
            assert_eq!(response, Start::Response { status, reason });
        }
    }

    #[test]
    fn refuses_with_the_right_reason() {
        for (line, why) in [
            ("INVITE  sip:a@b SIP/2.0", Why::RequestLine),
            ("INVITE sip:a@b SIP/2.0 ", Why::RequestLine),
            ("INVITE sip:a@b; lr SIP/2.0", Why::RequestLine),
            ("INVITE <sip:a@b> SIP/2.0", Why::RequestLine),
            ("OPTIONS sip:a@b SIP/7.0", Why::Version),
            ("GET / HTTP/1.1", Why::NotSip),
            ("", Why::NotSip),
            ("INVITE", Why::NotSip),
            ("SIP/2.0 4294967301 x", Why::StatusCode),
            ("SIP/2.0 099 x", Why::StatusCode),
            ("SIP/2.0 700 x", Why::StatusCode),
        ] {
            assert_eq!(Start::parse(line.as_bytes()).expect_err(line).1, why, "{line}");
        }
    }
}
