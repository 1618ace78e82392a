//! A response came to a request of ours.
//!
//! Path: `shard::ingress` -> here -> `call::act`, `shard::effects`

use super::mark::{Mark, Purpose};
use super::media::agree;
use super::outgoing::sent_by;
use super::request::description_of;
use super::{Shard, Turn};
use crate::base::bounded::Text;
use crate::base::counter::Counter;
use crate::base::packet::SipPath;
use crate::base::pool::Key;
use crate::call::act::{answered, failed, progress, reoffer};
use crate::call::effect::{Effect, Effects};
use crate::call::leg::LegState;
use crate::call::machine::Call;
use crate::call::offer::Description;
use crate::call::route::AttemptFailure;
use crate::sip::auth::{Account, Answer, answer_challenge};
use crate::sip::dialog::{Dialog, Outgoing};
use crate::sip::transaction::{ClientKey, ResponseKind, ResponseMatch};
use crate::wire::sip::{Message, Method};

impl Shard {
    /// A response that is sound and this shard's.
    pub(super) fn response(&mut self, turn: &mut Turn<'_>, path: SipPath, message: &Message<'_>) {
        let matched = self.transactions.receive_response(turn.now, message, path, turn.out);
        let ResponseMatch::Matched { client, owner, kind } = matched else { return };
        let (Some(mark), Some(status)) = (Mark::from_u64(owner), message.status()) else { return };
        match (mark.purpose, kind) {
            (_, ResponseKind::Repeated2xx) => {}
            (Purpose::Invite, ResponseKind::Another2xx) => {
                self.end_fork(turn, path, message, mark.call, client);
            }
            (Purpose::Invite, _) => self.invite_answered(turn, path, message, mark.call, client),
            (Purpose::Reinvite, ResponseKind::Final) => {
                self.reinvite_answered(turn, message, mark, status);
            }
            (Purpose::Relayed, ResponseKind::Final) => self.relayed_answered(turn, mark, status),
            (Purpose::Bye | Purpose::Reinvite | Purpose::Relayed, _) => {}
        }
    }

    /// A response to the callee's INVITE.
    fn invite_answered(
        &mut self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        key: Key,
        client: ClientKey,
    ) {
        let status = message.status().unwrap_or_default();
        let current = self.calls.get(key).is_some_and(|call| call.b.invite_client == Some(client));
        if !current {
            // A target that was given up answers after all.
            if (200..300).contains(&status) {
                self.end_fork(turn, path, message, key, client);
            }
            return;
        }
        let described = self.describe(key, message, path);
        let cnonce = self.rng.token::<16>();
        let Some(call) = self.calls.get_mut(key) else { return };
        let mut effects = Effects::new();
        match status {
            100..200 => progress::take(call, turn.now, status, described, &mut effects),
            200..300 => {
                let fork = call.b.dialog.as_ref().map(|dialog| dialog.fork(message, path));
                match fork {
                    Some(Ok(dialog)) => {
                        call.b.dialog = Some(dialog);
                        answered::take(call, turn.now, status, described, &mut effects);
                    }
                    _ => {
                        let failure = AttemptFailure::Status(502);
                        failed::take(call, turn.now, failure, &mut effects);
                    }
                }
            }
            _ => {
                if matches!(status, 401 | 407)
                    && let Some(answer) = challenge_answer(call, message, &cnonce)
                    && call.b.retries.permit(answer.stale)
                {
                    return self.send_invite(turn, key, Some(&answer));
                }
                let failure = AttemptFailure::Status(status);
                failed::take(call, turn.now, failure, &mut effects);
            }
        }
        self.perform(turn, key, effects);
    }

    /// Takes the description that a response carries into the callee's leg. Whether it can be
    /// used: the legs agree on it, or it is the offer that the caller asked for.
    fn describe(&mut self, key: Key, message: &Message<'_>, path: SipPath) -> bool {
        let Ok(Some(description)) = description_of(message) else {
            // RFC 3261 §13.2.1: a 2xx may come without the answer that an 18x brought already.
            return self.calls.get(key).is_some_and(|call| {
                call.bridge.is_some() && message.status().is_some_and(|status| status >= 200)
            });
        };
        if !self.is_reachable(&description, path.peer.ip()) {
            return false;
        }
        let Some(call) = self.calls.get_mut(key) else { return false };
        if call.b.state != LegState::Inviting {
            return false;
        }
        match &call.a.remote {
            None => {
                call.b.remote = Some(description);
                true
            }
            Some(offer) => match agree(call, offer, &description) {
                Some(bridge) => {
                    call.bridge = Some(bridge);
                    call.b.remote = Some(description);
                    true
                }
                None => false,
            },
        }
    }

    /// A 2xx that nobody waits for: a second fork, or a target that was given up. It gets its ACK
    /// and is ended (RFC 3261 §13.2.2.4).
    fn end_fork(
        &mut self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        _key: Key,
        client: ClientKey,
    ) {
        self.count(Counter::SipForksEnded);
        self.end_stray_dialog(turn, path, message, client);
    }

    /// The final response to an offer inside the dialog.
    fn reinvite_answered(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        mark: Mark,
        status: u16,
    ) {
        let description = description_of(message).ok().flatten();
        let description = description.filter(|description| {
            let peer = self.calls.get(mark.call).and_then(|call| call.leg(mark.leg).peer);
            peer.is_some_and(|peer| self.is_reachable(description, peer.ip()))
        });
        let Some(call) = self.calls.get_mut(mark.call) else { return };
        let mut effects = Effects::new();
        match status {
            200..300 => {
                if let Some(dialog) = call.leg_mut(mark.leg).dialog.as_mut() {
                    dialog.refresh_target(message);
                }
                let agreed = self.agree_again(mark.call, description);
                if let Some(call) = self.calls.get_mut(mark.call) {
                    reoffer::taken(call, agreed, &mut effects);
                }
            }
            408 | 481 => {
                reoffer::refused(call, status, &mut effects);
                failed::inside(call, turn.now, mark.leg, &mut effects);
            }
            _ => reoffer::refused(call, status, &mut effects),
        }
        self.perform(turn, mark.call, effects);
    }

    /// The agreement after an offer inside the dialog was answered; `None`: there is none.
    fn agree_again(&mut self, key: Key, answer: Option<Description>) -> Option<Description> {
        let answer = answer?;
        let call = self.calls.get_mut(key)?;
        let reoffer = call.reoffer.as_ref()?;
        if let Some(offer) = &reoffer.description {
            let numbers = &call.reoffer_numbers;
            let muxes = (true, offer.mux);
            let bridge = crate::call::offer::Bridge::new(offer, numbers, &answer, muxes).ok()?;
            call.numbers = call.reoffer_numbers.clone();
            call.bridge = Some(bridge);
        }
        Some(answer)
    }

    fn relayed_answered(&mut self, turn: &mut Turn<'_>, mark: Mark, status: u16) {
        let Some(call) = self.calls.get_mut(mark.call) else { return };
        let mut effects = Effects::new();
        if let Some(relayed) = call.relayed.take() {
            effects.push(Effect::RespondPlain { server: relayed.server, status });
        }
        if matches!(status, 408 | 481) {
            failed::inside(call, turn.now, mark.leg, &mut effects);
        }
        self.perform(turn, mark.call, effects);
    }

    /// ACK and BYE for a dialog that is not the call's.
    fn end_stray_dialog(
        &mut self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        client: ClientKey,
    ) {
        let contact = self.contact(path, "");
        let Some(mut dialog) = stray_dialog(message, path, &contact) else { return };
        let (branch, bye_branch) = (self.branch(), self.branch());
        let sent_by = sent_by(&self.setup, path);
        let hop = dialog.next_hop();
        let cseq = dialog.local_cseq();
        self.transactions.acknowledge(
            turn.now,
            client,
            hop,
            &mut |buffer| {
                let mut writer = dialog.request(buffer, Method::Ack, cseq, &sent_by, &branch);
                writer.finish_empty().unwrap_or(0)
            },
            turn.out,
        );
        let cseq = dialog.next_cseq();
        // A table without room: the peer repeats its 2xx, and this is tried again.
        let _ = self.transactions.request(
            turn.now,
            Method::Bye,
            &bye_branch,
            hop,
            0,
            &mut |buffer| {
                let mut writer = dialog.request(buffer, Method::Bye, cseq, &sent_by, &bye_branch);
                writer.finish_empty().unwrap_or(0)
            },
            turn.out,
        );
    }
}

/// What answers a challenge to the callee's INVITE: the credentials of the target that was called,
/// and no others.
fn challenge_answer(call: &Call, challenge: &Message<'_>, cnonce: &str) -> Option<Answer> {
    let attempt = call.plan.attempts.get(call.attempt)?;
    let credentials = attempt.credentials.as_ref()?;
    let (username, password) = (&*credentials.username, &*credentials.password);
    let account = Account { username, password, realm: None };
    answer_challenge(challenge, Method::Invite, &attempt.request_uri, &account, cnonce)
}

/// The dialog of a 2xx that is not the call's, from the response alone.
fn stray_dialog(message: &Message<'_>, path: SipPath, contact: &str) -> Option<Dialog> {
    let (from, to) = (message.from().ok()?, message.to().ok()?);
    let (mut local, mut remote) = (Text::<264>::new(), Text::<264>::new());
    std::fmt::write(&mut local, format_args!("<{}>", from.uri)).ok()?;
    std::fmt::write(&mut remote, format_args!("<{}>", to.uri)).ok()?;
    let ours = Dialog::outgoing(&Outgoing {
        call_id: message.call_id().ok()?,
        local_tag: from.tag()?,
        local: &local,
        remote: &remote,
        target: to.uri,
        route_set: "",
        contact,
        path,
    });
    let mut dialog = ours.ok()?.fork(message, path).ok()?;
    // Only a challenge or two make our INVITE's number more than one.
    let number = message.cseq().ok()?.number.min(8);
    while dialog.local_cseq() < number {
        dialog.next_cseq();
    }
    Some(dialog)
}
