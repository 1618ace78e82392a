//! Inline strings and lists with a declared capacity: nothing here touches the heap.

pub use arrayvec::{ArrayString, ArrayVec};

/// Text that a shard keeps or sends: at most `N` bytes of UTF-8, stored in place.
pub type Text<const N: usize> = ArrayString<N>;
/// A list of at most `N` items, stored in place.
pub type List<T, const N: usize> = ArrayVec<T, N>;

/// `value` as owned text, or `None` where it does not fit: nothing is cut silently.
pub fn text<const N: usize>(value: &str) -> Option<Text<N>> {
    Text::from(value).ok()
}

/// As much of `value` as fits, cut at a character boundary; for records that people read.
pub fn clipped<const N: usize>(value: &str) -> Text<N> {
    let mut end = value.len().min(N);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    Text::from(&value[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_refuses_and_clipped_cuts() {
        assert_eq!(text::<3>("abcd"), None);
        assert_eq!(clipped::<3>("abcd").as_str(), "abc");
        assert_eq!(clipped::<3>("aéé").as_str(), "aé");
        assert_eq!(clipped::<2>("aé").as_str(), "a");
    }
}
