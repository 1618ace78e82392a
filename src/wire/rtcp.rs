//! RTCP packets (RFC 3550 §6): a bounds-checked walk over a compound, and a writer of our own.
//!
//! Path: media::relay -> here -> media::report

use crate::wire::rtp::Malformed;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const BLOCK_BYTES: usize = 24;
const SENDER_INFO_BYTES: usize = 20;

/// What a sender says of its own stream in an SR (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// 64-bit NTP timestamp of the report.
    pub ntp: u64,
    /// The same instant in units of the media clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// What a receiver says of one stream (RFC 3550 §6.4.1, report block).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// SSRC of the stream.
    pub source: u32,
    /// Fraction lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost so far; negative where duplicates outnumber losses. 24 bits on the wire.
    pub lost: i32,
    /// Extended highest sequence number received.
    pub highest_sequence: u32,
    /// Interarrival jitter, in units of the media clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp of the last SR from the stream's sender; zero: none.
    pub last_sender_report: u32,
    /// Delay since that SR came, in 1/65536 seconds.
    pub delay_since_last: u32,
}

/// One packet of a compound.
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a> {
    /// SR.
    SenderReport {
        /// SSRC of the reporter.
        sender: u32,
        /// Its own stream.
        info: SenderInfo,
        /// The streams that it receives.
        blocks: Blocks<'a>,
    },
    /// RR.
    ReceiverReport {
        /// SSRC of the reporter.
        sender: u32,
        /// The streams that it receives.
        blocks: Blocks<'a>,
    },
    /// SDES, not looked into.
    SourceDescription,
    /// BYE.
    Goodbye {
        /// First SSRC that leaves, where the packet names any.
        source: Option<u32>,
    },
    /// A type that Carrick does not read (APP, XR, feedback).
    Other {
        /// Its packet type.
        kind: u8,
    },
}

/// The report blocks of one SR or RR, at most 31.
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a>(&'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.0.split_first_chunk::<BLOCK_BYTES>()?;
        self.0 = rest;
        let word = |at: usize| word(block, at);
        let loss = word(4);
        Some(ReportBlock {
            source: word(0),
            fraction_lost: block[4],
            // The lower 24 bits are a signed number.
            lost: (loss << 8).cast_signed() >> 8,
            highest_sequence: word(8),
            jitter: word(12),
            last_sender_report: word(16),
            delay_since_last: word(20),
        })
    }
}

/// The packets of a compound. Each step consumes at least four bytes, so that no length field
/// can hold it in place; after an error it ends.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Compound<'a> {
    /// A walk over one datagram. An empty one has no packets.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether the whole datagram is well-formed and holds at least one packet. Nothing of a
    /// datagram that fails is believed.
    pub fn is_valid(&self) -> bool {
        self.clone().next().is_some() && self.clone().all(|packet| packet.is_ok())
    }

    fn step(&mut self) -> Result<Packet<'a>, Malformed> {
        let at = self.at;
        let rest = self.bytes.get(at..).unwrap_or_default();
        self.at = self.bytes.len();
        let Some(&[first, kind, high, low]) = rest.first_chunk::<4>() else {
            return Err(Malformed { at: self.bytes.len(), why: "RTCP header is cut off" });
        };
        if first >> 6 != 2 || !(192..=223).contains(&kind) {
            return Err(Malformed { at, why: "not an RTCP packet" });
        }
        let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        let Some((packet, rest)) = rest.split_at_checked(length) else {
            return Err(Malformed { at: at + 2, why: "RTCP length reaches past the end" });
        };
        let body = match (first & 0x20 != 0, packet) {
            (true, [.., padding]) => {
                let padding = usize::from(*padding);
                let end = length.checked_sub(padding).filter(|end| *end >= 4);
                // Only the last packet of a compound may be padded (RFC 3550 §6.4.1).
                match end {
                    Some(end) if padding > 0 && rest.is_empty() => &packet[4..end],
                    _ => return Err(Malformed { at: at + length - 1, why: "RTCP padding" }),
                }
            }
            _ => &packet[4..],
        };
        self.at = at + length;
        read(kind, usize::from(first & 0x1f), body)
            .ok_or(Malformed { at: at + 4, why: "RTCP body is shorter than its count" })
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<Packet<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.at < self.bytes.len()).then(|| {
            let step = self.step();
            if step.is_err() {
                self.at = self.bytes.len();
            }
            step
        })
    }
}

/// Writes a compound into a lent buffer. A packet that does not fit is left out whole.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the front of `buffer`.
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    /// Bytes written.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Writes an SR with at most one block.
    pub fn sender_report(&mut self, sender: u32, info: &SenderInfo, block: Option<&ReportBlock>) {
        let mut body = [0; 4 + SENDER_INFO_BYTES + BLOCK_BYTES];
        body[..4].copy_from_slice(&sender.to_be_bytes());
        body[4..12].copy_from_slice(&info.ntp.to_be_bytes());
        body[12..16].copy_from_slice(&info.rtp_timestamp.to_be_bytes());
        body[16..20].copy_from_slice(&info.packets.to_be_bytes());
        body[20..24].copy_from_slice(&info.octets.to_be_bytes());
        let end = write_block(&mut body, 24, block);
        self.packet(u8::from(block.is_some()), SENDER_REPORT, &body[..end]);
    }

    /// Writes an RR with at most one block.
    pub fn receiver_report(&mut self, sender: u32, block: Option<&ReportBlock>) {
        let mut body = [0; 4 + BLOCK_BYTES];
        body[..4].copy_from_slice(&sender.to_be_bytes());
        let end = write_block(&mut body, 4, block);
        self.packet(u8::from(block.is_some()), RECEIVER_REPORT, &body[..end]);
    }

    /// Writes an SDES with the CNAME (RFC 3550 §6.5.1) of one source.
    pub fn canonical_name(&mut self, source: u32, name: &[u8; 16]) {
        // SSRC, type 1, length, name, then null bytes up to the next word boundary.
        let mut body = [0; 24];
        body[..4].copy_from_slice(&source.to_be_bytes());
        body[4..6].copy_from_slice(&[1, 16]);
        body[6..22].copy_from_slice(name);
        self.packet(1, SOURCE_DESCRIPTION, &body);
    }

    /// Writes a BYE of one source.
    pub fn goodbye(&mut self, source: u32) {
        self.packet(1, GOODBYE, &source.to_be_bytes());
    }

    fn packet(&mut self, count: u8, kind: u8, body: &[u8]) {
        debug_assert!(body.len().is_multiple_of(4));
        let rest = self.buffer.get_mut(self.length..).unwrap_or_default();
        let Some(room) = rest.get_mut(..4 + body.len()) else {
            return;
        };
        let words = u16::try_from(body.len() / 4).unwrap_or(0).to_be_bytes();
        room[..4].copy_from_slice(&[0x80 | count, kind, words[0], words[1]]);
        room[4..].copy_from_slice(body);
        self.length += room.len();
    }
}

/// Reads one packet's body; `None` where it is shorter than its count says.
fn read(kind: u8, count: usize, body: &[u8]) -> Option<Packet<'_>> {
    match kind {
        SENDER_REPORT => {
            let (sender, rest) = body.split_first_chunk::<4>()?;
            let (info, rest) = rest.split_first_chunk::<SENDER_INFO_BYTES>()?;
            Some(Packet::SenderReport {
                sender: u32::from_be_bytes(*sender),
                info: SenderInfo {
                    ntp: u64::from(word(info, 0)) << 32 | u64::from(word(info, 4)),
                    rtp_timestamp: word(info, 8),
                    packets: word(info, 12),
                    octets: word(info, 16),
                },
                blocks: Blocks(rest.get(..count * BLOCK_BYTES)?),
            })
        }
        RECEIVER_REPORT => {
            let (sender, rest) = body.split_first_chunk::<4>()?;
            let blocks = Blocks(rest.get(..count * BLOCK_BYTES)?);
            Some(Packet::ReceiverReport { sender: u32::from_be_bytes(*sender), blocks })
        }
        SOURCE_DESCRIPTION => Some(Packet::SourceDescription),
        GOODBYE => {
            let sources = body.get(..count * 4)?;
            let source = sources.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
            Some(Packet::Goodbye { source })
        }
        _ => Some(Packet::Other { kind }),
    }
}

fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Writes the block at `at`, if there is one, and says where it ends.
fn write_block(body: &mut [u8], at: usize, block: Option<&ReportBlock>) -> usize {
    let Some(block) = block else {
        return at;
    };
    let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff).cast_unsigned() & 0xff_ffff;
    let words = [
        block.source,
        u32::from(block.fraction_lost) << 24 | lost,
        block.highest_sequence,
        block.jitter,
        block.last_sender_report,
        block.delay_since_last,
    ];
    for (chunk, word) in body[at..at + BLOCK_BYTES].chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    at + BLOCK_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const BLOCK: ReportBlock = ReportBlock {
        source: 7,
        fraction_lost: 12,
        lost: -3,
        highest_sequence: 0x0001_0203,
        jitter: 44,
        last_sender_report: 0xaabb_ccdd,
        delay_since_last: 65_536,
    };

    #[test]
    fn what_is_written_reads_back() {
        let mut buffer = [0; 200];
        let info = SenderInfo { ntp: 1 << 40 | 5, rtp_timestamp: 160, packets: 9, octets: 1440 };
        let mut writer = Writer::new(&mut buffer);
        writer.sender_report(1, &info, Some(&BLOCK));
        writer.receiver_report(2, None);
        writer.canonical_name(1, b"abcdefghijklmnop");
        writer.goodbye(1);
        let length = writer.length();
        let compound = Compound::new(&buffer[..length]);
        assert!(compound.is_valid());
        let packets: Vec<_> = compound.map(|p| p.expect("valid")).collect();
        assert_eq!(packets.len(), 4);
        let Packet::SenderReport { sender: 1, info: read, blocks } = packets[0] else {
            panic!("SR first");
        };
        assert_eq!(read, info);
        assert_eq!(blocks.collect::<Vec<_>>(), [BLOCK]);
        assert!(matches!(packets[1], Packet::ReceiverReport { sender: 2, .. }));
        assert!(matches!(packets[2], Packet::SourceDescription));
        assert!(matches!(packets[3], Packet::Goodbye { source: Some(1) }));
    }

    #[test]
    fn lengths_are_not_believed() {
        let invalid: [&[u8]; 9] = [
            &[],
            &[0x80],
            &[0x80, 201, 0, 1],
            &[0x81, 201, 0, 1, 0, 0, 0, 1],
            &[0x80, 200, 0, 1, 0, 0, 0, 1],
            &[0x82, 203, 0, 1, 0, 0, 0, 1],
            &[0xa0, 201, 0, 1, 0, 0, 0, 0],
            &[0xa0, 201, 0, 1, 0, 0, 0, 9],
            &[0x00, 201, 0, 1, 0, 0, 0, 1],
        ];
        for bytes in invalid {
            assert!(!Compound::new(bytes).is_valid(), "{bytes:?}");
        }
        // Zero lengths walk on by four bytes each and end.
        let zeros = [0x80, 210, 0, 0].repeat(100);
        assert_eq!(Compound::new(&zeros).count(), 100);
    }

    #[test]
    fn noise_never_panics_and_always_ends() {
        let mut rng = Rng::from_number(5);
        for _ in 0..20_000 {
            let mut bytes = [0u8; 96];
            rng.fill(&mut bytes);
            let length = usize::try_from(rng.below(97)).expect("small");
            if rng.chance(3, 4) && length >= 4 {
                bytes[0] = bytes[0] & 0x3f | 0x80;
                bytes[1] = 200 + bytes[1] % 4;
                bytes[2] = 0;
                bytes[3] %= 24;
            }
            let packets = Compound::new(&bytes[..length]).take(100).count();
            assert!(packets <= length / 4 + 1);
        }
    }

    #[test]
    fn a_full_buffer_leaves_the_packet_out() {
        let mut buffer = [0; 10];
        let mut writer = Writer::new(&mut buffer);
        writer.receiver_report(1, None);
        writer.goodbye(1);
        assert_eq!(writer.length(), 8);
    }
}
