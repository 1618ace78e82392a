//! Randomness from the kernel: seeds for `base::rng`, drawn at start.
#![expect(unsafe_code, reason = "getrandom writes through a pointer")]

use std::io;

/// Sixteen random bytes to seed a generator with. Waits only while the machine's own pool is not
/// ready yet, early after boot.
pub fn seed() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Fills `bytes` with random bytes.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: pointer and length are those of a live, writable slice.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(n) {
            Ok(n) => filled += n,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seeds_differ() {
        assert_ne!(seed().expect("seed"), seed().expect("seed"));
        let mut long = [0u8; 1000];
        fill(&mut long).expect("bytes");
        assert!(long.iter().any(|b| *b != 0));
    }
}
