//! Benches beside rivals.
