//! The seam as a shard of the simulated edge sees it: an outbox and a ring to control that only
//! take notes.

use crate::base::limits::DATAGRAM_BYTES_MAX;
use crate::base::packet::{MediaPort, Outbox, Route};
use crate::link::{ControlLink, ToControl};

/// What a shard did with the outbox, in order.
#[derive(Debug)]
pub(super) enum Step {
    Send(Route, Vec<u8>),
    Open(MediaPort),
    Close(MediaPort),
}

/// What a shard did in one turn.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) steps: Vec<Step>,
}

impl Outbox for Sent {
    fn send(&mut self, route: Route, write: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let length = write(&mut buffer);
        if length > 0 {
            buffer.truncate(length);
            self.steps.push(Step::Send(route, buffer));
        }
        true
    }

    fn open(&mut self, port: MediaPort) -> bool {
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
