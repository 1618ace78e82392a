//! The seam as a shard of the simulated edge sees it: an outbox and a ring to control that only
//! take notes.

use crate::base::limits::DATAGRAM_BYTES_MAX;
use crate::base::packet::{MediaPort, Outbox, Route};
use crate::base::rng::Rng;
use crate::link::{ControlLink, ToControl};

/// What a shard did with the outbox, in order.
#[derive(Debug)]
pub(super) enum Step {
    Send(Route, Vec<u8>),
    Open(MediaPort),
    Close(MediaPort),
}

/// What a shard did in one turn.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) steps: Vec<Step>,
    /// Where this is something, now and then a port cannot be had and a datagram has no room.
    clogged: Option<Rng>,
}

impl Sent {
    pub(super) const fn new(clogged: Option<Rng>) -> Self {
        Self { steps: Vec::new(), clogged }
    }

    fn refuses(&mut self) -> bool {
        self.clogged.as_mut().is_some_and(|rng| rng.chance(1, 20))
    }
}

impl Outbox for Sent {
    fn send(&mut self, route: Route, write: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        // What a stream has no room for is told by a notice, not here.
        let on_stream = matches!(route, Route::Sip { path, .. } if path.transport.is_reliable());
        if !on_stream && !matches!(route, Route::HandOver { .. }) && self.refuses() {
            return false;
        }
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let length = write(&mut buffer);
        if length > 0 {
            buffer.truncate(length);
            self.steps.push(Step::Send(route, buffer));
        }
        true
    }

    fn open(&mut self, port: MediaPort) -> bool {
        if self.refuses() {
            return false;
        }
        self.steps.push(Step::Open(port));
        true
    }

    fn close(&mut self, port: MediaPort) {
        self.steps.push(Step::Close(port));
    }
}

/// The ring to control.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) words: Vec<ToControl>,
    room: usize,
}

impl Link {
    pub(super) const fn new(room: usize) -> Self {
        Self { words: Vec::new(), room }
    }
}

impl ControlLink for Link {
    fn send(&mut self, word: ToControl) -> Result<(), ToControl> {
        if self.words.len() >= self.room {
            return Err(word);
        }
        self.words.push(word);
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.words.len() < self.room
    }
}
