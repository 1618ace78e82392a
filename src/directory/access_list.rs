//! Access lists: which source addresses may speak for whom.

use std::net::IpAddr;

use super::{Index, Name};
use crate::base::bounded::List;

/// One range of one access list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessEntry {
    /// The list's index.
    pub list: Index,
    /// The list's name, for evidence in callbacks and logs.
    pub list_name: Name,
    /// Network address; IPv4-mapped IPv6 is kept as IPv4.
    pub network: IpAddr,
    /// Prefix length in bits.
    pub prefix: u8,
}

impl AccessEntry {
    /// Whether `address` lies in the range. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (network, address, width) = match (self.network, address.to_canonical()) {
            (IpAddr::V4(n), IpAddr::V4(a)) => {
                (u128::from(n.to_bits()), u128::from(a.to_bits()), 32)
            }
            (IpAddr::V6(n), IpAddr::V6(a)) => (n.to_bits(), a.to_bits(), 128),
            _ => return false,
        };
        let shift = width - u32::from(self.prefix).min(width);
        network.checked_shr(shift).unwrap_or(0) == address.checked_shr(shift).unwrap_or(0)
    }
}

impl std::fmt::Display for AccessEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}/{}", self.list_name, self.network, self.prefix)
    }
}

/// Most ranges that may hold one address; more are refused when the directory is checked.
pub const MATCHES_MAX: usize = 16;

/// All ranges of all lists, sorted by family, prefix length (longest first) and network, so that a
/// look-up is one binary search a prefix length in use.
#[derive(Debug, Default)]
pub struct AccessTrie {
    entries: Vec<AccessEntry>,
    /// Start of each run of equal family and prefix length.
    runs: Vec<usize>,
}

impl AccessTrie {
    /// Sorts the ranges. Network bits below the prefix are cleared.
    pub fn new(mut entries: Vec<AccessEntry>) -> Self {
        for entry in &mut entries {
            entry.network = masked(entry.network.to_canonical(), entry.prefix);
        }
        let run = |e: &AccessEntry| (e.network.is_ipv6(), std::cmp::Reverse(e.prefix));
        entries.sort_by_key(|entry| (run(entry), entry.network, entry.list));
        entries.dedup();
        let starts = |i: &usize| *i == 0 || run(&entries[*i - 1]) != run(&entries[*i]);
        let runs = (0..entries.len()).filter(starts).collect();
        Self { entries, runs }
    }

    /// All ranges, in the order of look-ups.
    pub fn entries(&self) -> &[AccessEntry] {
        &self.entries
    }

    /// The ranges that hold `address`, longest prefix first.
    pub fn matches(&self, address: IpAddr) -> List<&AccessEntry, MATCHES_MAX> {
        let address = address.to_canonical();
        let mut found = List::new();
        for (i, start) in self.runs.iter().enumerate() {
            let end = self.runs.get(i + 1).copied().unwrap_or(self.entries.len());
            let run = &self.entries[*start..end];
            if run[0].network.is_ipv6() != address.is_ipv6() {
                continue;
            }
            let network = masked(address, run[0].prefix);
            let from = run.partition_point(|entry| entry.network < network);
            for entry in run[from..].iter().take_while(|entry| entry.network == network) {
                if found.try_push(entry).is_err() {
                    return found;
                }
            }
        }
        found
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(u32::from(prefix))).unwrap_or(0);
            IpAddr::V4((a.to_bits() & mask).into())
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(u32::from(prefix))).unwrap_or(0);
            IpAddr::V6((a.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn entry(list: Index, network: &str, prefix: u8) -> AccessEntry {
        let network = network.parse().expect("address");
        AccessEntry { list, list_name: Name::new(), network, prefix }
    }

    #[test]
    fn longest_prefix_first_and_families_apart() {
        let trie = AccessTrie::new(vec![
            entry(0, "10.0.0.0", 8),
            entry(1, "10.1.2.0", 24),
            entry(2, "0.0.0.0", 0),
            entry(3, "2001:db8::", 32),
            entry(4, "10.1.2.0", 24),
        ]);
        let lists = |a: &str| -> Vec<Index> {
            trie.matches(a.parse().expect("address")).iter().map(|e| e.list).collect()
        };
        assert_eq!(lists("10.1.2.3"), [1, 4, 0, 2]);
        assert_eq!(lists("10.9.9.9"), [0, 2]);
        assert_eq!(lists("::ffff:10.1.2.3"), [1, 4, 0, 2]);
        assert_eq!(lists("2001:db8::1"), [3]);
        assert!(lists("2001:db9::1").is_empty());
    }

    #[test]
    fn agrees_with_a_plain_scan() {
        let mut rng = Rng::from_number(11);
        for _ in 0..200 {
            let entries: Vec<_> = (0..12)
                .map(|list| {
                    let network = IpAddr::V4(u32::try_from(rng.below(1 << 32)).unwrap_or(0).into());
                    let prefix = u8::try_from(rng.below(33)).unwrap_or(0);
                    AccessEntry { list, list_name: Name::new(), network, prefix }
                })
                .collect();
            let trie = AccessTrie::new(entries.clone());
            for entry in &entries {
                let mut lists: Vec<_> =
                    trie.matches(entry.network).iter().map(|e| e.list).collect();
                lists.sort_unstable();
                let plain: Vec<_> =
                    entries.iter().filter(|e| e.contains(entry.network)).map(|e| e.list).collect();
                assert_eq!(lists, plain);
            }
        }
    }
}
