//! Copies of messages that a shard keeps, in blocks of a few sizes that are all reserved at the
//! start: nothing grows, and a store that is full says so.

const NONE: u32 = u32::MAX;

/// One size of block, and how many of them there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockClass {
    /// Bytes of one block.
    pub bytes: usize,
    /// Blocks of that size.
    pub count: usize,
}

/// A copy in the store. It cannot be cloned: whoever holds it gives it back with
/// [`Blocks::free`], or its room is lost.
#[derive(Debug)]
#[must_use = "a block that is dropped is never free again"]
pub struct Block {
    class: u32,
    index: u32,
    length: u32,
}

impl Block {
    /// Bytes stored.
    pub const fn len(&self) -> usize {
        self.length as usize
    }

    /// Whether nothing is stored.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

#[derive(Debug)]
struct Class {
    bytes: usize,
    memory: Vec<u8>,
    /// The free block after each free block.
    next: Vec<u32>,
    first_free: u32,
}

/// The store.
#[derive(Debug)]
pub struct Blocks {
    /// Smallest blocks first.
    classes: Vec<Class>,
    used: usize,
}

impl Blocks {
    /// Reserves all blocks. The memory is zeroed by the kernel and touched as blocks fill.
    pub fn new(classes: &[BlockClass]) -> Self {
        let mut classes: Vec<Class> = classes.iter().copied().map(Class::new).collect();
        classes.sort_by_key(|class| class.bytes);
        Self { classes, used: 0 }
    }

    /// Stores a copy in the smallest free block that holds it; `None` when there is none.
    pub fn store(&mut self, bytes: &[u8]) -> Option<Block> {
        let length = u32::try_from(bytes.len()).ok()?;
        for (number, class) in self.classes.iter_mut().enumerate() {
            if class.bytes < bytes.len() || class.first_free == NONE {
                continue;
            }
            let index = class.first_free;
            class.first_free = class.next[index as usize];
            let start = index as usize * class.bytes;
            class.memory[start..start + bytes.len()].copy_from_slice(bytes);
            self.used += 1;
            return Some(Block { class: u32::try_from(number).ok()?, index, length });
        }
        None
    }

    /// What was stored.
    pub fn bytes(&self, block: &Block) -> &[u8] {
        let class = &self.classes[block.class as usize];
        let start = block.index as usize * class.bytes;
        &class.memory[start..start + block.len()]
    }

    /// Gives a block back.
    pub fn free(&mut self, block: Block) {
        let class = &mut self.classes[block.class as usize];
        class.next[block.index as usize] = class.first_free;
        class.first_free = block.index;
        self.used -= 1;
    }

    /// Blocks in use.
    pub const fn len(&self) -> usize {
        self.used
    }

    /// Whether no block is in use.
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }
}

impl Class {
    fn new(class: BlockClass) -> Self {
        assert!(class.count < NONE as usize);
        let count = u32::try_from(class.count).unwrap_or(0);
        let next = (1..=count).map(|next| if next == count { NONE } else { next }).collect();
        let first_free = if count == 0 { NONE } else { 0 };
        Self { bytes: class.bytes, memory: vec![0; class.bytes * class.count], next, first_free }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_smallest_that_fits_then_a_larger_one() {
        let classes = [BlockClass { bytes: 8, count: 1 }, BlockClass { bytes: 4, count: 1 }];
        let mut blocks = Blocks::new(&classes);
        let small = blocks.store(b"abc").expect("room");
        let large = blocks.store(b"de").expect("room in the next size");
        assert!(blocks.store(b"f").is_none(), "all are taken");
        assert_eq!(blocks.bytes(&small), b"abc");
        assert_eq!(blocks.bytes(&large), b"de");
        blocks.free(large);
        assert!(blocks.store(b"123456789").is_none(), "fits no block");
        let again = blocks.store(b"12345678").expect("room");
        assert_eq!(blocks.bytes(&again), b"12345678");
        assert_eq!(blocks.bytes(&small), b"abc");
        blocks.free(again);
        blocks.free(small);
        assert!(blocks.is_empty());
    }

    #[test]
    fn a_store_without_blocks_is_full() {
        assert!(Blocks::new(&[]).store(b"").is_none());
        assert!(Blocks::new(&[BlockClass { bytes: 4, count: 0 }]).store(b"").is_none());
    }
}
