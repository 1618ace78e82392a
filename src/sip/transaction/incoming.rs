//! Requests as they come in: which server transaction they belong to, if any.

use super::state::{InviteServer, Server, State, Transaction};
use super::table::{Table, Write};
use super::{Refused, RequestMatch, ServerKey, identity};
use crate::base::counter::Counter;
use crate::base::packet::{Outbox, SipPath, Transport};
use crate::base::pool::Key;
use crate::base::time::Instant;
use crate::wire::sip::{Message, Method};

impl Table {
    /// Takes every request that parsed and was validated. What matches a transaction is dealt
    /// with here; the rest is the caller's.
    pub fn receive_request(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        path: SipPath,
        out: &mut dyn Outbox,
    ) -> RequestMatch {
        let Some(method) = message.method() else {
            return RequestMatch::Absorbed;
        };
        match method {
            Method::Ack => self.receive_ack(now, message, path),
            Method::Cancel => self.receive_cancel(message, path, out),
            _ => {
                let Some(identity) = identity::server(self.hash_key, message, method) else {
                    return RequestMatch::New;
                };
                match self.find(identity) {
                    Some(key) => self.receive_again(key, out),
                    None if self.is_merged(message, method) => RequestMatch::Merged,
                    None => RequestMatch::New,
                }
            }
        }
    }

    /// Begins the server transaction of a request that was [`RequestMatch::New`] (or a CANCEL, so
    /// that its repetitions are answered here). For an INVITE the owner answers 100 at once, or
    /// something better within 200 ms (RFC 3261 §17.2.1).
    ///
    /// # Errors
    /// [`Refused::Full`]: answer 503 statelessly. [`Refused::Unwritten`] for what cannot have a
    /// server transaction: an ACK, a response.
    pub fn begin(
        &mut self,
        _now: Instant,
        message: &Message<'_>,
        path: SipPath,
        owner: u64,
    ) -> Result<ServerKey, Refused> {
        let method = message.method().ok_or(Refused::Unwritten)?;
        let identity = identity::server(self.hash_key, message, method);
        let identity = identity.filter(|_| method != Method::Ack).ok_or(Refused::Unwritten)?;
        let state = match method {
            Method::Invite => State::InviteServer(InviteServer::Proceeding),
            _ => State::Server(Server::Trying),
        };
        let mut transaction = Transaction::new(state, owner, path, identity);
        let files = method == Method::Invite || (method != Method::Cancel && !has_to_tag(message));
        if files {
            transaction.request = identity::request(self.hash_key, message, method);
        }
        transaction.sent_by_port = sent_by_port(message, path.transport);
        let key = self.insert(transaction)?;
        if !self.keep_head(key, message) {
            self.remove(key);
            self.counters.count(Counter::SipQueueFull);
            return Err(Refused::Full);
        }
        Ok(ServerKey(key))
    }

    /// Answers a request: provisionally or finally. The response is kept and sent again as the
    /// machine demands; a 2xx to INVITE until `acknowledged`, or for 64*T1.
    ///
    /// `false`: nothing was sent or changed, because the transaction is gone or was answered
    /// finally before, or `write` wrote nothing.
    pub fn respond(
        &mut self,
        now: Instant,
        server: ServerKey,
        status: u16,
        write: &mut Write<'_>,
        out: &mut dyn Outbox,
    ) -> bool {
        let key = server.0;
        let Some(transaction) = self.transactions.get(key) else {
            return false;
        };
        match transaction.state {
            State::InviteServer(InviteServer::Proceeding)
            | State::Server(Server::Trying | Server::Proceeding) => {}
            _ => return false,
        }
        let path = transaction.path;
        let is_invite = matches!(transaction.state, State::InviteServer(_));
        let length = self.write(write);
        if length == 0 {
            return false;
        }
        if status >= 200 {
            self.forget_head(key);
        }
        self.keep(key, length);
        let sent = self.send(path, key.to_u64(), length, out);
        if is_invite {
            self.invite_answered(now, key, status, length, sent);
        } else {
            self.answered(now, key, status, sent);
        }
        true
    }

    /// The request came before and is answered again, if it was answered.
    fn receive_again(&self, key: Key, out: &mut dyn Outbox) -> RequestMatch {
        self.counters.count(Counter::SipRetransmissionsReceived);
        let Some(transaction) = self.transactions.get(key) else {
            return RequestMatch::New;
        };
        match transaction.state {
            // An INVITE that was answered 2xx is answered again by the clock alone (RFC 6026
            // §7.1), and one that was acknowledged not at all.
            State::InviteServer(InviteServer::Accepted { .. } | InviteServer::Confirmed) => {}
            _ => {
                self.send_again(key, out);
            }
        }
        RequestMatch::Absorbed
    }

    fn is_merged(&self, message: &Message<'_>, method: Method<'_>) -> bool {
        if has_to_tag(message) {
            return false;
        }
        identity::request(self.hash_key, message, method)
            .is_some_and(|request| self.find_request(request).is_some())
    }

    fn receive_ack(&mut self, now: Instant, message: &Message<'_>, path: SipPath) -> RequestMatch {
        let invite = identity::server(self.hash_key, message, Method::Invite);
        if let Some(key) = invite.and_then(|invite| self.find(invite))
            && let Some(transaction) = self.transactions.get(key)
            && let State::InviteServer(state) = transaction.state
            && !matches!(state, InviteServer::Accepted { .. })
        {
            if transaction.path.peer.ip() == path.peer.ip() {
                self.invite_acknowledged(now, key, state);
            } else {
                self.counters.count(Counter::SipStray);
            }
            return RequestMatch::Absorbed;
        }
        RequestMatch::Ack { invite: self.find_accepted(message) }
    }

    /// The INVITE whose 2xx this ACK is about: same request, and our tag.
    fn find_accepted(&self, message: &Message<'_>) -> Option<(ServerKey, u64)> {
        let key = identity::request(self.hash_key, message, Method::Invite)
            .and_then(|request| self.find_request(request))?;
        let transaction = self.transactions.get(key)?;
        let accepted =
            matches!(transaction.state, State::InviteServer(InviteServer::Accepted { .. }));
        let tag = identity::tag(self.hash_key, message.to().ok()?.tag());
        (accepted && transaction.tag == tag).then_some((ServerKey(key), transaction.owner))
    }

    fn receive_cancel(
        &self,
        message: &Message<'_>,
        path: SipPath,
        out: &mut dyn Outbox,
    ) -> RequestMatch {
        let own = identity::server(self.hash_key, message, Method::Cancel);
        if let Some(key) = own.and_then(|own| self.find(own)) {
            return self.receive_again(key, out);
        }
        let invite = identity::server(self.hash_key, message, Method::Invite)
            .and_then(|invite| self.find(invite))
            .and_then(|key| {
                // A CANCEL is never challenged, so at least it comes from where the INVITE did.
                let transaction = self.transactions.get(key)?;
                let same = transaction.path.peer.ip() == path.peer.ip();
                same.then_some((ServerKey(key), transaction.owner))
            });
        RequestMatch::Cancel { invite }
    }
}

fn has_to_tag(message: &Message<'_>) -> bool {
    message.to().is_ok_and(|to| to.tag().is_some())
}

fn sent_by_port(message: &Message<'_>, transport: Transport) -> u16 {
    let default = if transport == Transport::Tls { 5061 } else { 5060 };
    message.top_via().ok().and_then(|via| via.port).unwrap_or(default)
}
