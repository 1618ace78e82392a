//! L7: the only room that knows shards and packet backends: starts threads, joins them by rings,
//! stops them.
//!
//! Path: `main` -> here -> `runtime::worker`

mod bind;
mod control_thread;
mod rings;
mod start;
pub mod tap;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::base::counter::Counters;
use crate::base::time::Duration;
use crate::config::Config;
use crate::sys::wake::Waker;

pub use start::{Options, StartError};

/// A running edge.
#[derive(Debug)]
pub struct Edge {
    orders: mpsc::UnboundedSender<Order>,
    stop: Arc<AtomicBool>,
    wakers: Vec<Waker>,
    control: Option<JoinHandle<()>>,
    threads: Vec<JoinHandle<()>>,
    counters: Vec<Arc<Counters>>,
    /// What was chosen at the start and why, a line each, for the log.
    pub notes: Vec<String>,
    /// SIP listeners as bound, with the ports that the kernel chose for port zero.
    pub listeners: Vec<(crate::base::packet::Transport, std::net::SocketAddr)>,
    /// Where the API listens.
    pub api: std::net::SocketAddr,
}

/// What the rest of the program asks of the control thread.
#[derive(Debug)]
enum Order {
    /// Put another configuration in force, for new calls.
    Reload(Box<Config>),
    /// Take no new calls; end what is left at the deadline; then stop.
    Drain(Duration),
}

impl Edge {
    /// Starts the edge. All sockets are bound before this returns.
    ///
    /// # Errors
    /// What cannot be had, and what to do about it.
    pub fn start(config: Config, options: Options) -> Result<Self, StartError> {
        start::start(config, options)
    }

    /// Puts another configuration in force, for new calls. What needs a restart is logged.
    pub fn reload(&self, config: Config) {
        // A control thread that is gone is about to be noticed by whoever waits for the edge.
        let _ = self.orders.send(Order::Reload(Box::new(config)));
    }

    /// Takes no new calls from now on, lets live ones go on for at most `deadline`, then stops.
    pub fn drain(&self, deadline: Duration) {
        let _ = self.orders.send(Order::Drain(deadline));
    }

    /// Waits until the edge has stopped.
    pub fn wait(mut self) {
        self.join();
    }

    /// The counters of all shards and of the stream thread, which is last.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    fn join(&mut self) {
        if let Some(control) = self.control.take() {
            // A panic there was reported on standard error when it happened.
            let _ = control.join();
        }
        self.stop.store(true, Ordering::Release);
        for waker in &self.wakers {
            waker.wake();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.drain(Duration::ZERO);
        self.join();
    }
}
