//! One header line at a time. The message index, the stream framer and the Call-ID scan all read
//! lines through here, so that no two of them can disagree about where a header ends or what its
//! name is (header smuggling lives in such disagreements).

use super::error::Why;
use super::table::{LWS, TOKEN, is, skip};
use crate::base::limits::SIP_HEADER_LINE_BYTES_MAX;

/// A header line: offsets into the bytes that were given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) name: (usize, usize),
    /// Without white space at either end; folds inside stay as they came.
    pub(crate) value: (usize, usize),
    /// Line breaks inside the value and at its end.
    pub(crate) breaks: usize,
    /// Where the next line begins.
    pub(crate) next: usize,
}

/// What stands at an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Header(Line),
    /// The empty line; the body begins at this offset.
    End(usize),
}

/// Reads the line that begins at `at`. White space between name and colon is let pass (RFC 3261
/// §7.3.1); any other byte there is a fault, never blank (Asterisk's CVE-2016-9938).
#[inline]
pub(crate) fn step(bytes: &[u8], at: usize) -> Result<Step, (usize, Why)> {
    let name_end = skip(bytes, at, TOKEN);
    if name_end == at {
        return match bytes.get(at..) {
            Some([b'\r', b'\n', ..]) => Ok(Step::End(at + 2)),
            Some([] | [b'\r']) | None => Err((at, Why::Truncated)),
            Some([b'\r' | b'\n', ..]) => Err((at, Why::LineBreak)),
            Some(_) => Err((at, Why::HeaderName)),
        };
    }
    let mut colon = name_end;
    while matches!(bytes.get(colon), Some(b' ' | b'\t')) {
        colon += 1;
    }
    match bytes.get(colon) {
        Some(b':') => {}
        None => return Err((colon, Why::Truncated)),
        Some(_) => return Err((colon, Why::HeaderName)),
    }
    let (end, breaks) = line_end(bytes, at, colon + 1)?;
    // The line ends in CRLF, and that is nearly always all there is to trim.
    let end_of_value = end - 2;
    let mut value = (skip(bytes, colon + 1, LWS).min(end_of_value), end_of_value);
    while value.1 > value.0 && is(bytes[value.1 - 1], LWS) {
        value.1 -= 1;
    }
    Ok(Step::Header(Line { name: (at, name_end), value, breaks, next: end }))
}

/// The offset behind the line break that ends the (perhaps folded) line, and its line breaks.
#[inline]
fn line_end(bytes: &[u8], start: usize, from: usize) -> Result<(usize, usize), (usize, Why)> {
    let mut at = from;
    let mut breaks = 0;
    loop {
        let Some(rest) = bytes.get(at..) else { return Err((at, Why::Truncated)) };
        let Some(found) = memchr::memchr(b'\n', rest) else {
            return Err((bytes.len(), too_long(start, bytes.len()).unwrap_or(Why::Truncated)));
        };
        let feed = at + found;
        if let Some(why) = too_long(start, feed) {
            return Err((start, why));
        }
        if bytes[feed - 1] != b'\r' {
            return Err((feed, Why::LineBreak));
        }
        breaks += 1;
        at = feed + 1;
        match bytes.get(at) {
            Some(b' ' | b'\t') => {}
            Some(_) => return Ok((at, breaks)),
            None => return Err((at, Why::Truncated)),
        }
    }
}

#[inline]
fn too_long(start: usize, end: usize) -> Option<Why> {
    (end - start > SIP_HEADER_LINE_BYTES_MAX).then_some(Why::HeaderLineTooLong)
}
