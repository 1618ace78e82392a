//! A tap around a shard that notes every SIP message as a line of a ladder. What does not fit its
//! ring is dropped and counted; the shard never knows.

use crate::base::bounded::{Text, clipped};
use crate::base::counter::{Counter, Counters};
use crate::base::packet::{Frame, Local, MediaPort, Outbox, Route, SipPath, Transport};
use crate::base::time::Instant;
use crate::link::Trace;
use crate::wire::sip::{Framing, Message, Start};

/// The writing end of a ladder.
pub struct Tap {
    lines: rtrb::Producer<Trace>,
    counters: std::sync::Arc<Counters>,
}

impl Tap {
    /// A tap and the end that its lines are read from.
    pub fn new(lines: usize, counters: std::sync::Arc<Counters>) -> (Self, rtrb::Consumer<Trace>) {
        let (producer, consumer) = rtrb::RingBuffer::new(lines);
        (Self { lines: producer, counters }, consumer)
    }

    /// Notes the SIP messages of a burst.
    pub(super) fn burst(&mut self, at: Instant, frames: &[Frame<'_>]) {
        for frame in frames {
            if let Local::Sip(listener) = frame.local {
                let path =
                    SipPath { transport: Transport::Udp, listener, peer: frame.source, flow: None };
                self.note(at, path, frame.bytes(), true);
            }
        }
    }

    /// Notes one message.
    pub(super) fn note(&mut self, at: Instant, path: SipPath, bytes: &[u8], inbound: bool) {
        let Some(line) = line(at, path, bytes, inbound) else { return };
        if self.lines.push(line).is_err() {
            self.counters.count(Counter::TraceDropped);
        }
    }
}

/// An outbox whose SIP messages are noted.
pub(super) struct Tapped<'t> {
    pub(super) out: &'t mut dyn Outbox,
    pub(super) tap: &'t mut Tap,
    pub(super) at: Instant,
}

impl Outbox for Tapped<'_> {
    fn send(&mut self, route: Route, write: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        let Route::Sip { path, .. } = route else { return self.out.send(route, write) };
        let (tap, at) = (&mut *self.tap, self.at);
        self.out.send(route, &mut |buffer| {
            let length = write(buffer);
            tap.note(at, path, buffer.get(..length).unwrap_or_default(), false);
            length
        })
    }

    fn open(&mut self, port: MediaPort) -> bool {
        self.out.open(port)
    }

    fn close(&mut self, port: MediaPort) {
        self.out.close(port);
    }
}

fn line(at: Instant, path: SipPath, bytes: &[u8], inbound: bool) -> Option<Trace> {
    let message = Message::parse(bytes, Framing::Datagram).ok()?;
    let described = if message.body().is_empty() { "" } else { " (SDP)" };
    let mut summary = Text::<64>::new();
    // A summary that does not fit is one that nobody reads.
    let _ = match message.start() {
        Start::Request { method, .. } => {
            std::fmt::write(&mut summary, format_args!("{method}{described}"))
        }
        Start::Response { status, reason } => {
            let reason = clipped::<32>(reason);
            std::fmt::write(&mut summary, format_args!("{status} {reason}{described}"))
        }
    };
    Some(Trace {
        at,
        sip_call_id: clipped(message.call_id().unwrap_or_default()),
        inbound,
        peer: path.peer,
        transport: path.transport,
        summary,
    })
}
