//! Where a call stands, what it may be waiting for, and for how long.

use crate::base::time::Duration;

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The callback is asked how to connect the call.
    Asking,
    /// The callee's leg is being set up.
    Dialling,
    /// The callee answered; the callback is asked whether to go on.
    Confirming,
    /// The caller was sent 200 and has not acknowledged it.
    Answering,
    /// Both legs are up.
    Connected,
    /// Over; last messages and records are under way.
    Ending,
}

impl State {
    /// All states, for tables.
    pub const ALL: [Self; 6] = [
        Self::Asking,
        Self::Dialling,
        Self::Confirming,
        Self::Answering,
        Self::Connected,
        Self::Ending,
    ];

    /// Which changes of state there are; every other one is a fault of ours.
    pub const fn may_become(self, next: Self) -> bool {
        use State::{Answering, Asking, Confirming, Connected, Dialling, Ending};
        match (self, next) {
            (Asking, Dialling)
            | (Dialling, Dialling | Confirming | Answering)
            | (Confirming, Answering)
            | (Answering, Connected) => true,
            (Ending, _) => false,
            (_, Ending) => true,
            _ => false,
        }
    }
}

/// What a call may be waiting for with a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Deadline {
    /// An answer from control.
    Ask,
    /// Any sign of life from the target that was called.
    FirstResponse,
    /// The callee's answer.
    Ring,
    /// The longest that the call may last.
    Duration,
    /// The store's word that the records are on disk.
    Record,
    /// The last transactions of an ended call.
    Linger,
}

/// How many kinds of deadline there are.
pub const DEADLINES: usize = 6;

/// What a call's times are when nothing else is said.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For control's answer: the callback's budget and a margin.
    pub ask: Duration,
    /// For the first response of a target.
    pub first_response: Duration,
    /// For the callee's answer.
    pub ring: Duration,
    /// For the store, while a BYE waits for its 200.
    pub record: Duration,
    /// For the last transactions of an ended call.
    pub linger: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            ask: Duration::from_millis(6_000),
            first_response: Duration::from_secs(4),
            ring: Duration::from_secs(120),
            record: Duration::from_secs(2),
            linger: Duration::from_secs(40),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declared_transitions() {
        let mut table = String::new();
        for from in State::ALL {
            let next: Vec<_> = State::ALL
                .into_iter()
                .filter(|next| from.may_become(*next))
                .map(|next| format!("{next:?}"))
                .collect();
            table += &format!("{from:?} -> {}\n", next.join(" "));
        }
        let declared = "Asking -> Dialling Ending\n\
                        Dialling -> Dialling Confirming Answering Ending\n\
                        Confirming -> Answering Ending\n\
                        Answering -> Connected Ending\n\
                        Connected -> Ending\n\
                        Ending -> \n";
        assert_eq!(table, declared);
    }
}
