//! What a datagram is, by its first bytes (RFC 7983, RFC 5761).
//!
//! Path: net -> here -> shard::ingress

/// Kinds of datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text that begins like a SIP message.
    Sip,
    /// Nothing but line breaks, NULs or no bytes: keeps a NAT binding open.
    KeepAlive,
    /// STUN.
    Stun,
    /// RTP, or SRTP.
    Rtp,
    /// RTCP, or SRTCP.
    Rtcp,
    /// DTLS.
    Dtls,
    /// None of these.
    Other,
}

/// The kind of a datagram. It is a guess by shape: what it names may still be malformed.
#[inline]
pub fn classify(bytes: &[u8]) -> Kind {
    match *bytes {
        // Version 2 in the two top bits. RTCP packet types are 192 to 223 where RTP has the
        // marker and a payload type of 64 to 95, which is therefore never used (RFC 5761 §4).
        [128..=191, 192..=223, ..] => Kind::Rtcp,
        [128..=191, ..] => Kind::Rtp,
        // The first line may follow line breaks (RFC 3261 §7.5).
        [b'\r' | b'\n' | 0, ..] | [] if is_blank(bytes) => Kind::KeepAlive,
        [0..=3, ..] if bytes.len() >= 20 => Kind::Stun,
        [20..=63, 0xfe, ..] => Kind::Dtls,
        [b'\r', b'\n', ..] => Kind::Sip,
        [first, ..] if first.is_ascii_graphic() => Kind::Sip,
        _ => Kind::Other,
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.len() <= 64 && bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b' ' | 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_kinds_apart() {
        for (bytes, kind) in [
            (&b""[..], Kind::KeepAlive),
            (b"\r\n\r\n", Kind::KeepAlive),
            (b"\0\0\0\0", Kind::KeepAlive),
            (b"\r\n\r\nINVITE sip:a@b SIP/2.0\r\n", Kind::Sip),
            (b"SIP/2.0 200 OK\r\n", Kind::Sip),
            (b"!odd sip:a SIP/2.0\r\n", Kind::Sip),
            (&[0x80, 0, 0, 1], Kind::Rtp),
            (&[0x80, 0x80 | 101, 0, 1], Kind::Rtp),
            (&[0x81, 200, 0, 6], Kind::Rtcp),
            (&[0x80, 206, 0, 6], Kind::Rtcp),
            (&[22, 0xfe, 0xfd, 0], Kind::Dtls),
            (&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], Kind::Stun),
            (&[0, 1], Kind::Other),
            (&[0xff; 8], Kind::Other),
            (&[0x40, 1, 2], Kind::Sip),
        ] {
            assert_eq!(classify(bytes), kind, "{bytes:?}");
        }
    }
}
