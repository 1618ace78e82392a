//! Waiting for many descriptors: epoll, level-triggered, with deadlines finer than a millisecond.
//!
//! mio rounds waits up to whole milliseconds and is edge-triggered; a shard that paces media wants
//! neither. The stream thread, which does not care, uses mio.
#![expect(unsafe_code, reason = "epoll fills events through a pointer")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// An epoll instance and room for the events of one wait.
pub struct Poller {
    epoll: OwnedFd,
    events: Box<[libc::epoll_event]>,
    ready: usize,
    has_fine_wait: bool,
}

impl Poller {
    /// A poller that reports at most `events_max` descriptors at once.
    pub fn new(events_max: usize) -> io::Result<Self> {
        // SAFETY: takes a flag and returns a descriptor; no memory is involved.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let epoll = owned(fd)?;
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; events_max.max(1)];
        Ok(Self { epoll, events: events.into(), ready: 0, has_fine_wait: true })
    }

    /// Reports `fd` under `token` whenever it is readable. A closed descriptor leaves by itself.
    pub fn add(&mut self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN.cast_unsigned(), u64: token };
        let (epoll, fd) = (self.epoll.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: `event` is live for the call and both descriptors are open.
        let result = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits until a descriptor is readable or the time is up (`None`: no limit) and says how many
    /// are; [`Poller::token`] names them. An interrupted wait reports none.
    pub fn wait(&mut self, wait: Option<Duration>) -> io::Result<usize> {
        self.ready = 0;
        let result = match wait {
            Some(wait) if !wait.is_zero() && self.has_fine_wait => self.wait_fine(wait),
            Some(wait) => self.wait_coarse(milliseconds(wait)),
            None => self.wait_coarse(-1),
        };
        match result {
            Ok(ready) => self.ready = ready,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) && self.has_fine_wait => {
                self.has_fine_wait = false;
                return self.wait(wait);
            }
            Err(error) => return Err(error),
        }
        Ok(self.ready)
    }

    /// The token of the `index`th descriptor that the last wait reported.
    pub fn token(&self, index: usize) -> u64 {
        self.events[..self.ready][index].u64
    }

    fn wait_fine(&mut self, wait: Duration) -> io::Result<usize> {
        let timeout = libc::timespec {
            tv_sec: wait.as_secs().min(1 << 30).cast_signed(),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let (events, room) = (self.events.as_mut_ptr(), self.room());
        let (epoll, mask) = (self.epoll.as_raw_fd(), std::ptr::null());
        // SAFETY: `events` has room for `room` events and lives as long as `self`; `timeout` lives
        // for the call; a null mask leaves signals as they are.
        let n = unsafe { libc::epoll_pwait2(epoll, events, room, &raw const timeout, mask) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    fn wait_coarse(&mut self, milliseconds: i32) -> io::Result<usize> {
        let (events, room) = (self.events.as_mut_ptr(), self.room());
        // SAFETY: `events` has room for `room` events and lives as long as `self`.
        let n = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events, room, milliseconds) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    fn room(&self) -> i32 {
        i32::try_from(self.events.len()).unwrap_or(i32::MAX)
    }
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

/// A fresh eventfd that neither blocks nor survives `exec`.
pub(crate) fn event_descriptor() -> io::Result<OwnedFd> {
    // SAFETY: takes two integers and returns a descriptor; no memory is involved.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Rounded up, so that a deadline is never reported early.
fn milliseconds(wait: Duration) -> i32 {
    i32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;

    #[test]
    fn a_wait_is_neither_early_nor_rounded_to_milliseconds() {
        let mut poller = Poller::new(4).expect("poller");
        let wait = Duration::from_micros(200);
        let best = (0..50)
            .map(|_| {
                let start = clock::now();
                assert_eq!(poller.wait(Some(wait)).expect("wait"), 0);
                clock::now() - start
            })
            .inspect(|took| assert!(*took >= wait, "{took:?}"))
            .min()
            .expect("fifty");
        assert!(best < Duration::from_millis(1), "{best:?}");
        assert_eq!(milliseconds(wait), 1);
    }
}
