//! Messages that follow from ones we have: the ACK and CANCEL of an INVITE, and responses that
//! need no transaction.

use crate::base::bounded::Text;
use crate::base::packet::{Outbox, Route, SipPath};
use crate::base::table::HashKey;
use crate::wire::sip::{HeaderName, Message, Method, Writer, split_list, status};

/// Characters of a tag made by [`stateless_tag`].
pub const STATELESS_TAG_BYTES: usize = 16;

/// The To-tag of a response without state: the same for every repetition of the request, as a
/// stateless server must (RFC 3261 §8.2.7), and not to be guessed without the key.
pub fn stateless_tag(key: HashKey, request: &Message<'_>) -> Text<STATELESS_TAG_BYTES> {
    let from = request.from().ok().and_then(|from| from.tag());
    let branch = request.top_via().ok().and_then(|via| via.branch());
    let mut hash = key.hash(&("stateless", request.call_id().ok(), from, branch));
    let mut tag = Text::new();
    for _ in 0..STATELESS_TAG_BYTES {
        hash = hash.rotate_left(4);
        let nibble = usize::try_from(hash & 15).unwrap_or(0);
        tag.push(char::from(b"0123456789abcdef"[nibble]));
    }
    tag
}

/// Answers a request once and forgets it: status line, Vias with `received` and `rport`, From, To
/// with `tag`, Call-ID, CSeq, what `more` adds, and no body. For 401, 405, 481, 503 and the like,
/// before anything is known that would be worth a transaction. Goes back to where the request
/// came from. A response of more than `most` bytes goes without what `more` adds and without a
/// phrase (a 401 would ask for nothing then, and stays), and one that is still larger does not go:
/// a stranger on UDP may have made up its address. `false`: not sent.
pub fn stateless_response(
    request: &Message<'_>,
    path: SipPath,
    status: u16,
    tag: &str,
    most: usize,
    more: &mut dyn FnMut(&mut Writer<'_>),
    out: &mut dyn Outbox,
) -> bool {
    let reason = status::reason(status);
    let tag = (status > 100).then_some(tag);
    let mut sent = false;
    let taken = out.send(Route::Sip { path, cookie: 0 }, &mut |buffer| {
        let mut writer = Writer::response_to(buffer, request, path.peer, status, reason, tag);
        more(&mut writer);
        let mut length = writer.finish_empty().unwrap_or(0);
        if length > most && status != 401 {
            let mut writer = Writer::response_to(buffer, request, path.peer, status, "", tag);
            length = writer.finish_empty().unwrap_or(0);
        }
        sent = (1..=most).contains(&length);
        if sent { length } else { 0 }
    });
    taken && sent
}

/// The same in as few bytes as can be, whatever their number: without a phrase.
pub fn brief_response(
    request: &Message<'_>,
    path: SipPath,
    status: u16,
    tag: &str,
    more: &mut dyn FnMut(&mut Writer<'_>),
    out: &mut dyn Outbox,
) -> bool {
    out.send(Route::Sip { path, cookie: 0 }, &mut |buffer| {
        let mut writer = Writer::response_to(buffer, request, path.peer, status, "", Some(tag));
        more(&mut writer);
        writer.finish_empty().unwrap_or(0)
    })
}

/// The ACK to a final response other than 2xx (RFC 3261 §17.1.1.3): the INVITE's Request-URI,
/// only its top Via, its Route, and the response's To.
pub(super) fn acknowledgement(
    buffer: &mut [u8],
    invite: &Message<'_>,
    response: &Message<'_>,
) -> Option<usize> {
    write(buffer, Method::Ack, invite, response)
}

/// The CANCEL of an INVITE (RFC 3261 §9.1): the same, with the INVITE's own To.
pub(super) fn cancellation(buffer: &mut [u8], invite: &Message<'_>) -> Option<usize> {
    write(buffer, Method::Cancel, invite, invite)
}

fn write(
    buffer: &mut [u8],
    method: Method<'_>,
    invite: &Message<'_>,
    to: &Message<'_>,
) -> Option<usize> {
    let via = split_list(invite.header(HeaderName::Via)?).0;
    let number = invite.cseq().ok()?.number;
    let mut writer = Writer::request(buffer, method, invite.request_uri()?);
    writer
        .header(HeaderName::Via, via)
        .copy(invite, HeaderName::Route)
        .header(HeaderName::MaxForwards, "70")
        .copy(invite, HeaderName::From)
        .copy(to, HeaderName::To)
        .copy(invite, HeaderName::CallId)
        .header_fmt(HeaderName::CSeq, format_args!("{number} {method}"))
        .finish_empty()
        .ok()
}
