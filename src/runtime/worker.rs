//! A shard's thread: one turn after another, each reading the clock once for what is due and once
//! for what arrived.
//!
//! Path: `net::PacketIo` -> here -> `shard::Shard`

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::rings::ControlEnd;
use super::tap::{Tap, Tapped};
use crate::base::packet::Outbox;
use crate::base::time::{Duration, Instant};
use crate::link::ToShard;
use crate::net::PacketIo;
use crate::net::mail::{self, Letter};
use crate::shard::Shard;
use crate::sys::clock;

/// Letters of one ring, and words of control, that one turn takes at most, so that a full ring
/// does not hold up the packets.
const LETTERS_MAX: usize = 64;

/// The longest that a turn waits: a bound on how late a lost wake-up is noticed.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Everything that one shard's thread owns.
pub(super) struct Worker {
    pub(super) shard: Shard,
    pub(super) io: Box<dyn PacketIo + Send>,
    pub(super) control: ControlEnd,
    pub(super) words: rtrb::Consumer<ToShard>,
    /// From the stream thread and from each other shard.
    pub(super) letters: Vec<mail::Receiver>,
    pub(super) tap: Option<Tap>,
    /// How long an idle shard looks for packets before it sleeps.
    pub(super) spin: Duration,
    pub(super) stop: Arc<AtomicBool>,
}

impl Worker {
    /// Turns until the edge stops.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut busy_at = clock::now();
        while !self.stop.load(Ordering::Acquire) {
            let now = clock::now();
            let more = self.rings(now);
            let frames = self.packets(self.wait(now, busy_at, more))?;
            if more || frames > 0 {
                busy_at = now;
            }
        }
        Ok(())
    }

    /// Control's words, other threads' letters, and what is due. Whether more is waiting.
    fn rings(&mut self, now: Instant) -> bool {
        let is_due = self.shard.next_deadline().is_some_and(|deadline| deadline <= now);
        let waiting = !self.words.is_empty() || self.letters.iter().any(|ring| !ring.is_empty());
        if !is_due && !waiting {
            return false;
        }
        let Self { shard, io, control, words, letters, tap, .. } = self;
        io.outbox(&mut |out| {
            with_tap(out, tap, now, &mut |out| {
                for _ in 0..LETTERS_MAX {
                    let Ok(word) = words.pop() else { break };
                    shard.command(now, word, out, control);
                }
                for ring in letters.iter_mut() {
                    take_letters(shard, ring, now, out, control);
                }
                shard.expire(now, out, control);
            });
        });
        !self.words.is_empty() || self.letters.iter().any(|ring| !ring.is_empty())
    }

    fn packets(&mut self, wait: Duration) -> io::Result<usize> {
        let Self { shard, io, control, tap, .. } = self;
        io.poll(Some(wait), &mut |frames, out| {
            let now = clock::now();
            if let Some(tap) = tap {
                tap.burst(now, frames);
            }
            with_tap(out, tap, now, &mut |out| shard.receive(now, frames, out, control));
        })
    }

    fn wait(&self, now: Instant, busy_at: Instant, more: bool) -> Duration {
        if more || now - busy_at < self.spin {
            return Duration::ZERO;
        }
        let deadline = self.shard.next_deadline().unwrap_or(Instant::FAR);
        (deadline - now).min(WAIT_MAX)
    }
}

fn take_letters(
    shard: &mut Shard,
    ring: &mut mail::Receiver,
    now: Instant,
    out: &mut dyn Outbox,
    control: &mut ControlEnd,
) {
    for _ in 0..LETTERS_MAX {
        match ring.receive() {
            Some(Letter::Message { path, bytes, .. }) => {
                shard.receive_message(now, path, bytes, out, control);
            }
            Some(Letter::Notice(notice)) => shard.notice(now, notice, out, control),
            None => return,
        }
    }
}

/// Runs `work` with an outbox that notes what is sent, where ladders are wanted.
fn with_tap(
    out: &mut dyn Outbox,
    tap: &mut Option<Tap>,
    at: Instant,
    work: &mut dyn FnMut(&mut dyn Outbox),
) {
    match tap {
        Some(tap) => work(&mut Tapped { out, tap, at }),
        None => work(out),
    }
}
