//! Nonces that carry their own proof: time, shard and number, sealed with an HMAC that also
//! covers the source address. A challenge costs no memory, and a flood of them none either. Only
//! nonces that a right password used are remembered, for as long as they live.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::base::bounded::Text;
use crate::base::id::ShardId;
use crate::base::pool::{Key, Pool};
use crate::base::rng::Rng;
use crate::base::table::{HashKey, Index};
use crate::base::time::{Duration, Instant};
use crate::base::wheel::Wheel;

/// How long a nonce is good for.
pub const NONCE_LIFE: Duration = Duration::from_secs(30);

/// Milliseconds, shard, number.
const HEAD_BYTES: usize = 8 + 2 + 4;
const SEAL_BYTES: usize = 16;
const RAW_BYTES: usize = HEAD_BYTES + SEAL_BYTES;
/// Characters of a nonce.
pub(super) const NONCE_BYTES: usize = (RAW_BYTES * 4).div_ceil(3);

/// A nonce as text.
pub(super) type Nonce = Text<NONCE_BYTES>;

/// A nonce in use and the highest count that came with it.
#[derive(Clone, Copy, Debug)]
struct Use {
    head: [u8; HEAD_BYTES],
    count: u32,
}

/// Makes and judges nonces.
#[derive(Debug)]
pub(super) struct Nonces {
    shard: ShardId,
    seal: Hmac<Sha256>,
    number: u32,
    uses: Pool<Use>,
    by_head: Index<Key>,
    ends: Wheel<Key>,
}

impl Nonces {
    /// At most `capacity` nonces are remembered at once.
    pub(super) fn new(rng: &mut Rng, shard: ShardId, capacity: usize, now: Instant) -> Self {
        let secret = rng.bytes::<64>();
        Self {
            shard,
            seal: Hmac::<Sha256>::new(&secret.into()),
            number: 0,
            uses: Pool::new(capacity),
            by_head: Index::new(capacity, HashKey::new(rng)),
            ends: Wheel::new(capacity, now),
        }
    }

    /// A fresh nonce for a source.
    pub(super) fn make(&mut self, now: Instant, source: IpAddr) -> Nonce {
        let mut raw = [0; RAW_BYTES];
        self.number = self.number.wrapping_add(1);
        raw[..8].copy_from_slice(&now.as_millis().to_be_bytes());
        raw[8..10].copy_from_slice(&self.shard.0.to_be_bytes());
        raw[10..HEAD_BYTES].copy_from_slice(&self.number.to_be_bytes());
        let seal = self.sealed(&raw[..HEAD_BYTES], source);
        raw[HEAD_BYTES..].copy_from_slice(&seal);
        let mut encoded = [0; NONCE_BYTES];
        let length = URL_SAFE_NO_PAD.encode_slice(raw, &mut encoded).unwrap_or(0);
        Nonce::from(std::str::from_utf8(&encoded[..length]).unwrap_or("")).unwrap_or_default()
    }

    /// Whether this nonce is ours, for this source, still good, and `count` is higher than every
    /// one before. Remembers the count. Ask only when the password was right: what is remembered
    /// takes room.
    pub(super) fn take(&mut self, now: Instant, source: IpAddr, nonce: &str, count: u32) -> bool {
        while let Some(key) = self.ends.expire(now) {
            self.forget(key);
        }
        let Some((head, end)) = self.good(now, source, nonce) else {
            return false;
        };
        let hash = self.by_head.hash(&head);
        let is_match = |key| self.uses.get(key).is_some_and(|entry| entry.head == head);
        if let Some(key) = self.by_head.find(hash, is_match) {
            let Some(entry) = self.uses.get_mut(key) else {
                return false;
            };
            let rises = count > entry.count;
            entry.count = entry.count.max(count);
            return rises;
        }
        let Ok(key) = self.uses.insert(Use { head, count }) else {
            return false;
        };
        // Both hold as many entries as the pool, and each use is in them once.
        assert!(self.by_head.insert(hash, key));
        assert!(self.ends.set(end, key).is_some());
        true
    }

    /// Whether this nonce was given to this source and is not too old.
    pub(super) fn is_good(&self, now: Instant, source: IpAddr, nonce: &str) -> bool {
        self.good(now, source, nonce).is_some()
    }

    /// The head of such a nonce, and when it ends.
    fn good(
        &self,
        now: Instant,
        source: IpAddr,
        nonce: &str,
    ) -> Option<([u8; HEAD_BYTES], Instant)> {
        let head = self.open(nonce, source)?;
        let mut made = [0; 8];
        made.copy_from_slice(&head[..8]);
        let made = Instant::from_nanos(u64::from_be_bytes(made).saturating_mul(1_000_000));
        let end = made + NONCE_LIFE;
        (head[8..10] == self.shard.0.to_be_bytes() && now < end).then_some((head, end))
    }

    /// How many nonces are remembered.
    pub(super) const fn remembered(&self) -> usize {
        self.uses.len()
    }

    fn forget(&mut self, key: Key) {
        if let Some(entry) = self.uses.remove(key) {
            let hash = self.by_head.hash(&entry.head);
            assert!(self.by_head.remove(hash, |found| found == key));
        }
    }

    /// The head of a nonce whose seal is ours.
    fn open(&self, nonce: &str, source: IpAddr) -> Option<[u8; HEAD_BYTES]> {
        let mut raw = [0; RAW_BYTES];
        if nonce.len() != NONCE_BYTES
            || URL_SAFE_NO_PAD.decode_slice(nonce, &mut raw).ok()? != RAW_BYTES
        {
            return None;
        }
        let (head, seal) = raw.split_at(HEAD_BYTES);
        let right: bool = self.sealed(head, source).ct_eq(seal).into();
        if right { head.try_into().ok() } else { None }
    }

    fn sealed(&self, head: &[u8], source: IpAddr) -> [u8; SEAL_BYTES] {
        let mut hmac = self.seal.clone();
        hmac.update(head);
        match source.to_canonical() {
            IpAddr::V4(v4) => hmac.update(&v4.octets()),
            IpAddr::V6(v6) => hmac.update(&v6.octets()),
        }
        let mut seal = [0; SEAL_BYTES];
        seal.copy_from_slice(&hmac.finalize().into_bytes()[..SEAL_BYTES]);
        seal
    }
}
