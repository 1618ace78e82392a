//! What is to happen next: ordered by time, then by the order in which it was decided.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::time::Instant;

/// Events waiting for their time. Bounded; equal times keep their order of insertion, so that a
/// run replays.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    sequence: u64,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    sequence: u64,
    value: T,
}

impl<T> Queue<T> {
    /// A queue for at most `capacity` events.
    pub const fn new(capacity: usize) -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0, capacity }
    }

    /// Files an event, or gives it back when the queue is full.
    pub fn push(&mut self, at: Instant, value: T) -> Result<(), T> {
        if self.heap.len() == self.capacity {
            return Err(value);
        }
        self.sequence += 1;
        self.heap.push(Reverse(Entry { at, sequence: self.sequence, value }));
        Ok(())
    }

    /// The next event that is due by `now`.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        if self.heap.peek()?.0.at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.value)
    }

    /// When the next event is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.0.at)
    }

    /// Events waiting.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self) {
        self.heap.clear();
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_first_then_order_and_bounded() {
        let mut queue = Queue::new(3);
        let (early, late) = (Instant::from_nanos(1), Instant::from_nanos(2));
        for (at, value) in [(late, 1), (early, 2), (late, 3)] {
            assert!(queue.push(at, value).is_ok());
        }
        assert_eq!(queue.push(early, 4), Err(4));
        assert_eq!(queue.pop(Instant::ZERO), None);
        assert_eq!(queue.pop(late), Some(2));
        assert_eq!(queue.pop(late), Some(1));
        assert_eq!(queue.pop(late), Some(3));
        assert!(queue.is_empty());
    }
}
