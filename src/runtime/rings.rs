//! The rings that join threads, and the near ends that each of them holds.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use crate::base::id::ShardId;
use crate::base::packet::SipPath;
use crate::control::service::Shards;
use crate::link::{ControlLink, ToControl, ToShard};
use crate::net::{Mail, mail};
use crate::sys::wake::{AsyncSleeper, Sleeper, Waker};

/// Wakers of all shards, known once their backends are built.
pub(super) type Wakers = Arc<OnceLock<Vec<Waker>>>;

/// A shard's end of the rings to control.
pub(super) struct ControlEnd {
    pub(super) words: rtrb::Producer<ToControl>,
    pub(super) waker: Waker,
}

impl ControlLink for ControlEnd {
    fn send(&mut self, word: ToControl) -> Result<(), ToControl> {
        let sent = self.words.push(word).map_err(|rtrb::PushError::Full(word)| word);
        self.waker.wake();
        sent
    }

    fn has_room(&self) -> bool {
        !self.words.is_full()
    }
}

/// Control's ends of the rings to all shards.
pub(super) struct ShardEnds {
    pub(super) sleeper: AsyncSleeper,
    pub(super) from: Vec<rtrb::Consumer<ToControl>>,
    pub(super) to: Vec<rtrb::Producer<ToShard>>,
    pub(super) wakers: Wakers,
    /// Which shard is looked at first, so that none is starved.
    pub(super) turn: usize,
}

impl ShardEnds {
    /// Control's ends, with the descriptor registered on the runtime that is running.
    pub(super) fn new(
        sleeper: Sleeper,
        from: Vec<rtrb::Consumer<ToControl>>,
        to: Vec<rtrb::Producer<ToShard>>,
        wakers: Wakers,
    ) -> std::io::Result<Self> {
        Ok(Self { sleeper: sleeper.into_async()?, from, to, wakers, turn: 0 })
    }

    fn next(&mut self) -> Option<ToControl> {
        for step in 0..self.from.len() {
            let shard = (self.turn + step) % self.from.len();
            if let Ok(word) = self.from[shard].pop() {
                self.turn = shard + 1;
                return Some(word);
            }
        }
        None
    }
}

impl Shards for ShardEnds {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<ToControl>> {
        loop {
            if let Some(word) = self.next() {
                return Poll::Ready(Some(word));
            }
            // A word that came before the waking is found by the look that follows it.
            if std::task::ready!(self.sleeper.poll_woken(context)).is_err() {
                return Poll::Ready(None);
            }
        }
    }

    fn send(&mut self, shard: ShardId, word: ToShard) -> Result<(), ToShard> {
        let index = usize::from(shard.0);
        let Some(ring) = self.to.get_mut(index) else { return Ok(()) };
        ring.push(word).map_err(|rtrb::PushError::Full(word)| word)?;
        if let Some(waker) = self.wakers.get().and_then(|wakers| wakers.get(index)) {
            waker.wake();
        }
        Ok(())
    }

    fn count(&self) -> u16 {
        u16::try_from(self.to.len()).unwrap_or(u16::MAX)
    }
}

/// Where a shard's letters go: the stream thread and the other shards.
pub(super) struct Post {
    pub(super) streams: Option<(mail::Sender, Arc<OnceLock<Waker>>)>,
    pub(super) shards: Vec<Option<mail::Sender>>,
    pub(super) wakers: Wakers,
}

impl Mail for Post {
    fn stream(&mut self, path: SipPath, cookie: u64, bytes: &[u8]) -> bool {
        let Some((ring, waker)) = &mut self.streams else { return false };
        let sent = ring.message(path, cookie, bytes);
        if let Some(waker) = waker.get() {
            waker.wake();
        }
        sent
    }

    fn hand_over(&mut self, shard: ShardId, path: SipPath, bytes: &[u8]) -> bool {
        let index = usize::from(shard.0);
        let Some(Some(ring)) = self.shards.get_mut(index) else { return false };
        let sent = ring.message(path, 0, bytes);
        if let Some(waker) = self.wakers.get().and_then(|wakers| wakers.get(index)) {
            waker.wake();
        }
        sent
    }
}
