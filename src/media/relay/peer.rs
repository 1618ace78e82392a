//! What a leg learns of its peer besides RTP to pass on: the address that it sends from, and RTCP.
//!
//! Path: media::relay -> here -> media::report

use super::{Relay, port_above};
use crate::base::counter::Counter;
use crate::base::packet::{Frame, Outbox, Route};
use crate::base::time::Instant;
use crate::media::source::{Endpoint, canonical};
use crate::wire::rtcp::{Compound, Packet};
use crate::wire::rtp::Header;

impl Relay {
    /// Lets a packet count towards a lock, and locks.
    pub(super) fn learn(&mut self, now: Instant, slot: usize, source: Endpoint, frame: &Frame<'_>) {
        let (incoming, leg) = (&mut self.incoming[slot], &mut self.legs[slot]);
        if leg.learner.is_over(now) {
            incoming.flags.learning = false;
            return;
        }
        let Ok(header) = Header::parse(frame.bytes()) else {
            return;
        };
        let negotiated = incoming.payload(header.payload_type).is_some();
        if !negotiated || !leg.learner.observe(source, &header) {
            return;
        }
        incoming.flags.learning = false;
        if source == incoming.source {
            return;
        }
        let rtp = canonical(frame.source);
        incoming.source = source;
        self.outgoing[slot].destination = rtp;
        let control = &mut leg.control;
        if incoming.flags.mux {
            control.destination = rtp;
        } else if control.destination.ip() != rtp.ip() {
            // The signalled RTCP address is behind the NAT too: the usual neighbour, until the
            // peer's own RTCP shows the port.
            control.destination = port_above(rtp);
            control.source = Endpoint::new(control.destination);
        }
    }

    /// Takes in RTCP of the peer's. It is never passed on.
    pub(super) fn read_control(
        &mut self,
        now: Instant,
        slot: usize,
        on_control_port: bool,
        frame: &Frame<'_>,
    ) -> Counter {
        let (incoming, leg) = (&mut self.incoming[slot], &mut self.legs[slot]);
        let control = &mut leg.control;
        let source = Endpoint::new(frame.source);
        let muxed = incoming.flags.mux && !on_control_port;
        let expected = if muxed { incoming.source } else { control.source };
        let compound = Compound::new(frame.bytes());
        // A NAT'd peer's RTCP port: from the locked address, in the name of its RTP stream.
        let learns = !muxed
            && control.learning
            && !incoming.flags.learning
            && source.same_address(&incoming.source)
            && incoming.ssrc().is_some()
            && sender(compound.clone()) == incoming.ssrc();
        if source != expected && !learns {
            incoming.refused.strangers = incoming.refused.strangers.wrapping_add(1);
            return Counter::RtpStranger;
        }
        if !compound.is_valid() {
            incoming.refused.malformed = incoming.refused.malformed.wrapping_add(1);
            return Counter::RtpMalformed;
        }
        if learns {
            control.learning = false;
            control.source = source;
            control.destination = canonical(frame.source);
        }
        control.read(now, compound, self.outgoing[slot].ssrc);
        Counter::RtcpReceived
    }

    /// Sends a report, with a BYE if it is the last.
    pub(super) fn send_control(
        &mut self,
        now: Instant,
        slot: usize,
        is_last: bool,
        out: &mut dyn Outbox,
    ) {
        let (incoming, outgoing) = (&mut self.incoming[slot], &self.outgoing[slot]);
        let leg = &mut self.legs[slot];
        let to = leg.control.destination;
        let (Some(ports), true) = (leg.ports, incoming.flags.negotiated) else {
            return;
        };
        if to.port() == 0 || to.ip().is_unspecified() {
            return;
        }
        let from = if incoming.flags.mux { ports.rtp() } else { ports.rtcp() };
        let mut write =
            |buffer: &mut [u8]| leg.control.write(now, incoming, outgoing, is_last, buffer);
        if out.send(Route::Media { from, to }, &mut write) {
            self.counters.count(Counter::RtcpSent);
        }
    }
}

/// The reporter of a valid compound's first packet.
fn sender(mut compound: Compound<'_>) -> Option<u32> {
    if !compound.is_valid() {
        return None;
    }
    match compound.next()?.ok()? {
        Packet::SenderReport { sender, .. } | Packet::ReceiverReport { sender, .. } => Some(sender),
        _ => None,
    }
}
