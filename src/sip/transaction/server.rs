//! The server machine of requests other than INVITE (RFC 3261 figure 8).

use super::state::{Server, State};
use super::table::Table;
use crate::base::packet::Outbox;
use crate::base::pool::Key;
use crate::base::time::Instant;

impl Table {
    /// The owner answered, and the answer was sent or not.
    pub(super) fn answered(&mut self, now: Instant, key: Key, status: u16, sent: bool) {
        if status < 200 {
            self.set_state(key, State::Server(Server::Proceeding));
            return;
        }
        self.set_state(key, State::Server(Server::Completed));
        let reliable = self.transactions.get(key).is_some_and(|t| t.is_reliable());
        if reliable && !sent {
            // Nobody will ask for it again over a stream: try until the queue has room.
            self.set_repeat(now, key, self.timers.t1);
            self.set_end(now, key, self.timers.j(false));
        } else {
            self.set_end(now, key, self.timers.j(reliable));
        }
    }

    /// A response that the stream's queue did not take.
    pub(super) fn repeat_response(&mut self, now: Instant, key: Key, out: &mut dyn Outbox) {
        let sent = self.send_again(key, out);
        let Some(transaction) = self.transactions.get(key) else {
            return;
        };
        if sent && transaction.is_reliable() {
            self.remove(key);
        } else if !sent {
            let pause = self.timers.doubled_to_t2(transaction.pause);
            self.set_repeat(now, key, pause);
        }
    }
}
