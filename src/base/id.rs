//! Identifiers that travel between rooms.

use std::fmt;

/// One core's world. Shards are numbered from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// A call on its shard: a pool slot and the generation that makes a stale reference fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallRef {
    /// The shard that owns the call.
    pub shard: ShardId,
    /// Slot and generation in that shard's call pool.
    pub key: crate::base::pool::Key,
}

/// Carrick's own name of a call, the same in callbacks, CDRs and REST: 36 characters, UUID shape.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId([u8; 16]);

impl CallId {
    /// A version 7 UUID (RFC 9562 §5.7): 48 bits of wall-clock milliseconds, then random bits, so
    /// that ids sort by time and cannot be guessed.
    pub fn new(wall_ms: u64, random: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&wall_ms.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = bytes[6] & 0x0f | 0x70;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The 36 ASCII characters.
    pub fn text(&self) -> arrayvec::ArrayString<36> {
        let mut text = arrayvec::ArrayString::new();
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        text
    }

    /// Reads the 36-character form back.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 36 {
            return None;
        }
        let mut bytes = [0; 16];
        let mut nibbles = text.bytes().filter(|b| *b != b'-');
        for byte in &mut bytes {
            let high = char::from(nibbles.next()?).to_digit(16)?;
            let low = char::from(nibbles.next()?).to_digit(16)?;
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        let id = Self(bytes);
        (id.text().as_str() == text).then_some(id)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A stream connection (TCP, TLS) on the stream thread: slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_id_reads_back_and_sorts_by_time() {
        let early = CallId::new(1_795_466_426_123, [0xff; 10]);
        let late = CallId::new(1_795_466_426_124, [0; 10]);
        assert!(early < late);
        assert_eq!(CallId::parse(&early.text()), Some(early));
        assert_eq!(early.text().as_bytes()[14], b'7');
        assert_eq!(CallId::parse("not-a-call"), None);
    }
}
