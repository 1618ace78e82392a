//! What a call says to the caller, and to whoever made an offer inside a dialog.
//!
//! Path: `shard::effects` -> here -> `sip::transaction`

use super::outgoing::SDP;
use super::request::{ALLOW, RETRY_AFTER};
use super::{Shard, Turn};
use crate::base::limits::SDP_BYTES_MAX;
use crate::base::packet::SipPath;
use crate::base::pool::Key;
use crate::call::leg::LegState;
use crate::call::outcome::Ending;
use crate::link::cdr::LegLetter;
use crate::sip::dialog::DialogEvent;
use crate::sip::transaction::ServerKey;
use crate::wire::sip::{HeaderName, WriteError, Writer};

impl Shard {
    /// A provisional response to the caller, unchanged in its status.
    pub(super) fn progress(&mut self, turn: &mut Turn<'_>, key: Key, status: u16, describe: bool) {
        let mut sdp = [0; SDP_BYTES_MAX];
        let body = if describe { self.write_answer(key, LegLetter::A, &mut sdp) } else { 0 };
        self.answer_invite(turn, key, status, &sdp[..body]);
    }

    /// 200 to the caller.
    pub(super) fn answer_caller(&mut self, turn: &mut Turn<'_>, key: Key) {
        let mut sdp = [0; SDP_BYTES_MAX];
        let caller_offered = self.calls.get(key).is_some_and(|call| call.a.remote.is_some());
        let body = if caller_offered {
            self.write_answer(key, LegLetter::A, &mut sdp)
        } else {
            self.write_offer(key, LegLetter::A, &mut sdp)
        };
        if body == 0 {
            // The 200 did not go out after all: the caller is refused instead.
            if let Some(call) = self.calls.get_mut(key) {
                call.a.state = LegState::Inviting;
                call.a.answer_at = None;
            }
            let note = "no description can be written for the caller";
            return self.give_up(turn, key, Ending::Internal, note);
        }
        self.answer_invite(turn, key, 200, &sdp[..body]);
        if let Some(dialog) = self.calls.get_mut(key).and_then(|call| call.a.dialog.as_mut()) {
            dialog.apply(DialogEvent::Success);
        }
    }

    /// A final refusal to the caller.
    pub(super) fn refuse_caller(&mut self, turn: &mut Turn<'_>, key: Key) {
        let Some(call) = self.calls.get(key) else { return };
        let Some(outcome) = call.release.as_ref().map(|release| release.outcome) else { return };
        let (Some(server), Some(dialog)) = (call.a.invite_server, &call.a.dialog) else { return };
        let tag = crate::base::bounded::clipped::<64>(dialog.local_tag());
        self.respond(turn, server, outcome.status, Some(&tag), &mut |writer| {
            writer.header_fmt(HeaderName::Reason, format_args!("Q.850;cause={}", outcome.cause));
            if outcome.retry_after {
                writer.header(HeaderName::RetryAfter, RETRY_AFTER);
            }
            writer.finish_empty()
        });
    }

    /// 200 to an offer inside the dialog: with the answer, or with the offer that was asked for.
    pub(super) fn answer_reoffer(
        &mut self,
        turn: &mut Turn<'_>,
        key: Key,
        server: ServerKey,
        to: LegLetter,
    ) {
        let mut sdp = [0; SDP_BYTES_MAX];
        let asked = self.calls.get(key).is_some_and(|call| call.reoffer.is_some());
        let body = if asked {
            self.write_offer(key, to, &mut sdp)
        } else {
            self.write_answer(key, to, &mut sdp)
        };
        let Some(path) = self.leg_path(key, to) else { return };
        let contact = self.contact(path, "");
        let sdp = &sdp[..body];
        self.respond(turn, server, 200, None, &mut |writer| {
            writer.header(HeaderName::Contact, &contact).header(HeaderName::Allow, ALLOW);
            finish(writer, sdp)
        });
    }

    fn answer_invite(&mut self, turn: &mut Turn<'_>, key: Key, status: u16, sdp: &[u8]) {
        let Some(path) = self.leg_path(key, LegLetter::A) else { return };
        let contact = self.contact(path, "");
        let Some(call) = self.calls.get(key) else { return };
        let (Some(server), Some(dialog)) = (call.a.invite_server, &call.a.dialog) else { return };
        let tag = crate::base::bounded::clipped::<64>(dialog.local_tag());
        self.respond(turn, server, status, Some(&tag), &mut |writer| {
            writer.header(HeaderName::Contact, &contact);
            if status == 200 {
                writer.header(HeaderName::Allow, ALLOW).header(HeaderName::Accept, SDP);
            }
            finish(writer, sdp)
        });
    }

    fn leg_path(&self, key: Key, letter: LegLetter) -> Option<SipPath> {
        Some(self.calls.get(key)?.leg(letter).dialog.as_ref()?.path())
    }
}

fn finish(writer: &mut Writer<'_>, sdp: &[u8]) -> Result<usize, WriteError> {
    if sdp.is_empty() { writer.finish_empty() } else { writer.finish(SDP, sdp) }
}
