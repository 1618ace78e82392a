//! Which processors a thread may run on, and what it is called in `top`.
#![expect(unsafe_code, reason = "processor masks are filled through pointers")]

use std::io;
use std::mem;

/// The processors that the calling thread may run on, in ascending order. A container's or
/// `taskset`'s mask is respected.
pub fn processors() -> io::Result<Vec<usize>> {
    let set = mask()?;
    Ok((0..libc::CPU_SETSIZE as usize).filter(|cpu| is_in(&set, *cpu)).collect())
}

/// Binds the calling thread to one processor, by its number in [`processors`].
pub fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such processor"));
    }
    // SAFETY: a cpu_set_t is an array of integers, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE, checked above, so the bit is inside the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is a live cpu_set_t and its size is given; pid 0 is the calling thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Names the calling thread, as shown by `top -H`; the kernel keeps the first 15 bytes.
pub fn name_thread(name: &str) {
    let mut text = [0u8; 16];
    let length = name.len().min(15);
    text[..length].copy_from_slice(&name.as_bytes()[..length]);
    // SAFETY: `text` is 16 bytes long and ends with a zero, as PR_SET_NAME asks. It cannot fail
    // with a readable pointer, and a thread without a name is no loss.
    let _ = unsafe { libc::prctl(libc::PR_SET_NAME, text.as_ptr()) };
}

fn mask() -> io::Result<libc::cpu_set_t> {
    // SAFETY: a cpu_set_t is an array of integers, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is live and writable and its size is given; pid 0 is the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    if result == 0 { Ok(set) } else { Err(io::Error::last_os_error()) }
}

fn is_in(set: &libc::cpu_set_t, cpu: usize) -> bool {
    // SAFETY: callers pass a `cpu` below CPU_SETSIZE, so the bit is inside the set.
    unsafe { libc::CPU_ISSET(cpu, set) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_has_one_processor() {
        let handle = std::thread::spawn(|| {
            name_thread("a-name-longer-than-fifteen");
            let last = *processors().expect("mask").last().expect("a processor");
            pin(last).expect("pin");
            assert_eq!(processors().expect("mask"), [last]);
            assert!(pin(usize::MAX).is_err());
            std::fs::read_to_string("/proc/thread-self/comm").expect("comm")
        });
        assert_eq!(handle.join().expect("thread").trim(), "a-name-longer-t");
    }
}
