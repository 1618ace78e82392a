//! The only clock: everything else is told the time.
#![expect(unsafe_code, reason = "clock_gettime writes through a pointer")]

use crate::base::time::{Duration, Instant, WallTime};

/// The monotonic clock (`CLOCK_MONOTONIC`), which never goes back.
pub fn now() -> Instant {
    let time = read(libc::CLOCK_MONOTONIC);
    Instant::from_nanos(seconds(time) * 1_000_000_000 + nanos(time))
}

/// The wall clock (`CLOCK_REALTIME`), which an operator or NTP may set back.
pub fn wall() -> WallTime {
    let time = read(libc::CLOCK_REALTIME);
    WallTime(seconds(time) * 1000 + nanos(time) / 1_000_000)
}

/// Processor time that the calling thread has used, in nanoseconds (`CLOCK_THREAD_CPUTIME_ID`).
pub fn thread_busy_nanos() -> u64 {
    let time = read(libc::CLOCK_THREAD_CPUTIME_ID);
    seconds(time) * 1_000_000_000 + nanos(time)
}

/// Holds the calling thread for `time`. Only while starting and stopping: nothing that serves calls
/// waits by sleeping.
pub fn pause(time: Duration) {
    let until = now() + time;
    while now() < until {
        let rest = until - now();
        let request = libc::timespec {
            tv_sec: rest.as_secs().min(1 << 30).cast_signed(),
            tv_nsec: i64::from(rest.subsec_nanos()),
        };
        // SAFETY: `request` lives for the call; a null remainder is allowed.
        let _ = unsafe { libc::nanosleep(&raw const request, std::ptr::null_mut()) };
    }
}

fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec for the whole call.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0, "the kernel has no clock {clock}");
    time
}

fn seconds(time: libc::timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0)
}

fn nanos(time: libc::timespec) -> u64 {
    u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_goes_back() {
        let mut last = now();
        for _ in 0..1000 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
        assert!(last > Instant::ZERO);
    }

    #[test]
    fn the_wall_clock_is_past_2024() {
        assert!(wall().0 > 1_704_067_200_000);
    }
}
