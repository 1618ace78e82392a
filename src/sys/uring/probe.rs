//! Whether this host permits io_uring at all, and if not, why: kernels, administrators and
//! containers forbid it in many ways.

use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode};

use super::{Event, PoolPlan, Ring, SUBMIT_TRIES};
use crate::sys::mmsg::Message;

/// Entries of the submission queue: a burst of sends and as many re-armed receives.
const SUBMISSIONS: u32 = 256;
/// Entries of the completion queue, generous because multishot receives complete unasked.
const COMPLETIONS: u32 = 8192;
/// Why there is no io_uring, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Tries io_uring out: one datagram over the loopback interface, as the backend would receive it.
pub fn probe() -> Result<(), Unavailable> {
    let plan = PoolPlan { buffers: 2, datagram_bytes: 64, room_bytes: 0 };
    let (mut ring, mut pools) = Ring::new(&[plan], 1)?;
    let failed = |error: io::Error| because("a trial datagram", &error);
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(failed)?;
    let to = socket.local_addr().map_err(failed)?;
    ring.receive(socket.as_fd(), 0, 0);
    ring.enter(Some(Duration::ZERO)).map_err(failed)?;
    ring.send(&[Message { socket: socket.as_fd(), to, bytes: b"probe" }]);
    for _ in 0..SUBMIT_TRIES {
        ring.enter(Some(Duration::from_millis(5))).map_err(failed)?;
        match ring.event() {
            Some(Event::Receive { lent: Some(mut lent), .. }) => {
                let length = lent.length;
                let is_right = &pools[0].bytes(&mut lent)[..length] == b"probe";
                pools[0].recycle(lent);
                return if is_right { Ok(()) } else { Err(trial("came back changed")) };
            }
            Some(Event::Receive { is_ended: true, .. }) => {
                return Err(trial("was refused: multishot recvmsg needs Linux 6.0"));
            }
            _ => {}
        }
    }
    Err(trial("did not come back"))
}

fn trial(what: &str) -> Unavailable {
    Unavailable(format!("io_uring is there, but a trial datagram {what}"))
}

pub(super) fn build() -> Result<IoUring, Unavailable> {
    let mut builder = IoUring::builder();
    builder
        .setup_cqsize(COMPLETIONS)
        .setup_submit_all()
        .setup_r_disabled()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag();
    match builder.build(SUBMISSIONS) {
        Ok(ring) => Ok(ring),
        // Linux 6.0 knows multishot recvmsg but not deferred work: the next best is cooperation.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let mut builder = IoUring::builder();
            builder
                .setup_cqsize(COMPLETIONS)
                .setup_submit_all()
                .setup_r_disabled()
                .setup_coop_taskrun()
                .setup_taskrun_flag();
            builder.build(SUBMISSIONS).map_err(|error| because("a ring", &error))
        }
        Err(error) => Err(because("a ring", &error)),
    }
}

pub(super) fn check_operations(ring: &IoUring) -> Result<(), Unavailable> {
    let mut probe = Probe::new();
    let submitter = ring.submitter();
    submitter
        .register_probe(&mut probe)
        .map_err(|error| because("a list of operations", &error))?;
    let needed = [
        ("recvmsg", opcode::RecvMsgMulti::CODE),
        ("sendmsg", opcode::SendMsg::CODE),
        ("poll", opcode::PollAdd::CODE),
        ("cancel", opcode::AsyncCancel::CODE),
    ];
    match needed.iter().find(|(_, code)| !probe.is_supported(*code)) {
        None => Ok(()),
        Some((name, _)) => {
            Err(Unavailable(format!("this kernel's io_uring does not know {name}: Linux 6.0 does")))
        }
    }
}

pub(super) fn because(what: &str, error: &io::Error) -> Unavailable {
    let why = match error.raw_os_error() {
        Some(libc::ENOSYS) => "the kernel has no io_uring",
        Some(libc::EPERM | libc::EACCES) => {
            "it is forbidden, by kernel.io_uring_disabled or by the container's seccomp profile"
        }
        Some(libc::ENOMEM) => "the limit on locked memory (LimitMEMLOCK) is too low",
        Some(libc::EINVAL) => "the kernel is too old: Linux 6.0 is needed",
        _ => "the kernel refuses",
    };
    Unavailable(format!("io_uring gives no {what}: {why} ({error})"))
}
