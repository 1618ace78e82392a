//! Which shard a message belongs to, from its Call-ID alone.
//!
//! Path: shard::ingress, net::stream -> here -> link::handoff

use super::header::HeaderName;
use super::line::{Step, step};
use super::message::{leading_breaks, start_line_end};
use crate::base::bounded::Text;
use crate::base::id::ShardId;
use crate::base::table::HashKey;

/// Most characters of a token given to [`own_call_id`].
pub const TOKEN_BYTES_MAX: usize = 56;

/// The value of the first Call-ID line, found without an index over the message. `None` where the
/// headers before it are broken, or there is none. Where the full parser accepts the message, this
/// is its Call-ID.
pub fn call_id_of(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = &bytes[leading_breaks(bytes)..];
    let mut at = start_line_end(bytes).ok()? + 2;
    // A line is at least its name, colon and break, so this ends with the bytes.
    loop {
        match step(bytes, at) {
            Ok(Step::Header(line)) => {
                if line.id == HeaderName::CallId {
                    let value = &bytes[line.value.0..line.value.1];
                    return (!value.is_empty()).then_some(value);
                }
                at = line.next;
            }
            _ => return None,
        }
    }
}

/// A Call-ID of Carrick's own that names its shard: `<token>-s<number>`.
pub fn own_call_id(token: &str, shard: ShardId) -> Text<64> {
    assert!(token.len() <= TOKEN_BYTES_MAX, "the token leaves room for the shard");
    let mut text = Text::new();
    text.push_str(token);
    // "-s" and five digits fit behind the token.
    let _ = std::fmt::write(&mut text, format_args!("-s{}", shard.0));
    text
}

/// The shard of a Call-ID: the one that it names, else by hash. The same on every shard and in
/// every process. A stranger may name a shard as well; it decides only where the work is done.
pub fn owner(call_id: &[u8], shards: u16) -> u16 {
    assert!(shards > 0);
    let shard = named_shard(call_id).map_or_else(|| HashKey::FIXED.hash(call_id), u64::from);
    u16::try_from(shard % u64::from(shards)).unwrap_or(0)
}

/// The number behind a last `-s`: one to five digits.
fn named_shard(call_id: &[u8]) -> Option<u16> {
    let digits = call_id.iter().rev().take(5).take_while(|byte| byte.is_ascii_digit()).count();
    let (head, number) = call_id.split_at(call_id.len() - digits);
    if digits == 0 || !head.ends_with(b"-s") {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_call_ids_come_home() {
        for shard in [0, 1, 7, 63, u16::MAX] {
            let id = own_call_id("abcdefghijkmnpqrstuvwxyz", ShardId(shard));
            assert_eq!(owner(id.as_bytes(), 64), shard % 64);
        }
        assert_eq!(named_shard(b"abc-s"), None);
        assert_eq!(named_shard(b"abc-s123456"), None);
        assert_eq!(named_shard(b"abc-s99999"), None);
        assert_eq!(named_shard(b""), None);
        assert_eq!(named_shard(b"s1"), None);
    }

    #[test]
    fn strange_call_ids_spread() {
        let mut counts = [0; 8];
        for number in 0..8000 {
            counts[usize::from(owner(format!("{number}@pbx").as_bytes(), 8))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn call_id_is_found_in_every_form() {
        for line in ["Call-ID: x@y", "i:x@y", "CALL-id \t:  x@y  ", "I :\r\n x@y"] {
            let bytes = format!("\r\nBYE sip:a SIP/2.0\r\nVia: a\r\n b\r\n{line}\r\n\r\n");
            assert_eq!(call_id_of(bytes.as_bytes()), Some(&b"x@y"[..]), "{line}");
        }
        for bad in [
            "",
            "BYE sip:a SIP/2.0\r\n\r\nCall-ID: x\r\n",
            "BYE sip:a\r\n(\r\ni: x\r\n",
            "a\r\ni: \r\n\r\n",
        ] {
            assert_eq!(call_id_of(bad.as_bytes()), None, "{bad}");
        }
    }
}
