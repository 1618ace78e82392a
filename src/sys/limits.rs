//! What the kernel lets this process have: descriptors, and no core dumps.
#![expect(unsafe_code, reason = "getrlimit and setrlimit work through pointers")]

use std::io;

/// Raises the number of descriptors to what the hard limit allows and returns it. A socket per
/// media port needs them.
pub fn raise_descriptors() -> io::Result<u64> {
    let mut limit = read(libc::RLIMIT_NOFILE)?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        write(libc::RLIMIT_NOFILE, limit)?;
    }
    Ok(limit.rlim_cur)
}

/// Turns core dumps off: a core would hold SRTP keys and credentials.
pub fn forbid_core_dumps() -> io::Result<()> {
    let hard = read(libc::RLIMIT_CORE)?.rlim_max;
    write(libc::RLIMIT_CORE, libc::rlimit { rlim_cur: 0, rlim_max: hard })?;
    // SAFETY: PR_SET_DUMPABLE takes an integer and touches no memory.
    let result = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Descriptors that this process has open now, counted in `/proc/self/fd`.
pub fn open_descriptors() -> io::Result<usize> {
    // The directory that is being read is itself one of them.
    Ok(std::fs::read_dir("/proc/self/fd")?.count().saturating_sub(1))
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn read(resource: Resource) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a live, writable rlimit.
    let result = unsafe { libc::getrlimit(resource, &raw mut limit) };
    if result == 0 { Ok(limit) } else { Err(io::Error::last_os_error()) }
}

fn write(resource: Resource, limit: libc::rlimit) -> io::Result<()> {
    // SAFETY: `limit` is a live rlimit.
    let result = unsafe { libc::setrlimit(resource, &raw const limit) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_rise_to_the_hard_limit() {
        let raised = raise_descriptors().expect("limit");
        let now = read(libc::RLIMIT_NOFILE).expect("limit");
        assert_eq!((now.rlim_cur, now.rlim_cur), (raised, now.rlim_max));
        assert!(open_descriptors().expect("count") >= 3);
    }
}
