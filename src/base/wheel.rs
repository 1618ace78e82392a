//! Timers: a hierarchical wheel over a fixed pool. Setting, cancelling and firing are O(1).
//!
//! Four levels of 256 slots at 1 ms, 256 ms, 65.5 s and 4.66 h. A timer sits in the coarsest
//! level that its distance needs and moves down when that slot comes due. Timers fire no earlier
//! than their deadline and no later than the next millisecond in which `expire` is called.

use crate::base::time::Instant;

const LEVELS: usize = 4;
const SLOTS: usize = 256;
const NONE: u32 = u32::MAX;

/// A timer that was set; worthless after it fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId {
    node: u32,
    generation: u32,
}

#[derive(Debug)]
struct Node<T> {
    generation: u32,
    value: Option<T>,
    deadline_ms: u64,
    next: u32,
    previous: u32,
    list: u32,
}

/// At most `capacity` timers, each with a small value that says what is due.
#[derive(Debug)]
pub struct Wheel<T> {
    nodes: Vec<Node<T>>,
    capacity: usize,
    free: u32,
    heads: Vec<u32>,
    occupied: [[u64; SLOTS / 64]; LEVELS],
    now_ms: u64,
    len: usize,
}

impl<T: Copy> Wheel<T> {
    /// A wheel that starts at `now`.
    pub fn new(capacity: usize, now: Instant) -> Self {
        assert!(capacity < NONE as usize);
        Self {
            nodes: Vec::with_capacity(capacity),
            capacity,
            free: NONE,
            heads: vec![NONE; LEVELS * SLOTS],
            occupied: [[0; SLOTS / 64]; LEVELS],
            now_ms: now.as_millis(),
            len: 0,
        }
    }

    /// Sets a timer; `None` when the wheel is full.
    pub fn set(&mut self, deadline: Instant, value: T) -> Option<TimerId> {
        // Round up: a timer never fires early.
        let deadline_ms = deadline.as_nanos().div_ceil(1_000_000).max(self.now_ms + 1);
        let node = self.take_node(value, deadline_ms)?;
        self.link(node);
        self.len += 1;
        Some(TimerId { node, generation: self.nodes[node as usize].generation })
    }

    /// Takes a timer back. `false`: it fired or was cancelled before.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        let live = self
            .nodes
            .get(timer.node as usize)
            .is_some_and(|node| node.generation == timer.generation && node.value.is_some());
        if live {
            self.unlink(timer.node);
            self.release(timer.node);
        }
        live
    }

    /// The value of one timer that is due by `now`, or `None` when no more are. Call until `None`.
    pub fn expire(&mut self, now: Instant) -> Option<T> {
        let target_ms = now.as_millis();
        loop {
            if let Some(value) = self.pop_current() {
                return Some(value);
            }
            if self.now_ms >= target_ms {
                return None;
            }
            self.advance(target_ms);
        }
    }

    /// When `expire` should next be called: never later than the first deadline, possibly earlier
    /// (a coarse slot comes due and its timers move to a finer one).
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        let first = (0..LEVELS).filter_map(|level| self.next_slot_ms(level)).min();
        first.map(|ms| Instant::from_nanos(ms.saturating_mul(1_000_000)))
    }

    /// Timers that are set.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is set.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn pop_current(&mut self) -> Option<T> {
        let node = self.heads[Self::slot_of(0, self.now_ms)];
        if node == NONE {
            return None;
        }
        let entry = &self.nodes[node as usize];
        debug_assert!(entry.deadline_ms <= self.now_ms);
        let value = entry.value;
        self.unlink(node);
        self.release(node);
        value
    }

    /// Moves on to the next millisecond in which something happens, at most to `target_ms`.
    fn advance(&mut self, target_ms: u64) {
        let next = (0..LEVELS).filter_map(|level| self.next_slot_ms(level)).min();
        self.now_ms = next.unwrap_or(target_ms).min(target_ms);
        for level in 1..LEVELS {
            if self.now_ms.trailing_zeros() < Self::shift(level) {
                break;
            }
            self.cascade(level);
        }
    }

    /// Empties the slot of `level` that has just come due into finer levels.
    fn cascade(&mut self, level: usize) {
        let slot = Self::slot_of(level, self.now_ms);
        while self.heads[slot] != NONE {
            let node = self.heads[slot];
            self.unlink(node);
            self.link(node);
        }
    }

    /// The millisecond at which the next occupied slot of a level comes due.
    fn next_slot_ms(&self, level: usize) -> Option<u64> {
        let shift = Self::shift(level);
        let position = self.now_ms >> shift;
        let current = usize::try_from(position & 255).unwrap_or(0);
        // The finest level's current slot may hold timers that are due; a coarse level's current
        // slot was emptied when it came due, so what is there is one whole turn away.
        let first = if level == 0 { current } else { (current + 1) % SLOTS };
        let words = &self.occupied[level];
        for step in 0..=words.len() {
            let word = (first / 64 + step) % words.len();
            let mut bits = words[word];
            if step == 0 {
                bits &= u64::MAX << (first % 64);
            } else if step == words.len() {
                bits &= !(u64::MAX << (first % 64));
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let distance = (slot + SLOTS - first) % SLOTS + (first + SLOTS - current) % SLOTS;
                return Some((position + distance as u64) << shift);
            }
        }
        None
    }

    #[expect(clippy::cast_possible_truncation, reason = "there are four levels")]
    const fn shift(level: usize) -> u32 {
        8 * level as u32
    }

    fn slot_of(level: usize, ms: u64) -> usize {
        level * SLOTS + usize::try_from(ms >> Self::shift(level) & 255).unwrap_or(0)
    }

    fn link(&mut self, node: u32) {
        let deadline = self.nodes[node as usize].deadline_ms.max(self.now_ms);
        // The coarsest level whose digits still differ; a deadline past the horizon waits in the
        // last level and is filed again when its slot comes round.
        let differing = (deadline ^ self.now_ms) >> 8;
        let level = match differing {
            0 => 0,
            d if d < 1 << 8 => 1,
            d if d < 1 << 16 => 2,
            _ => 3,
        };
        let horizon = 1u64 << Self::shift(LEVELS);
        let ms = if deadline - self.now_ms >= horizon {
            self.now_ms + horizon - (1 << Self::shift(LEVELS - 1))
        } else {
            deadline
        };
        let slot = Self::slot_of(level, ms);
        let head = self.heads[slot];
        let entry = &mut self.nodes[node as usize];
        #[expect(clippy::cast_possible_truncation, reason = "LEVELS * SLOTS is 1024")]
        let list = slot as u32;
        (entry.next, entry.previous, entry.list) = (head, NONE, list);
        if head != NONE {
            self.nodes[head as usize].previous = node;
        }
        self.heads[slot] = node;
        self.occupied[level][slot % SLOTS / 64] |= 1 << (slot % 64);
    }

    fn unlink(&mut self, node: u32) {
        let entry = &self.nodes[node as usize];
        let (next, previous, list) = (entry.next, entry.previous, entry.list as usize);
        if previous == NONE {
            self.heads[list] = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if self.heads[list] == NONE {
            self.occupied[list / SLOTS][list % SLOTS / 64] &= !(1 << (list % 64));
        }
    }

    fn take_node(&mut self, value: T, deadline_ms: u64) -> Option<u32> {
        if self.free != NONE {
            let node = self.free;
            let entry = &mut self.nodes[node as usize];
            self.free = entry.next;
            (entry.value, entry.deadline_ms) = (Some(value), deadline_ms);
            return Some(node);
        }
        if self.nodes.len() == self.capacity {
            return None;
        }
        let node = u32::try_from(self.nodes.len()).ok()?;
        let (next, previous) = (NONE, NONE);
        let value = Some(value);
        self.nodes.push(Node { generation: 0, value, deadline_ms, next, previous, list: 0 });
        Some(node)
    }

    fn release(&mut self, node: u32) {
        let entry = &mut self.nodes[node as usize];
        entry.value = None;
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free;
        self.free = node;
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::base::time::Duration;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    /// Every timer fires exactly once, never early, in the first call at or after its deadline.
    #[test]
    fn agrees_with_a_sorted_list() {
        for seed in 0..50 {
            let mut rng = Rng::from_number(seed);
            let mut now_ms = rng.below(1 << 34);
            let mut wheel = Wheel::new(500, at(now_ms));
            let mut model: Vec<(u64, u32, TimerId)> = Vec::new();
            for number in 0..2000u32 {
                let bits = rng.below(34);
                let distance = 1 + rng.below(1 << bits);
                if let Some(id) = wheel.set(at(now_ms + distance), number) {
                    model.push((now_ms + distance, number, id));
                }
                if rng.chance(1, 3) && !model.is_empty() {
                    let at = usize::try_from(rng.below(model.len() as u64)).unwrap_or(0);
                    let (_, _, id) = model.swap_remove(at);
                    assert!(wheel.cancel(id));
                    assert!(!wheel.cancel(id));
                }
                let bits = rng.below(26);
                now_ms += rng.below(1 << bits);
                if let Some(first) = model.iter().map(|entry| entry.0).min() {
                    let next = wheel.next_deadline().expect("timers are set");
                    assert!(next.as_millis() <= first, "{next:?} after {first}");
                }
                let mut fired = Vec::new();
                while let Some(value) = wheel.expire(at(now_ms)) {
                    fired.push(value);
                }
                let mut due: Vec<u32> =
                    model.iter().filter(|entry| entry.0 <= now_ms).map(|e| e.1).collect();
                model.retain(|entry| entry.0 > now_ms);
                fired.sort_unstable();
                due.sort_unstable();
                assert_eq!(fired, due, "seed {seed} step {number}");
                assert_eq!(wheel.len(), model.len());
            }
        }
    }

    #[test]
    fn rounds_up_and_reports_full() {
        let mut wheel = Wheel::new(1, at(10));
        assert!(wheel.set(at(10) + Duration::from_nanos(1), 1).is_some());
        assert!(wheel.set(at(20), 2).is_none());
        assert_eq!(wheel.expire(at(10)), None);
        assert_eq!(wheel.expire(at(11)), Some(1));
        assert_eq!(wheel.next_deadline(), None);
    }
}
