//! Reading what is readable of a refused request, for the one purpose of answering it.

use super::line::{Line, Step, step};
use super::message::{Message, start_line_end};
use super::method::Method;
use super::start::Start;

/// Fills an empty message; `false` where there is nothing to answer.
pub(super) fn read(message: &mut Message<'_>) -> bool {
    let bytes = message.raw();
    let Ok(start_end) = start_line_end(bytes) else { return false };
    let line = &bytes[..start_end];
    let start = match Start::parse(line) {
        Ok(start) => Some(start),
        Err(_) => Start::salvage(line),
    };
    match start {
        Some(Start::Request { method, .. }) if method != Method::Ack => {}
        _ => return false,
    }
    if let Some(start) = start {
        message.set_start(start);
    }
    let mut at = start_end + 2;
    loop {
        match step(bytes, at) {
            Ok(Step::Header(line)) => {
                if is_clean(bytes, &line) && !message.add_salvaged(&line) {
                    break;
                }
                at = line.next;
            }
            Ok(Step::End(_)) => break,
            // A bad line is left out; what follows the next line break is tried.
            Err(_) => match memchr::memchr(b'\n', bytes.get(at..).unwrap_or(&[])) {
                Some(feed) => at += feed + 1,
                None => break,
            },
        }
    }
    true
}

/// Whether a value can be written into an answer as it is: its line breaks are all folds.
fn is_clean(bytes: &[u8], line: &Line) -> bool {
    let value = &bytes[line.value.0..line.value.1];
    let pairs = memchr::memmem::find_iter(value, b"\r\n").count();
    memchr::memchr_iter(b'\r', value).count() == pairs && memchr::memchr(0, value).is_none()
}
