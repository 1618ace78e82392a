//! What a call says to either side inside its dialog. Every message is built from the model; nothing
//! of one leg's bytes goes to the other.
//!
//! Path: `shard::effects` -> here -> `sip::transaction`

use super::mark::Purpose;
use super::{Shard, Turn};
use crate::base::bounded::Text;
use crate::base::packet::SipPath;
use crate::base::pool::Key;
use crate::call::act::reoffer;
use crate::call::act::reoffer::other;
use crate::call::effect::Effects;
use crate::call::offer::{LocalMedia, answer_for, offer_for};
use crate::link::cdr::LegLetter;
use crate::wire::sip::{HeaderName, Message, Method, Writer};

/// What Carrick calls itself.
pub(super) const USER_AGENT: &str = concat!("Carrick/", env!("CARGO_PKG_VERSION"));
/// Content type of session descriptions.
pub(super) const SDP: &str = "application/sdp";

impl Shard {
    /// ACK to the callee's 2xx: with the answer to its offer, where it made one.
    pub(super) fn acknowledge_callee(&mut self, turn: &mut Turn<'_>, key: Key) {
        let delayed = self
            .calls
            .get(key)
            .is_some_and(|call| call.offerer == LegLetter::B && call.a.remote.is_some());
        self.acknowledge_invite(turn, key, LegLetter::B, delayed);
    }

    /// ACK to a 2xx inside the dialog.
    pub(super) fn acknowledge_reinvite(
        &mut self,
        turn: &mut Turn<'_>,
        key: Key,
        to: LegLetter,
        describe: bool,
    ) {
        self.acknowledge_invite(turn, key, to, describe);
    }

    fn acknowledge_invite(&mut self, turn: &mut Turn<'_>, key: Key, to: LegLetter, describe: bool) {
        let mut sdp = [0; crate::base::limits::SDP_BYTES_MAX];
        let body = if describe { self.write_answer(key, to, &mut sdp) } else { 0 };
        let branch = self.branch();
        let Some(call) = self.calls.get(key) else { return };
        let leg = call.leg(to);
        let (Some(client), Some(dialog)) = (leg.invite_client, &leg.dialog) else { return };
        let path = dialog.next_hop();
        let sent_by = sent_by(&self.setup, path);
        let cseq = dialog.local_cseq();
        self.transactions.acknowledge(
            turn.now,
            client,
            path,
            &mut |buffer| {
                let mut writer = dialog.request(buffer, Method::Ack, cseq, &sent_by, &branch);
                finish(&mut writer, &sdp[..body])
            },
            turn.out,
        );
    }

    /// BYE to a leg.
    pub(super) fn bye(&mut self, turn: &mut Turn<'_>, key: Key, letter: LegLetter) {
        let branch = self.branch();
        let Some(call) = self.calls.get_mut(key) else { return };
        let cause = call.release.as_ref().map(|release| release.outcome.cause);
        let Some(dialog) = call.leg_mut(letter).dialog.as_mut() else { return };
        let cseq = dialog.next_cseq();
        let path = dialog.next_hop();
        let (dialog, sent_by) = (&*dialog, sent_by(&self.setup, path));
        let owner = Self::mark(key, letter, Purpose::Bye);
        // A table without room means that the peer finds out by its own session timer.
        let _ = self.transactions.request(
            turn.now,
            Method::Bye,
            &branch,
            path,
            owner,
            &mut |buffer| {
                let mut writer = dialog.request(buffer, Method::Bye, cseq, &sent_by, &branch);
                if let Some(cause) = cause {
                    writer.header_fmt(HeaderName::Reason, format_args!("Q.850;cause={cause}"));
                }
                writer.header(HeaderName::UserAgent, USER_AGENT);
                writer.finish_empty().unwrap_or(0)
            },
            turn.out,
        );
    }

    /// An offer inside the dialog, made from what the other leg's peer said; without one, the
    /// peer is asked for its own.
    pub(super) fn reinvite(&mut self, turn: &mut Turn<'_>, key: Key, to: LegLetter) {
        let branch = self.branch();
        let mut sdp = [0; crate::base::limits::SDP_BYTES_MAX];
        let body = self.write_reoffer(key, to, &mut sdp);
        let owner = Self::mark(key, to, Purpose::Reinvite);
        let sent = match (body, self.calls.get_mut(key)) {
            (Some(body), Some(call)) => {
                let Some(dialog) = call.leg_mut(to).dialog.as_mut() else { return };
                let cseq = dialog.next_cseq();
                let path = dialog.next_hop();
                let (dialog, sent_by) = (&*dialog, sent_by(&self.setup, path));
                self.transactions
                    .request(
                        turn.now,
                        Method::Invite,
                        &branch,
                        path,
                        owner,
                        &mut |buffer| {
                            let mut writer =
                                dialog.request(buffer, Method::Invite, cseq, &sent_by, &branch);
                            writer.header(HeaderName::Allow, super::request::ALLOW);
                            finish(&mut writer, &sdp[..body])
                        },
                        turn.out,
                    )
                    .ok()
            }
            _ => None,
        };
        let Some(call) = self.calls.get_mut(key) else { return };
        match sent {
            Some(client) => call.leg_mut(to).invite_client = Some(client),
            None => {
                let mut effects = Effects::new();
                reoffer::refused(call, 488, &mut effects);
                self.perform(turn, key, effects);
            }
        }
    }

    /// Writes the offer for a leg from the other leg's re-offer. Zero bytes: there is none, the
    /// peer shall make one. `None`: it cannot be passed on.
    fn write_reoffer(&mut self, key: Key, to: LegLetter, sdp: &mut [u8]) -> Option<usize> {
        let call = self.calls.get_mut(key)?;
        let reoffer = call.reoffer.as_ref()?;
        let Some(offer) = &reoffer.description else { return Some(0) };
        let leg = match to {
            LegLetter::A => &mut call.a,
            LegLetter::B => &mut call.b,
        };
        let ours = local_media(&self.setup, &self.relay, leg.media?, offer.mux)?;
        let offered = offer_for(offer, leg.remote.as_ref(), &ours, &mut leg.local, sdp).ok()?;
        call.reoffer_numbers = offered.numbers;
        Some(offered.length)
    }

    /// Passes an INFO on to the other leg.
    pub(super) fn relay_info(
        &mut self,
        turn: &mut Turn<'_>,
        key: Key,
        from: LegLetter,
        message: &Message<'_>,
    ) {
        let to = other(from);
        let branch = self.branch();
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(dialog) = call.leg_mut(to).dialog.as_mut() else { return };
        let cseq = dialog.next_cseq();
        let path = dialog.next_hop();
        let (dialog, sent_by) = (&*dialog, sent_by(&self.setup, path));
        let owner = Self::mark(key, to, Purpose::Relayed);
        let sent = self.transactions.request(
            turn.now,
            Method::Info,
            &branch,
            path,
            owner,
            &mut |buffer| {
                let mut writer = dialog.request(buffer, Method::Info, cseq, &sent_by, &branch);
                if let Some(package) = message.header_named("Info-Package") {
                    writer.header_named("Info-Package", package);
                }
                match message.content_type() {
                    Some(kind) if !message.body().is_empty() => {
                        writer.finish(kind, message.body()).unwrap_or(0)
                    }
                    _ => writer.finish_empty().unwrap_or(0),
                }
            },
            turn.out,
        );
        if sent.is_err()
            && let Some(relayed) = self.calls.get_mut(key).and_then(|call| call.relayed.take())
        {
            self.respond(turn, relayed.server, 500, None, &mut |writer| writer.finish_empty());
        }
    }

    /// A branch that nobody can guess (RFC 3261 §8.1.1.7).
    pub(super) fn branch(&mut self) -> Text<32> {
        let token = self.rng.token::<24>();
        let mut branch = Text::new();
        branch.push_str("z9hG4bK");
        branch.push_str(&token);
        branch
    }

    /// Takes a leg's tag out of the index.
    pub(super) fn unfile(&mut self, key: Key, letter: LegLetter) {
        let dialog = self.calls.get(key).and_then(|call| call.leg(letter).dialog.as_ref());
        if let Some(dialog) = dialog {
            let hash = self.dialogs.hash(dialog.local_tag());
            self.dialogs.remove(hash, |entry| entry == (key, letter));
        }
    }

    /// Writes the answer for the leg that made the offer. Zero: there is nothing to write.
    pub(super) fn write_answer(&mut self, key: Key, to: LegLetter, sdp: &mut [u8]) -> usize {
        let Some(call) = self.calls.get_mut(key) else { return 0 };
        let Some(bridge) = call.bridge.as_ref() else { return 0 };
        let (leg, peer) = match to {
            LegLetter::A => (&mut call.a, &call.b),
            LegLetter::B => (&mut call.b, &call.a),
        };
        let (Some(offer), Some(answer)) = (&leg.remote, &peer.remote) else { return 0 };
        let ours = leg.media.and_then(|m| local_media(&self.setup, &self.relay, m, true));
        let Some(ours) = ours else { return 0 };
        answer_for(offer, answer, bridge, &ours, &mut leg.local, sdp).unwrap_or(0)
    }

    /// Writes the offer of the callee's side for the caller, who asked for one.
    pub(super) fn write_offer(&mut self, key: Key, to: LegLetter, sdp: &mut [u8]) -> usize {
        let Some(call) = self.calls.get_mut(key) else { return 0 };
        let (leg, peer) = match to {
            LegLetter::A => (&mut call.a, &call.b),
            LegLetter::B => (&mut call.b, &call.a),
        };
        let Some(source) = &peer.remote else { return 0 };
        let ours = leg.media.and_then(|m| local_media(&self.setup, &self.relay, m, source.mux));
        let Some(ours) = ours else { return 0 };
        match offer_for(source, leg.remote.as_ref(), &ours, &mut leg.local, sdp) {
            Ok(offered) => {
                call.numbers = offered.numbers;
                offered.length
            }
            Err(_) => 0,
        }
    }
}

/// Ends a message with a description, or without one.
pub(super) fn finish(writer: &mut Writer<'_>, sdp: &[u8]) -> usize {
    let finished = if sdp.is_empty() { writer.finish_empty() } else { writer.finish(SDP, sdp) };
    finished.unwrap_or(0)
}

/// `address:port` for Via on a path.
pub(super) fn sent_by(setup: &super::setup::Setup, path: SipPath) -> Text<64> {
    let listener = setup.listeners.get(usize::from(path.listener));
    let mut sent_by = Text::new();
    if let Some(listener) = listener {
        // An address and a port are shorter than the room.
        let _ = std::fmt::write(&mut sent_by, format_args!("{}", listener.advertised));
    }
    sent_by
}

/// The edge's end of a leg's media.
pub(super) fn local_media(
    setup: &super::setup::Setup,
    relay: &crate::media::relay::Relay,
    media: crate::media::leg::LegKey,
    mux: bool,
) -> Option<LocalMedia> {
    let ports = relay.ports(media)?;
    let address = setup.media.get(usize::from(ports.rtp().address))?.advertised;
    let (rtp_port, rtcp_port) = (ports.rtp().port, ports.rtcp().port);
    Some(LocalMedia { address, rtp_port, rtcp_port, mux })
}
