//! The timers of RFC 3261 §17 and table 4, as amended by RFC 6026: every one follows from T1, T2
//! and T4 and from whether the transport repeats lost bytes itself.

use crate::base::time::Duration;

/// The three base values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of a round trip; 500 ms.
    pub t1: Duration,
    /// Longest pause between retransmissions of non-INVITE requests and INVITE responses; 4 s.
    pub t2: Duration,
    /// Longest time that a message stays in the network; 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl Timers {
    /// A: first pause before an INVITE is repeated (UDP only); doubles without limit.
    pub const fn a(&self) -> Duration {
        self.t1
    }

    /// B: an INVITE that drew no response at all has failed.
    pub fn b(&self) -> Duration {
        self.transaction()
    }

    /// D: how long a client swallows repeated final responses to an INVITE. Long enough for the
    /// server's H; nothing is repeated on a reliable transport.
    pub fn d(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.transaction() }
    }

    /// E: first pause before a non-INVITE request is repeated (UDP only); doubles up to T2.
    pub const fn e(&self) -> Duration {
        self.t1
    }

    /// F: a non-INVITE request without final response has failed.
    pub fn f(&self) -> Duration {
        self.transaction()
    }

    /// G: first pause before a final response to an INVITE is repeated; doubles up to T2.
    pub const fn g(&self) -> Duration {
        self.t1
    }

    /// H: how long a server waits for the ACK to a final response other than 2xx.
    pub fn h(&self) -> Duration {
        self.transaction()
    }

    /// I: how long a server swallows repeated ACKs.
    pub const fn i(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t4 }
    }

    /// J: how long a server answers repeated non-INVITE requests again.
    pub fn j(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.transaction() }
    }

    /// K: how long a client swallows repeated final responses to a non-INVITE request.
    pub const fn k(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t4 }
    }

    /// L (RFC 6026): how long an INVITE server transaction outlives its 2xx; also how long the
    /// 2xx is repeated without an ACK (RFC 3261 §13.3.1.4).
    pub fn l(&self) -> Duration {
        self.transaction()
    }

    /// M (RFC 6026): how long an INVITE client transaction outlives its first 2xx, so that
    /// repeated ones and those of other forks are matched.
    pub fn m(&self) -> Duration {
        self.transaction()
    }

    /// The pause that follows `pause` where pauses double up to T2.
    pub fn doubled_to_t2(&self, pause: Duration) -> Duration {
        pause.saturating_mul(2).min(self.t2)
    }

    /// 64*T1: the life of a transaction.
    pub fn transaction(&self) -> Duration {
        self.t1.saturating_mul(64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_table_4() {
        let timers = Timers::default();
        let seconds = Duration::from_secs;
        for long in [timers.b(), timers.f(), timers.h(), timers.l(), timers.m()] {
            assert_eq!(long, seconds(32));
        }
        assert_eq!([timers.d(false), timers.j(false)], [seconds(32); 2]);
        assert_eq!([timers.i(false), timers.k(false)], [seconds(5); 2]);
        let reliable = [timers.d(true), timers.i(true), timers.j(true), timers.k(true)];
        assert_eq!(reliable, [Duration::ZERO; 4]);
        assert_eq!([timers.a(), timers.e(), timers.g()], [timers.t1; 3]);
        let mut pause = timers.g();
        let mut pauses = vec![pause.as_millis()];
        for _ in 0..4 {
            pause = timers.doubled_to_t2(pause);
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 4000]);
    }
}
