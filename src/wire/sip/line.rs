//! One header line at a time. The message index, the stream framer and the Call-ID scan all read
//! lines through here, so that no two of them can disagree about where a header ends or what its
//! name is (header smuggling lives in such disagreements).

use super::error::Why;
use super::header::HeaderName;
use super::table::{LWS, TOKEN, find_below, is, skip};
use crate::base::limits::SIP_HEADER_LINE_BYTES_MAX;

/// A header line: offsets into the bytes that were given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) name: (usize, usize),
    pub(crate) id: HeaderName,
    /// Without white space at either end; folds inside stay as they came.
    pub(crate) value: (usize, usize),
    /// Whether the value has a control byte that is neither a tab nor part of a line break; which
    /// of them are faults is for the reader of the whole head to say.
    pub(crate) controls: bool,
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
    let (id, name_end, colon) = match HeaderName::before_colon(bytes, at) {
        Some((id, length)) => (id, at + length, at + length),
        None => match loose_name(bytes, at)? {
            Some(name) => name,
            None => return Ok(Step::End(at + 2)),
        },
    };
    let (end, controls) = line_end(bytes, at, colon + 1)?;
    // The line ends in CRLF, and that is nearly always all there is to trim.
    let end_of_value = end - 2;
    let mut value = (skip(bytes, colon + 1, LWS).min(end_of_value), end_of_value);
    while value.1 > value.0 && is(bytes[value.1 - 1], LWS) {
        value.1 -= 1;
    }
    Ok(Step::Header(Line { name: (at, name_end), id, value, controls, next: end }))
}

/// A header's name, where it ends, and where its value begins.
type Name = (HeaderName, usize, usize);

/// Reads a name that is not known, has white space behind it, or stands near the end of the bytes:
/// the name, its end, and the colon. `None` where an empty line stands instead.
#[inline(never)]
fn loose_name(bytes: &[u8], at: usize) -> Result<Option<Name>, (usize, Why)> {
    let name_end = skip(bytes, at, TOKEN);
    if name_end == at {
        return match bytes.get(at..) {
            Some([b'\r', b'\n', ..]) => Ok(None),
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
        Some(b':') => Ok(Some((HeaderName::parse(&bytes[at..name_end]), name_end, colon))),
        None => Err((colon, Why::Truncated)),
        Some(_) => Err((colon, Why::HeaderName)),
    }
}

/// The offset behind the line break that ends the (perhaps folded) line, and whether it has
/// control bytes other than tabs and line breaks.
#[inline]
fn line_end(bytes: &[u8], start: usize, from: usize) -> Result<(usize, bool), (usize, Why)> {
    let mut at = from;
    let mut controls = false;
    loop {
        // One pass finds the line break and whatever a line should not have.
        at = find_below(bytes, at, 0x0e);
        match bytes.get(at..) {
            Some([b'\r', b'\n', behind @ ..]) => {
                if let Some(why) = too_long(start, at + 1) {
                    return Err((start, why));
                }
                at += 2;
                match behind.first() {
                    Some(b' ' | b'\t') => {}
                    Some(_) => return Ok((at, controls)),
                    None => return Err((at, Why::Truncated)),
                }
            }
            Some([b'\n', ..]) => {
                return Err(match too_long(start, at) {
                    Some(why) => (start, why),
                    None => (at, Why::LineBreak),
                });
            }
            Some([byte, ..]) => {
                controls |= *byte != b'\t';
                at += 1;
            }
            Some([]) | None => {
                return Err((bytes.len(), too_long(start, bytes.len()).unwrap_or(Why::Truncated)));
            }
        }
    }
}

#[inline]
fn too_long(start: usize, end: usize) -> Option<Why> {
    (end - start > SIP_HEADER_LINE_BYTES_MAX).then_some(Why::HeaderLineTooLong)
}
