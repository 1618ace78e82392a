//! A hash table for keys that strangers choose: keyed SipHash, a fixed capacity, no growth.

use std::hash::{Hash, Hasher as _};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use siphasher::sip128::{self, Hasher128};

use crate::base::rng::Rng;

/// Secret key of the hash, drawn once; an attacker who cannot guess it cannot pile keys into one
/// bucket.
#[derive(Clone, Copy, Debug)]
pub struct HashKey(u64, u64);

impl HashKey {
    /// A fresh secret.
    pub fn new(rng: &mut Rng) -> Self {
        Self(rng.next_u64(), rng.next_u64())
    }

    /// The same in every process and on every shard; only for spreading, never for tables.
    pub const FIXED: Self = Self(0x6361_7272_6963_6b21, 0x7368_6172_6473_2121);

    /// The keyed hash of `key`.
    pub fn hash<K: Hash + ?Sized>(self, key: &K) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        key.hash(&mut hasher);
        hasher.finish()
    }

    /// The keyed hash of `key`, twice as long: for what is told apart by its hash alone.
    pub fn hash128<K: Hash + ?Sized>(self, key: &K) -> u128 {
        let mut hasher = sip128::SipHasher13::new_with_keys(self.0, self.1);
        key.hash(&mut hasher);
        hasher.finish128().as_u128()
    }
}

/// A multimap-free map from the hash of something to a small value. It stores no keys: the caller
/// says, given a candidate value, whether it is the one (`is_match`), because the key lives in
/// the pool that the value points into.
#[derive(Debug)]
pub struct Index<V> {
    table: HashTable<(u64, V)>,
    capacity: usize,
    key: HashKey,
}

impl<V: Copy> Index<V> {
    /// An index for at most `capacity` entries, allocated now.
    ///
    /// The table has twice the room: what removals leave behind is then cleared in place. A table
    /// more than half full would grow instead.
    pub fn new(capacity: usize, key: HashKey) -> Self {
        Self { table: HashTable::with_capacity(capacity * 2), capacity, key }
    }

    /// The hash under which `key` is filed.
    pub fn hash<K: Hash + ?Sized>(&self, key: &K) -> u64 {
        self.key.hash(key)
    }

    /// The value filed under `hash` for which `is_match` holds.
    pub fn find(&self, hash: u64, mut is_match: impl FnMut(V) -> bool) -> Option<V> {
        self.table.find(hash, |(h, v)| *h == hash && is_match(*v)).map(|(_, v)| *v)
    }

    /// Files a value. `false`: the index is full and nothing was stored.
    pub fn insert(&mut self, hash: u64, value: V) -> bool {
        if self.table.len() >= self.capacity {
            return false;
        }
        self.table.insert_unique(hash, (hash, value), |(h, _)| *h);
        true
    }

    /// Takes the matching entry out; whether there was one.
    pub fn remove(&mut self, hash: u64, mut is_match: impl FnMut(V) -> bool) -> bool {
        match self.table.find_entry(hash, |(h, v)| *h == hash && is_match(*v)) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// Entries filed.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is filed.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Removal leaves marks in a hash table that take room until it is rehashed.
    #[test]
    fn never_grows_however_often_it_is_full() {
        for capacity in [1, 3, 28, 100, 448, 1000] {
            let mut rng = Rng::from_number(capacity);
            let mut index = Index::new(usize::try_from(capacity).expect("small"), HashKey::FIXED);
            let size = index.table.allocation_size();
            let mut filed = Vec::new();
            for number in 0..20_000u64 {
                let hash = index.hash(&number);
                if index.insert(hash, number) {
                    filed.push((hash, number));
                } else {
                    let at = usize::try_from(rng.below(capacity)).expect("small");
                    let (hash, number) = filed.swap_remove(at);
                    assert!(index.remove(hash, |found| found == number));
                }
                assert_eq!(index.table.allocation_size(), size, "{capacity} after {number}");
            }
        }
    }

    #[test]
    fn finds_by_hash_and_match_only() {
        let mut index = Index::new(2, HashKey::new(&mut Rng::from_number(1)));
        let names = ["alpha", "beta"];
        for (i, name) in names.iter().enumerate() {
            assert!(index.insert(index.hash(name), i));
        }
        assert!(!index.insert(index.hash("gamma"), 2));
        let find = |name: &str| index.find(index.hash(name), |i| names[i] == name);
        assert_eq!(find("beta"), Some(1));
        assert_eq!(find("gamma"), None);
        let hash = index.hash("beta");
        assert!(index.remove(hash, |i| i == 1));
        assert!(!index.remove(hash, |i| i == 1));
        assert_eq!(index.len(), 1);
    }
}
