//! One seeded generator a shard. In a running edge the seed is the kernel's; in the simulator it
//! is the run's number, so that every identifier replays.

/// ChaCha20-free, fast-key-erasure-free: SipHash-2-4 in counter mode under a secret 128-bit key.
/// Its output decides tags, branches, nonces and ports, so it must not be guessed from what
/// Carrick sends; a keyed pseudo-random function over a counter gives that.
#[derive(Clone, Debug)]
pub struct Rng {
    key: (u64, u64),
    counter: u64,
}

impl Rng {
    /// A generator whose whole stream follows from `seed`.
    pub fn new(seed: [u8; 16]) -> Self {
        let (a, b) = seed.split_at(8);
        let word = |half: &[u8]| half.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        Self { key: (word(a), word(b)), counter: 0 }
    }

    /// A generator from a small number; for simulations and tests.
    pub fn from_number(seed: u64) -> Self {
        Self { key: (seed, 0x4361_7272_6963_6b00), counter: 0 }
    }

    /// A new generator of its own stream, drawn from this one.
    pub fn fork(&mut self) -> Self {
        Self { key: (self.next_u64(), self.next_u64()), counter: 0 }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        use std::hash::Hasher as _;
        let mut hasher = siphasher::sip::SipHasher24::new_with_keys(self.key.0, self.key.1);
        hasher.write_u64(self.counter);
        self.counter = self.counter.wrapping_add(1);
        hasher.finish()
    }

    /// A number below `bound` (which is not zero), without bias worth naming.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0);
        let product = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// True `numerator` times in `denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A SIP token of `N` characters from 32 letters and digits: five random bits each.
    pub fn token<const N: usize>(&mut self) -> crate::base::bounded::Text<N> {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut token = crate::base::bounded::Text::new();
        let mut word = 0;
        for index in 0..N {
            if index % 12 == 0 {
                word = self.next_u64();
            }
            token.push(char::from(ALPHABET[usize::try_from(word & 31).unwrap_or(0)]));
            word >>= 5;
        }
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_stream() {
        let (mut a, mut b) = (Rng::from_number(7), Rng::from_number(7));
        assert_eq!(a.bytes::<33>(), b.bytes::<33>());
        assert_ne!(a.fork().next_u64(), Rng::from_number(8).next_u64());
        assert_eq!(a.token::<24>().len(), 24);
        assert!((0..1000).all(|_| b.below(7) < 7));
    }
}
