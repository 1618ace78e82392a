//! Waking a sleeping thread: an eventfd that is written to only while somebody sleeps on it.
//!
//! The rule for both sides: a sender first puts its message into a ring, then calls
//! [`Waker::wake`]; the receiver first leaves its sleep, then empties its rings. Then no message
//! is left behind with everybody asleep.
#![expect(unsafe_code, reason = "the runtime trusts that a descriptor stays open")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys::poll;

/// The receiver is at work and will look into its rings before it sleeps.
const AWAKE: u32 = 0;
/// The receiver sleeps, or is about to: it must be woken.
const ASLEEP: u32 = 1;
/// Somebody has woken the receiver since it last looked.
const NOTIFIED: u32 = 2;

#[derive(Debug)]
struct Shared {
    state: AtomicU32,
    event: File,
}

/// The senders' end. Clones wake the same receiver.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Shared>);

/// The receiver's end: one a thread.
#[derive(Debug)]
pub struct Sleeper(Arc<Shared>);

/// A receiver, at first awake, and what wakes it.
pub fn pair() -> io::Result<(Waker, Sleeper)> {
    let event = File::from(poll::event_descriptor()?);
    let shared = Arc::new(Shared { state: AtomicU32::new(AWAKE), event });
    Ok((Waker(Arc::clone(&shared)), Sleeper(shared)))
}

impl Waker {
    /// Wakes the receiver. Costs a system call only while the receiver sleeps and nobody else has
    /// woken it yet.
    pub fn wake(&self) {
        if self.0.state.swap(NOTIFIED, Ordering::AcqRel) == ASLEEP {
            // The counter is far from full, so the write neither waits nor fails.
            let _ = (&self.0.event).write(&1u64.to_ne_bytes());
        }
    }
}

impl Sleeper {
    /// A waker for this receiver.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.0))
    }

    /// Announces sleep. `false`: somebody has woken the receiver already, so it must not wait.
    pub fn try_sleep(&self) -> bool {
        self.0.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends the sleep, or takes the wake that came instead. Look into the rings after this.
    pub fn awake(&self) {
        self.0.state.swap(AWAKE, Ordering::AcqRel);
    }

    /// Empties the eventfd after it was reported readable.
    pub fn drain(&self) {
        let mut count = [0; 8];
        // An empty counter reads as "would block", which is as good.
        let _ = (&self.0.event).read(&mut count);
    }

    /// For a receiver on an async runtime, which never says when it sleeps. Call it inside the
    /// runtime.
    pub fn into_async(self) -> io::Result<AsyncSleeper> {
        self.rearm();
        // A wake from before counts too: the first wait ends at once.
        (&self.0.event).write_all(&1u64.to_ne_bytes())?;
        // SAFETY: the sleeper owns its eventfd, always gives the same one, and does not close it
        // before it is dropped, which `AsyncFd` does after it has deregistered it.
        let fd = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
        Ok(AsyncSleeper(fd?))
    }

    /// Empties the eventfd and asks to be woken for whatever comes from now on.
    fn rearm(&self) {
        self.drain();
        self.0.state.swap(ASLEEP, Ordering::AcqRel);
    }
}

/// The receiver's end on an async runtime.
#[derive(Debug)]
pub struct AsyncSleeper(AsyncFd<Sleeper>);

impl AsyncSleeper {
    /// A waker for this receiver.
    pub fn waker(&self) -> Waker {
        self.0.get_ref().waker()
    }

    /// Waits until somebody uses the waker; the first wait ends at once. Look into the rings
    /// after each. May be cancelled without losing a wake.
    ///
    /// # Errors
    /// If the runtime is shutting down.
    pub async fn woken(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_woken(context)).await
    }

    /// The same for a future written by hand.
    ///
    /// # Errors
    /// If the runtime is shutting down.
    pub fn poll_woken(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = std::task::ready!(self.0.poll_read_ready(context))?;
        guard.clear_ready();
        self.0.get_ref().rearm();
        Poll::Ready(Ok(()))
    }
}

impl AsFd for Sleeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}

impl AsRawFd for Sleeper {
    fn as_raw_fd(&self) -> RawFd {
        self.0.event.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::poll::Poller;

    fn is_readable(sleeper: &Sleeper) -> bool {
        let mut poller = Poller::new(1).expect("poller");
        poller.add(sleeper.as_fd(), 1).expect("add");
        poller.wait(Some(Duration::ZERO)).expect("wait") == 1
    }

    #[test]
    fn a_waking_receiver_costs_no_system_call() {
        let (waker, sleeper) = pair().expect("pair");
        waker.wake();
        waker.clone().wake();
        assert!(!is_readable(&sleeper));
        assert!(!sleeper.try_sleep(), "a wake before the sleep must be seen");
        sleeper.awake();
        assert!(sleeper.try_sleep());
        waker.wake();
        waker.wake();
        assert!(is_readable(&sleeper));
        sleeper.awake();
        sleeper.drain();
        assert!(!is_readable(&sleeper));
    }

    #[test]
    fn an_async_receiver_is_woken_each_time() {
        let (waker, sleeper) = pair().expect("pair");
        sleeper.rearm();
        for _ in 0..3 {
            waker.wake();
            assert!(is_readable(&sleeper));
            sleeper.rearm();
            assert!(!is_readable(&sleeper));
        }
    }

    #[test]
    fn an_async_runtime_waits_on_a_sleeper() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().expect("runtime");
        let (waker, sleeper) = pair().expect("pair");
        waker.wake();
        runtime.block_on(async move {
            let sleeper = sleeper.into_async().expect("async");
            sleeper.woken().await.expect("at once");
            for _ in 0..100 {
                assert!(!is_readable(sleeper.0.get_ref()));
                let waker = waker.clone();
                let thread = std::thread::spawn(move || waker.wake());
                sleeper.woken().await.expect("woken");
                thread.join().expect("thread");
            }
        });
    }

    #[test]
    fn no_wake_is_lost_between_threads() {
        use std::sync::atomic::AtomicU64;
        let (waker, sleeper) = pair().expect("pair");
        let sent = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&sent);
        let sender = std::thread::spawn(move || {
            for n in 1..=20_000 {
                theirs.store(n, Ordering::Release);
                waker.wake();
                if n % 64 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut poller = Poller::new(4).expect("poller");
        poller.add(sleeper.as_fd(), 7).expect("add");
        let mut seen = 0;
        while seen < 20_000 {
            let may_wait = sleeper.try_sleep();
            let wait = if may_wait { Duration::from_secs(10) } else { Duration::ZERO };
            let ready = poller.wait(Some(wait)).expect("wait");
            assert!(!may_wait || ready == 1, "slept through a wake at {seen}");
            sleeper.awake();
            if ready == 1 {
                sleeper.drain();
            }
            seen = sent.load(Ordering::Acquire);
        }
        sender.join().expect("sender");
    }
}
