//! A phone's ear and mouth: RTP every 20 ms with a payload that says who sent it, and a receiver
//! that knows what it must never hear.

use std::net::SocketAddr;

use super::session::Flow;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

/// Time between packets.
pub const INTERVAL: Duration = Duration::from_millis(20);
/// First bytes of every payload that a phone sends.
pub const MAGIC: &[u8; 4] = b"CRRK";
/// Bytes of RTP header.
const HEADER: usize = 12;
/// Bytes of payload: 20 ms of G.711.
const PAYLOAD: usize = 160;
/// Received packets whose content is remembered.
const MEMORY: usize = 128;
/// Sentences kept about what was wrong.
const FAULTS_MAX: usize = 4;

/// One leg's media.
#[derive(Debug)]
pub struct Media {
    /// Own address.
    pub local: SocketAddr,
    /// Where to send; `None`: nowhere.
    pub remote: Option<SocketAddr>,
    /// What this side said last.
    pub flow: Flow,
    /// Payload type to send.
    pub payload: u8,
    /// Marks every payload of this leg.
    pub identity: u64,
    /// Next packet; `None`: not sending.
    pub due: Option<Instant>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    figures: Figures,
    heard: Heard,
}

/// What a leg sent and heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Packets sent.
    pub sent: u64,
    /// Packets heard.
    pub received: u64,
    /// Packets that came twice with the same content.
    pub duplicates: u64,
    /// Sequence numbers that never came, as far as known.
    pub lost: u64,
    /// Identities of the senders heard, in order.
    pub peers: Vec<u64>,
    /// Bytes received on the port that are no media of a phone.
    pub foreign: u64,
    /// RTCP packets received.
    pub reports: u64,
    /// What must never happen, in sentences.
    pub faults: Vec<String>,
}

#[derive(Debug, Default)]
struct Heard {
    ssrc: Option<u32>,
    highest: u64,
    recent: Vec<(u16, u64)>,
}

impl Media {
    /// A leg's media on `local`.
    pub fn new(local: SocketAddr, rng: &mut Rng) -> Self {
        let ssrc = u32::from_be_bytes(rng.bytes());
        Self {
            local,
            remote: None,
            flow: Flow::SendRecv,
            payload: 0,
            identity: rng.next_u64() | 1,
            due: None,
            ssrc,
            sequence: u16::from_be_bytes(rng.bytes()),
            timestamp: u32::from_be_bytes(rng.bytes()),
            figures: Figures::default(),
            heard: Heard::default(),
        }
    }

    /// The packet that is due, if this side may send.
    pub fn packet(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        if self.due? > now {
            return None;
        }
        self.due = Some(now + INTERVAL);
        let remote = self.remote?;
        if !self.flow.sends() {
            return None;
        }
        let mut bytes = Vec::with_capacity(HEADER + PAYLOAD);
        bytes.push(0x80);
        bytes.push(self.payload | if self.figures.sent == 0 { 0x80 } else { 0 });
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(MAGIC);
        bytes.extend(self.identity.to_be_bytes());
        bytes.extend(self.figures.sent.to_be_bytes());
        bytes.resize(HEADER + PAYLOAD, 0x55);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        self.figures.sent += 1;
        Some((remote, bytes))
    }

    /// Hears a packet.
    pub fn hear(&mut self, from: SocketAddr, bytes: &[u8]) {
        if bytes.len() >= 8 && (200..=207).contains(&bytes[1]) {
            self.figures.reports += 1;
            return;
        }
        let Some(packet) = Packet::read(bytes) else {
            self.figures.foreign += 1;
            return self
                .fault(format!("{} bytes from {from} are no media of a phone", bytes.len()));
        };
        // Media may overtake the ACK that says where it comes from.
        if self.remote.is_some_and(|remote| remote != from) {
            self.fault(format!("media from {from}, which was not signalled"));
        }
        self.figures.received += 1;
        // Early media of a target that failed, then of the one that answered: whether each was
        // called for this call is for the checkers to say.
        if !self.figures.peers.contains(&packet.identity) && self.figures.peers.len() < 8 {
            self.figures.peers.push(packet.identity);
            self.heard.highest = packet.counter.saturating_sub(1);
        }
        self.follow(&packet);
    }

    /// Counts so far.
    pub const fn figures(&self) -> &Figures {
        &self.figures
    }

    /// SSRC and sequence must stay one stream whatever happens behind the edge.
    fn follow(&mut self, packet: &Packet) {
        let ssrc = *self.heard.ssrc.get_or_insert(packet.ssrc);
        if ssrc != packet.ssrc {
            self.heard.ssrc = Some(packet.ssrc);
            self.heard.recent.clear();
            self.fault(format!("SSRC changed from {ssrc:08x} to {:08x}", packet.ssrc));
        }
        let known = self.heard.recent.iter().find(|(sequence, _)| *sequence == packet.sequence);
        if let Some((_, counter)) = known {
            if *counter == packet.counter {
                self.figures.duplicates += 1;
            } else {
                let sequence = packet.sequence;
                self.fault(format!("sequence number {sequence} came with two contents"));
            }
            return;
        }
        if self.heard.recent.len() == MEMORY {
            self.heard.recent.remove(0);
        }
        self.heard.recent.push((packet.sequence, packet.counter));
        if packet.counter > self.heard.highest {
            self.figures.lost += packet.counter - self.heard.highest - 1;
            self.heard.highest = packet.counter;
        } else {
            self.figures.lost = self.figures.lost.saturating_sub(1);
        }
    }

    fn fault(&mut self, sentence: String) {
        if self.figures.faults.len() < FAULTS_MAX {
            self.figures.faults.push(sentence);
        }
    }
}

/// A phone's RTP packet, read.
struct Packet {
    sequence: u16,
    ssrc: u32,
    identity: u64,
    counter: u64,
}

impl Packet {
    fn read(bytes: &[u8]) -> Option<Self> {
        let field = |at: usize, length: usize| -> Option<u64> {
            let bytes = bytes.get(at..at + length)?;
            Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
        };
        if bytes.first()? >> 6 != 2 || bytes.get(HEADER..HEADER + 4)? != MAGIC {
            return None;
        }
        Some(Self {
            sequence: u16::try_from(field(2, 2)?).ok()?,
            ssrc: u32::try_from(field(8, 4)?).ok()?,
            identity: field(16, 8)?,
            counter: field(24, 8)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Media, Media) {
        let mut rng = Rng::from_number(1);
        let [a, b] = ["10.0.0.1:4000", "10.0.0.2:4000"].map(|a| a.parse().expect("address"));
        let (mut one, mut two) = (Media::new(a, &mut rng), Media::new(b, &mut rng));
        (one.remote, two.remote) = (Some(b), Some(a));
        one.due = Some(Instant::ZERO);
        (one, two)
    }

    #[test]
    fn counts_loss_doubles_and_order() {
        let (mut one, mut two) = pair();
        let mut now = Instant::ZERO;
        let mut packets = Vec::new();
        for _ in 0..10 {
            packets.push(one.packet(now).expect("due").1);
            assert!(one.packet(now).is_none());
            now += INTERVAL;
        }
        for i in [0usize, 1, 1, 3, 2, 7] {
            two.hear(one.local, &packets[i]);
        }
        let figures = two.figures();
        assert_eq!((figures.received, figures.duplicates, figures.lost), (6, 1, 3));
        assert!(figures.faults.is_empty(), "{:?}", figures.faults);
        assert_eq!(figures.peers, [one.identity]);
    }

    #[test]
    fn hears_what_must_not_be() {
        let (mut one, mut two) = pair();
        let (_, packet) = one.packet(Instant::ZERO).expect("due");
        two.hear(one.local, &packet);
        let mut changed = packet.clone();
        changed[31] = 9;
        two.hear(one.local, &changed);
        changed[2] = packet[2].wrapping_add(1);
        changed[9] ^= 1;
        two.hear(one.local, &changed);
        two.hear("6.6.6.6:6".parse().expect("address"), b"nonsense");
        assert_eq!(two.figures().faults.len(), 3, "{:?}", two.figures().faults);
    }
}
