//! The callee's INVITE: from the attempt under way to the wire. It is built from the model; nothing
//! of the caller's bytes goes to the callee.
//!
//! Path: `shard::effects` -> here -> `sip::transaction`

use super::mark::Purpose;
use super::outgoing::{SDP, USER_AGENT, finish, local_media, sent_by};
use super::{Shard, Turn};
use crate::base::bounded::Text;
use crate::base::packet::{SipPath, Transport};
use crate::base::pool::Key;
use crate::call::act::failed;
use crate::call::effect::Effects;
use crate::call::machine::Call;
use crate::call::offer::offer_for;
use crate::call::outcome::Ending;
use crate::call::policy::CallerId;
use crate::call::route::AttemptFailure;
use crate::link::cdr::LegLetter;
use crate::sip::auth;
use crate::sip::dialog::{Dialog, Outgoing};
use crate::sip::transaction::{ClientKey, Refused};
use crate::wire::sip::{HeaderName, Method, Writer};

impl Shard {
    /// Sends the INVITE of the attempt under way.
    pub(super) fn invite(&mut self, turn: &mut Turn<'_>, key: Key) {
        let ready =
            self.open_media(turn, key, LegLetter::B) && self.open_media(turn, key, LegLetter::A);
        if !ready {
            let note = "no media port is free, or none can be opened";
            return self.give_up(turn, key, Ending::Overloaded, note);
        }
        let Some(dialog) = self.callee_dialog(key) else {
            return self.target_failed(turn, key);
        };
        let hash = self.dialogs.hash(dialog.local_tag());
        self.unfile(key, LegLetter::B);
        let filed = self.dialogs.insert(hash, (key, LegLetter::B));
        assert!(filed, "the index holds two legs of every call");
        let Some(call) = self.calls.get_mut(key) else { return };
        let mut dialog = dialog;
        dialog.set_max_forwards(call.max_forwards);
        call.b.dialog = Some(dialog);
        self.send_invite(turn, key, None);
    }

    /// Sends the INVITE: the first time, or again with the answer to a challenge.
    pub(super) fn send_invite(
        &mut self,
        turn: &mut Turn<'_>,
        key: Key,
        credentials: Option<&auth::Answer>,
    ) {
        let branch = self.branch();
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(media) = call.b.media else { return };
        let mux = call.a.remote.as_ref().is_some_and(|offer| offer.mux);
        let Some(ours) = local_media(&self.setup, &self.relay, media, mux) else { return };
        let Some(dialog) = call.b.dialog.as_mut() else { return };
        let cseq = dialog.next_cseq();
        let path = dialog.next_hop();
        let sent_by = sent_by(&self.setup, path);
        let mut sdp = [0; crate::base::limits::SDP_BYTES_MAX];
        let body = match &call.a.remote {
            None => 0,
            Some(offer) => match offer_for(offer, None, &ours, &mut call.b.local, &mut sdp) {
                Ok(offered) => {
                    call.numbers = offered.numbers;
                    offered.length
                }
                Err(_) => {
                    let note = "the caller's offer has no plain audio that can be passed on";
                    return self.give_up(turn, key, Ending::NoCommonMedia, note);
                }
            },
        };
        let owner = Self::mark(key, LegLetter::B, Purpose::Invite);
        let (call, sdp) = (&*call, &sdp[..body]);
        let sent = self.transactions.request(
            turn.now,
            Method::Invite,
            &branch,
            path,
            owner,
            &mut |buffer| {
                let Some(dialog) = &call.b.dialog else { return 0 };
                let mut writer = dialog.request(buffer, Method::Invite, cseq, &sent_by, &branch);
                invite_headers(&mut writer, call, &self.setup.host);
                if let Some(credentials) = credentials {
                    writer.header(credentials.header, &credentials.value);
                }
                finish(&mut writer, sdp)
            },
            turn.out,
        );
        self.invite_sent(turn, key, sent);
    }

    fn invite_sent(&mut self, turn: &mut Turn<'_>, key: Key, sent: Result<ClientKey, Refused>) {
        match sent {
            Ok(client) => {
                if let Some(call) = self.calls.get_mut(key) {
                    call.b.invite_client = Some(client);
                }
            }
            Err(Refused::Full) => {
                self.give_up(turn, key, Ending::Overloaded, "the transaction table is full");
            }
            Err(Refused::Unwritten | Refused::Unsent) => self.target_failed(turn, key),
        }
    }

    fn target_failed(&mut self, turn: &mut Turn<'_>, key: Key) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let mut effects = Effects::new();
        failed::take(call, turn.now, AttemptFailure::Transport, &mut effects);
        self.perform(turn, key, effects);
    }

    /// The dialog that the callee's INVITE asks for: identifiers of our own, the caller as policy
    /// lets it be seen.
    fn callee_dialog(&mut self, key: Key) -> Option<Dialog> {
        let token = self.rng.token::<24>();
        let call_id = crate::wire::sip::call_key::own_call_id(&token, self.setup.id);
        let tag = self.rng.token::<24>();
        let call = self.calls.get(key)?;
        let attempt = call.plan.attempts.get(call.attempt)?;
        let listener = self.listener_for(attempt.transport, attempt.target)?;
        let path =
            SipPath { transport: attempt.transport, listener, peer: attempt.target, flow: None };
        let mut local = Text::<256>::new();
        let mut contact_user = "";
        let host = &self.setup.host;
        let written = match &call.caller_id {
            CallerId::Shown(number) => {
                contact_user = number;
                std::fmt::write(&mut local, format_args!("<sip:{number}@{host}>"))
            }
            // RFC 3323 §4.1.1.3.
            CallerId::Private => std::fmt::write(
                &mut local,
                format_args!("\"Anonymous\" <sip:anonymous@anonymous.invalid>"),
            ),
        };
        written.ok()?;
        let mut remote = Text::<264>::new();
        std::fmt::write(&mut remote, format_args!("<{}>", attempt.request_uri)).ok()?;
        let contact = self.contact(path, contact_user);
        Dialog::outgoing(&Outgoing {
            call_id: &call_id,
            local_tag: &tag,
            local: &local,
            remote: &remote,
            target: &attempt.request_uri,
            route_set: "",
            contact: &contact,
            path,
        })
        .ok()
    }

    /// The listener that requests to an address leave from.
    fn listener_for(&self, transport: Transport, target: std::net::SocketAddr) -> Option<u8> {
        let fits = |listener: &super::setup::Listener| {
            listener.transport == transport && listener.bound.is_ipv4() == target.is_ipv4()
        };
        u8::try_from(self.setup.listeners.iter().position(fits)?).ok()
    }
}

/// What an INVITE carries besides its dialog: who calls, what we can do, private headers.
fn invite_headers(writer: &mut Writer<'_>, call: &Call, host: &str) {
    match &call.caller_id {
        // RFC 3325: to peers inside our trust domain, which carriers and trunks are.
        CallerId::Shown(number) => {
            writer.header_fmt(HeaderName::PAssertedIdentity, format_args!("<sip:{number}@{host}>"));
        }
        CallerId::Private => {
            writer.header(HeaderName::Privacy, "id");
        }
    }
    writer.header(HeaderName::Allow, super::request::ALLOW);
    writer.header(HeaderName::Accept, SDP);
    writer.header(HeaderName::UserAgent, USER_AGENT);
    for (name, value) in call.headers.iter() {
        writer.header_named(name, value);
    }
}
