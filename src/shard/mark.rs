//! What a transaction's owner number means: the call, the leg, and what the request was for.

use crate::base::pool::Key;
use crate::link::cdr::LegLetter;

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The INVITE that begins the leg.
    Invite,
    /// An INVITE inside the dialog.
    Reinvite,
    /// BYE.
    Bye,
    /// Another request inside the dialog, passed on from the other leg.
    Relayed,
}

const PURPOSES: [Purpose; 4] = [Purpose::Invite, Purpose::Reinvite, Purpose::Bye, Purpose::Relayed];

/// A call, a leg and a purpose, as one number: 32 bits of generation, 24 of slot, 8 of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) call: Key,
    pub(crate) leg: LegLetter,
    pub(crate) purpose: Purpose,
}

/// Calls of one shard that a mark can name.
pub(crate) const CALLS_MAX: usize = 1 << 24;

impl Mark {
    /// The mark as a number; never zero, because generations begin at one.
    pub(crate) const fn to_u64(self) -> u64 {
        let key = self.call.to_u64();
        let (generation, slot) = (key >> 32, key & 0x00ff_ffff);
        let leg = match self.leg {
            LegLetter::A => 0,
            LegLetter::B => 1,
        };
        generation << 32 | slot << 8 | (self.purpose as u64) << 1 | leg
    }

    /// Reads [`Mark::to_u64`] back. `None`: nobody's, as zero is.
    pub(crate) fn from_u64(number: u64) -> Option<Self> {
        if number >> 32 == 0 {
            return None;
        }
        let call = Key::from_u64(number >> 32 << 32 | number >> 8 & 0x00ff_ffff);
        let leg = if number & 1 == 0 { LegLetter::A } else { LegLetter::B };
        let purpose = *PURPOSES.get(usize::try_from(number >> 1 & 0x7f).ok()?)?;
        Some(Self { call, leg, purpose })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_nobody() {
        assert_eq!(Mark::from_u64(0), None);
    }

    #[test]
    fn reads_back() {
        for purpose in PURPOSES {
            for leg in [LegLetter::A, LegLetter::B] {
                let call = Key::from_u64(0xdead_beef_0012_3456);
                let mark = Mark { call, leg, purpose };
                assert_eq!(Mark::from_u64(mark.to_u64()), Some(mark));
            }
        }
    }
}
