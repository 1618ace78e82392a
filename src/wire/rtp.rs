//! RTP headers (RFC 3550 §5.1): checked once, then plain values; and the rewrite in place.
//!
//! Path: shard::ingress -> here -> media::relay

/// Bytes of the fixed RTP header.
pub const HEADER_BYTES: usize = 12;

/// Bytes that are not what they should be. The sender is at fault; the packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Offset of the first byte that is wrong or missing.
    pub at: usize,
    /// What is wrong.
    pub why: &'static str,
}

/// The fixed header of a packet whose lengths were all checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The M bit.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp, in units of the payload type's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Bytes of payload: without header, CSRC list, extension and padding.
    pub payload_bytes: u16,
}

/// Whether a datagram on a port that carries both is RTCP: its packet type is 192 to 223
/// (RFC 5761 §4). `false` for what is too short to tell.
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [_, 192..=223, ..])
}

impl Header {
    /// Reads and checks a datagram: version 2, and CSRC list, extension and padding within it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let Some(fixed) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Malformed { at: bytes.len(), why: "shorter than an RTP header" });
        };
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if first >> 6 != 2 {
            return Err(Malformed { at: 0, why: "not RTP version 2" });
        }
        let payload_bytes =
            if first & 0x3f == 0 { bytes.len() - HEADER_BYTES } else { payload_bytes(bytes)? };
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload_bytes: u16::try_from(payload_bytes)
                .map_err(|_| Malformed { at: 0xffff, why: "longer than a datagram" })?,
        })
    }
}

/// What the relay writes over the fixed header; the rest of the packet stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The M bit.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl Rewrite {
    /// Writes over the header of a packet that [`Header::parse`] accepted.
    pub fn apply(self, bytes: &mut [u8]) {
        let Some(fixed) = bytes.first_chunk_mut::<HEADER_BYTES>() else {
            return;
        };
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [c0, c1, c2, c3] = self.ssrc.to_be_bytes();
        let second = self.payload_type & 0x7f | u8::from(self.marker) << 7;
        *fixed = [fixed[0], second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3];
    }
}

/// The payload's length in a packet that has CSRCs, an extension or padding.
fn payload_bytes(bytes: &[u8]) -> Result<usize, Malformed> {
    let first = bytes[0];
    let mut at = HEADER_BYTES + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let Some([_, _, high, low]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>())
        else {
            return Err(Malformed { at: bytes.len(), why: "header extension is cut off" });
        };
        at += 4 + 4 * usize::from(u16::from_be_bytes([*high, *low]));
    }
    let padding = match bytes {
        [.., last] if first & 0x20 != 0 => usize::from(*last),
        _ => 0,
    };
    if first & 0x20 != 0 && padding == 0 {
        return Err(Malformed { at: bytes.len() - 1, why: "padding of no bytes" });
    }
    bytes
        .len()
        .checked_sub(at + padding)
        .ok_or(Malformed { at: bytes.len(), why: "lists or padding reach past the end" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0x80 | 8, 0x12, 0x34, 0, 0, 0, 7, 0xde, 0xad, 0xbe, 0xef];
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn reads_the_fixed_header() {
        let header = Header::parse(&packet(0x80, &[0; 160])).expect("good packet");
        let expected = Header {
            marker: true,
            payload_type: 8,
            sequence: 0x1234,
            timestamp: 7,
            ssrc: 0xdead_beef,
            payload_bytes: 160,
        };
        assert_eq!(header, expected);
    }

    #[test]
    fn counts_what_is_not_payload() {
        // One CSRC, an extension of one word, two bytes of padding, three of payload.
        let rest = [1, 1, 1, 1, 0xbe, 0xde, 0, 1, 9, 9, 9, 9, 5, 5, 5, 0, 2];
        assert_eq!(Header::parse(&packet(0xb1, &rest)).map(|h| h.payload_bytes), Ok(3));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        for short in 0..HEADER_BYTES {
            assert!(Header::parse(&packet(0x80, &[])[..short]).is_err());
        }
        assert!(Header::parse(&packet(0x40, &[])).is_err(), "version 1");
        assert!(Header::parse(&packet(0x8f, &[0; 59])).is_err(), "15 CSRCs need 60 bytes");
        assert!(Header::parse(&packet(0x90, &[0, 0, 0])).is_err(), "extension header cut");
        assert!(Header::parse(&packet(0x90, &[0, 0, 0xff, 0xff])).is_err(), "extension past end");
        assert!(Header::parse(&packet(0xa0, &[1, 0])).is_err(), "padding count zero");
        assert!(Header::parse(&packet(0xa0, &[1, 3])).is_err(), "padding into the header");
        assert!(Header::parse(&packet(0xa0, &[1, 2])).is_ok());
    }

    #[test]
    fn rewrites_only_the_fixed_header() {
        let mut bytes = packet(0x91, &[7, 7, 7, 7, 0, 0, 0, 0, 42]);
        let tail = bytes[HEADER_BYTES..].to_vec();
        let new =
            Rewrite { marker: false, payload_type: 101, sequence: 9, timestamp: 10, ssrc: 11 };
        new.apply(&mut bytes);
        let header = Header::parse(&bytes).expect("still good");
        assert_eq!((header.marker, header.payload_type, header.sequence), (false, 101, 9));
        assert_eq!((header.timestamp, header.ssrc, header.payload_bytes), (10, 11, 1));
        assert_eq!((bytes[0], &bytes[HEADER_BYTES..]), (0x91, &tail[..]));
    }

    #[test]
    fn tells_rtcp_from_rtp_by_packet_type() {
        assert!(is_rtcp(&[0x80, 200]) && is_rtcp(&[0x80, 223]));
        assert!(!is_rtcp(&[0x80, 191]) && !is_rtcp(&[0x80, 224]) && !is_rtcp(&[0x80]));
    }
}
