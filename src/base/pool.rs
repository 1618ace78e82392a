//! A pool of a fixed number of slots, with generations: a key to a freed slot finds nothing.

/// A slot and the generation in which it was filled. Never zero as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    slot: u32,
    generation: u32,
}

impl Key {
    /// The key as one number, for cookies and messages between threads.
    pub const fn to_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// Reads [`Key::to_u64`] back. A made-up number gives a key that finds nothing, or the wrong
    /// slot's present tenant: never send keys to strangers.
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are taken apart")]
    pub const fn from_u64(number: u64) -> Self {
        Self { slot: number as u32, generation: (number >> 32) as u32 }
    }

    /// The slot's index, below the pool's capacity.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    next_free: u32,
    value: Option<T>,
}

/// At most `capacity` values of `T`. Insertion and removal never allocate once the pool is warm:
/// the slots are one vector with its capacity reserved at the start.
#[derive(Debug)]
pub struct Pool<T> {
    slots: Vec<Slot<T>>,
    capacity: usize,
    first_free: u32,
    len: usize,
}

const NONE: u32 = u32::MAX;

impl<T> Pool<T> {
    /// A pool for at most `capacity` values. Memory is reserved now and touched as slots fill.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity < NONE as usize);
        Self { slots: Vec::with_capacity(capacity), capacity, first_free: NONE, len: 0 }
    }

    /// Stores a value, or gives it back when the pool is full.
    pub fn insert(&mut self, value: T) -> Result<Key, T> {
        if self.first_free == NONE {
            if self.slots.len() == self.capacity {
                return Err(value);
            }
            #[expect(clippy::cast_possible_truncation, reason = "capacity is below u32::MAX")]
            let slot = self.slots.len() as u32;
            self.slots.push(Slot { generation: 1, next_free: NONE, value: Some(value) });
            self.len += 1;
            return Ok(Key { slot, generation: 1 });
        }
        let index = self.first_free;
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.value.is_none());
        self.first_free = slot.next_free;
        slot.value = Some(value);
        self.len += 1;
        Ok(Key { slot: index, generation: slot.generation })
    }

    /// Takes a value out; its key is dead from now on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        // Generation 0 is never given out, so that a zeroed number finds nothing.
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        slot.next_free = self.first_free;
        self.first_free = key.slot;
        self.len -= 1;
        Some(value)
    }

    /// Ends a value where it lies, without moving it out; its key is dead from now on. Whether
    /// there was one.
    pub fn discard(&mut self, key: Key) -> bool {
        let Some(slot) = self.slots.get_mut(key.slot as usize) else { return false };
        if slot.generation != key.generation || slot.value.is_none() {
            return false;
        }
        slot.value = None;
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        slot.next_free = self.first_free;
        self.first_free = key.slot;
        self.len -= 1;
        true
    }

    /// The value of a live key.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation == key.generation { slot.value.as_mut() } else { None }
    }

    /// The value of a live key.
    pub fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.slot as usize)?;
        if slot.generation == key.generation { slot.value.as_ref() } else { None }
    }

    /// Two different values at once; `None` if the keys name the same slot or either is dead.
    pub fn pair_mut(&mut self, a: Key, b: Key) -> Option<(&mut T, &mut T)> {
        if self.get(a).is_none() || self.get(b).is_none() {
            return None;
        }
        let [a, b] = self.slots.get_disjoint_mut([a.slot(), b.slot()]).ok()?;
        Some((a.value.as_mut()?, b.value.as_mut()?))
    }

    /// All live values with their keys, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let key = Key { slot: u32::try_from(index).ok()?, generation: slot.generation };
            slot.value.as_ref().map(|value| (key, value))
        })
    }

    /// The key of the value in a slot, if the slot holds one; to walk a pool that changes.
    pub fn key_at(&self, slot: usize) -> Option<Key> {
        let entry = self.slots.get(slot)?;
        let key = Key { slot: u32::try_from(slot).ok()?, generation: entry.generation };
        entry.value.is_some().then_some(key)
    }

    /// Slots that hold a value or once held one; keys lie below.
    pub const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// How many values are live.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no value is live.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many values fit.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discarded_value_is_dropped_and_its_key_is_dead() {
        let mut pool = Pool::new(1);
        let shared = std::sync::Arc::new(());
        let key = pool.insert(std::sync::Arc::clone(&shared)).expect("room");
        assert!(pool.discard(key) && !pool.discard(key));
        assert_eq!((std::sync::Arc::strong_count(&shared), pool.len()), (1, 0));
        assert!(pool.get(key).is_none());
        let again = pool.insert(shared).expect("the slot is free again");
        assert_ne!(again, key);
    }

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut pool = Pool::new(2);
        let a = pool.insert("a").expect("room");
        let b = pool.insert("b").expect("room");
        assert_eq!(pool.insert("c"), Err("c"));
        assert_eq!(pool.remove(a), Some("a"));
        let c = pool.insert("c").expect("room");
        assert_eq!(c.slot(), a.slot());
        assert_eq!(pool.get(a), None);
        assert_eq!(pool.remove(a), None);
        assert_eq!(pool.get(c), Some(&"c"));
        assert_eq!(Key::from_u64(c.to_u64()), c);
        assert!(pool.pair_mut(b, c).is_some());
        assert!(pool.pair_mut(b, b).is_none());
        assert_eq!(pool.len(), 2);
        assert_eq!(pool.get(Key::from_u64(0)), None);
    }
}
