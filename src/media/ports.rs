//! Media ports: pairs (even RTP port, RTCP one above) of the shard's slice, taken at random and
//! kept in quarantine after use, so that a late packet of one call never reaches the next.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::base::bounded::List;
use crate::base::limits::MEDIA_ADDRESSES_MAX;
use crate::base::packet::MediaPort;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

/// Which of the media addresses a leg shall use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaAddress {
    /// One of the IPv4 addresses: the one with the most free ports.
    Ipv4,
    /// One of the IPv6 addresses: the one with the most free ports.
    Ipv6,
    /// The configured address of this index.
    Index(u8),
}

/// Two neighbouring ports on one address: even for RTP, odd for RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortPair {
    address: u8,
    rtp: u16,
}

impl PortPair {
    /// The even port.
    pub const fn rtp(self) -> MediaPort {
        MediaPort { address: self.address, port: self.rtp }
    }

    /// The odd port, one above.
    pub const fn rtcp(self) -> MediaPort {
        MediaPort { address: self.address, port: self.rtp + 1 }
    }
}

/// No pair is free now: all are in use or in quarantine, no address fits, or the table of legs
/// is full. Exhaustion: to be counted and answered with 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPorts;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Used,
    Quarantined,
}

#[derive(Debug)]
struct PerAddress {
    /// Indices of free pairs, in no order: a random one is swapped out.
    free: Vec<u16>,
    /// Pairs that were given back and when they become free, oldest first.
    quarantined: VecDeque<(Instant, u16)>,
    states: Vec<State>,
}

/// The pairs of one shard's slice, on each of the media addresses. Allocates memory only in `new`.
#[derive(Debug)]
pub struct Ports {
    addresses: List<IpAddr, MEDIA_ADDRESSES_MAX>,
    tables: List<PerAddress, MEDIA_ADDRESSES_MAX>,
    first: u16,
    pairs: u16,
    quarantine: Duration,
}

impl Ports {
    /// All whole pairs within `first..=last`, an even port first, on each of `addresses`. A pair
    /// that is given back stays unused for `quarantine`.
    pub fn new(
        addresses: List<IpAddr, MEDIA_ADDRESSES_MAX>,
        (first, last): (u16, u16),
        quarantine: Duration,
    ) -> Self {
        let first = u32::from(first) + u32::from(first % 2);
        let pairs = (u32::from(last) + 1).saturating_sub(first) / 2;
        let pairs = u16::try_from(pairs).unwrap_or(0);
        let tables = addresses
            .iter()
            .map(|_| PerAddress {
                free: (0..pairs).collect(),
                quarantined: VecDeque::with_capacity(usize::from(pairs)),
                states: vec![State::Free; usize::from(pairs)],
            })
            .collect();
        let first = u16::try_from(first).unwrap_or(u16::MAX - 1);
        Self { addresses, tables, first, pairs, quarantine }
    }

    /// Takes a random free pair.
    pub fn allocate(
        &mut self,
        now: Instant,
        wanted: MediaAddress,
        rng: &mut Rng,
    ) -> Result<PortPair, NoPorts> {
        for table in &mut self.tables {
            table.recover(now);
        }
        let address = self.choose(wanted).ok_or(NoPorts)?;
        let table = &mut self.tables[usize::from(address)];
        let count = u64::try_from(table.free.len()).unwrap_or(0);
        if count == 0 {
            return Err(NoPorts);
        }
        let index = usize::try_from(rng.below(count)).unwrap_or(0);
        let pair = table.free.swap_remove(index);
        let state = &mut table.states[usize::from(pair)];
        assert_eq!(*state, State::Free, "a free pair is in no other list");
        *state = State::Used;
        Ok(PortPair { address, rtp: self.first + 2 * pair })
    }

    /// Gives a pair back; it is in quarantine from now on.
    pub fn release(&mut self, now: Instant, ports: PortPair) {
        let index = self.index(ports.rtp()).map(|index| index % usize::from(self.pairs));
        let Some(index) = index else {
            return;
        };
        let table = &mut self.tables[usize::from(ports.address)];
        assert_eq!(table.states[index], State::Used, "only a used pair is given back");
        table.states[index] = State::Quarantined;
        let pair = (ports.rtp - self.first) / 2;
        table.quarantined.push_back((now + self.quarantine, pair));
    }

    /// The address with this index.
    pub fn address(&self, index: u8) -> Option<IpAddr> {
        self.addresses.get(usize::from(index)).copied()
    }

    /// The place of a port's pair among the pairs of all addresses: the direct index of tables.
    /// `None` for a port that is not of the slice.
    pub fn index(&self, port: MediaPort) -> Option<usize> {
        let pair = usize::from(port.port.checked_sub(self.first)? / 2);
        let pairs = usize::from(self.pairs);
        (pair < pairs && usize::from(port.address) < self.addresses.len())
            .then_some(usize::from(port.address) * pairs + pair)
    }

    /// Pairs over all addresses: one more than the greatest [`Ports::index`].
    pub fn capacity(&self) -> usize {
        self.addresses.len() * usize::from(self.pairs)
    }

    /// Pairs that are neither in use nor in quarantine (as of the last `allocate`).
    pub fn free(&self) -> usize {
        self.tables.iter().map(|table| table.free.len()).sum()
    }

    fn choose(&self, wanted: MediaAddress) -> Option<u8> {
        let fits = |index: &usize| match wanted {
            MediaAddress::Index(wanted) => *index == usize::from(wanted),
            MediaAddress::Ipv4 => self.addresses[*index].is_ipv4(),
            MediaAddress::Ipv6 => self.addresses[*index].is_ipv6(),
        };
        // Of equals, the first: a run replays.
        let most_free = (0..self.addresses.len())
            .filter(fits)
            .max_by_key(|index| (self.tables[*index].free.len(), usize::MAX - index))?;
        u8::try_from(most_free).ok()
    }
}

impl PerAddress {
    fn recover(&mut self, now: Instant) {
        while let Some((until, pair)) = self.quarantined.front().copied() {
            if until > now {
                break;
            }
            self.quarantined.pop_front();
            self.states[usize::from(pair)] = State::Free;
            self.free.push(pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARANTINE: Duration = Duration::from_secs(30);

    fn ports(first: u16, last: u16) -> Ports {
        let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
        let addresses = addresses.iter().map(|a| a.parse().expect("address")).collect();
        Ports::new(addresses, (first, last), QUARANTINE)
    }

    #[test]
    fn only_whole_pairs_of_the_slice() {
        for (first, last, pairs) in
            [(10_000, 10_007, 4), (10_001, 10_008, 3), (10, 10, 0), (20, 10, 0)]
        {
            assert_eq!(ports(first, last).capacity(), 3 * pairs, "{first}-{last}");
        }
        let mut top = ports(65_533, 65_535);
        let pair = top.allocate(Instant::ZERO, MediaAddress::Ipv6, &mut Rng::from_number(1));
        assert_eq!(pair.map(|p| (p.rtp().port, p.rtcp().port)), Ok((65_534, 65_535)));
        assert_eq!(ports(65_535, 65_535).capacity(), 0);
        let ports = ports(10_000, 10_007);
        let index = |address, port| ports.index(MediaPort { address, port });
        assert_eq!((index(0, 10_000), index(1, 10_003)), (Some(0), Some(5)));
        assert_eq!((index(0, 9_999), index(0, 10_008), index(3, 10_000)), (None, None, None));
    }

    #[test]
    fn never_a_pair_in_use_or_in_quarantine() {
        for seed in 0..20 {
            let mut rng = Rng::from_number(seed);
            let mut ports = ports(10_000, 10_039);
            let mut now = Instant::ZERO;
            let mut used: Vec<PortPair> = Vec::new();
            let mut resting: Vec<(Instant, PortPair)> = Vec::new();
            for _ in 0..3_000 {
                now += Duration::from_millis(rng.below(4_000));
                resting.retain(|(until, _)| *until > now);
                if rng.chance(1, 2) {
                    let got = ports.allocate(now, MediaAddress::Ipv4, &mut rng);
                    let taken = used.len() + resting.len();
                    assert_eq!(got.is_err(), taken == 40, "seed {seed}");
                    let Ok(pair) = got else { continue };
                    assert!(!used.contains(&pair), "seed {seed}");
                    assert!(resting.iter().all(|(_, resting)| *resting != pair), "seed {seed}");
                    assert!(pair.rtp().port % 2 == 0 && pair.rtp().address < 2);
                    used.push(pair);
                } else if !used.is_empty() {
                    let index = usize::try_from(rng.below(used.len() as u64)).expect("small");
                    let pair = used.swap_remove(index);
                    ports.release(now, pair);
                    resting.push((now + QUARANTINE, pair));
                }
            }
        }
    }

    #[test]
    fn exhaustion_is_an_error_and_passes() {
        let mut rng = Rng::from_number(3);
        let mut ports = ports(10_000, 10_003);
        let wanted = MediaAddress::Index(1);
        let now = Instant::ZERO;
        let pair = ports.allocate(now, wanted, &mut rng).expect("first");
        ports.allocate(now, wanted, &mut rng).expect("second");
        assert_eq!(ports.allocate(now, wanted, &mut rng), Err(NoPorts));
        assert_eq!(ports.allocate(now, MediaAddress::Index(9), &mut rng), Err(NoPorts));
        ports.release(now, pair);
        let early = now + Duration::from_millis(29_999);
        assert_eq!(ports.allocate(early, wanted, &mut rng), Err(NoPorts));
        assert_eq!(ports.allocate(now + QUARANTINE, wanted, &mut rng), Ok(pair));
    }

    #[test]
    fn choice_is_spread() {
        let mut rng = Rng::from_number(4);
        let mut ports = ports(10_000, 19_999);
        let taken: Vec<u16> = (0..100)
            .map(|_| ports.allocate(Instant::ZERO, MediaAddress::Index(0), &mut rng))
            .map(|pair| pair.expect("room").rtp().port)
            .collect();
        assert!(taken.windows(2).any(|w| w[1] < w[0]) && taken.iter().any(|p| *p > 15_000));
    }
}
