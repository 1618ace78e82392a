//! What matches a message to a transaction (RFC 3261 §17.1.3, §17.2.3), as keyed 128-bit hashes:
//! strangers choose these texts, but cannot find two that collide without the key.

use std::hash::{Hash, Hasher};

use crate::base::table::HashKey;
use crate::wire::sip::{HeaderName, Message, Method, split_list};

/// The server transaction of `message`, read as a request of `method`: ACK and CANCEL look for
/// their INVITE with [`Method::Invite`]. `None`: the message lacks what every request has.
///
/// Without the magic cookie the client is of RFC 2543, and the whole request tells it apart. The
/// To-tag is left out there, because the ACK has one and the INVITE has none.
pub(super) fn server(key: HashKey, message: &Message<'_>, method: Method<'_>) -> Option<u128> {
    let via = message.top_via().ok()?;
    match via.branch() {
        Some(branch) if via.has_cookie() => {
            let sent_by = (Folded(via.host), via.port);
            Some(hash(key, &("server", branch, sent_by, method.name())))
        }
        _ => {
            let line = split_list(message.header(HeaderName::Via)?).0;
            let request = (message.request_uri()?, message.call_id().ok()?);
            let from = message.from().ok()?.tag();
            let number = message.cseq().ok()?.number;
            Some(hash(key, &("old server", line, request, from, number, method.name())))
        }
    }
}

/// The request itself, whichever way it came: for merged requests (RFC 3261 §8.2.2.2), and for
/// the ACK to a 2xx, which has another branch than its INVITE.
pub(super) fn request(key: HashKey, message: &Message<'_>, method: Method<'_>) -> Option<u128> {
    let from = message.from().ok()?.tag();
    let number = message.cseq().ok()?.number;
    Some(hash(key, &("request", message.call_id().ok()?, from, number, method.name())))
}

/// The client transaction of a branch that we made.
pub(super) fn client(key: HashKey, branch: &str, method: Method<'_>) -> u128 {
    hash(key, &("client", branch, method.name()))
}

/// A tag, or its absence; never zero.
pub(super) fn tag(key: HashKey, tag: Option<&str>) -> u64 {
    key.hash(&("tag", tag)) | 1
}

fn hash<K: Hash>(key: HashKey, value: &K) -> u128 {
    key.hash128(value)
}

/// Text that is the same in either case.
struct Folded<'a>(&'a str);

impl Hash for Folded<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut lower = [0; 64];
        for chunk in self.0.as_bytes().chunks(lower.len()) {
            let lower = &mut lower[..chunk.len()];
            lower.copy_from_slice(chunk);
            lower.make_ascii_lowercase();
            state.write(lower);
        }
        state.write_u8(0xff);
    }
}
