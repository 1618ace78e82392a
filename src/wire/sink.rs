//! A lent buffer being filled. Faults stick, so that calls chain without a check on each.

use std::fmt;

/// Why something was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The buffer is too small.
    Overflow,
    /// A name or value holds a byte that would end its line or change its meaning (CR, LF, NUL;
    /// in a URI also white space, quotes and angle brackets).
    Unsafe,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overflow => "the buffer is too small for the message",
            Self::Unsafe => "a value holds a byte that may not stand in a line",
        })
    }
}

impl std::error::Error for WriteError {}

/// Bytes written so far, and the first fault.
#[derive(Debug)]
pub(crate) struct Sink<'b> {
    buffer: &'b mut [u8],
    at: usize,
    error: Option<WriteError>,
}

impl<'b> Sink<'b> {
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, at: 0, error: None }
    }

    /// Notes a fault; the first one counts.
    pub(crate) fn fail(&mut self, error: WriteError) {
        self.error.get_or_insert(error);
    }

    /// Bytes as they are.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        let end = self.at + bytes.len();
        match self.buffer.get_mut(self.at..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.at = end;
            }
            None => self.fail(WriteError::Overflow),
        }
    }

    /// Text of a value: nothing in it may end the line.
    pub(crate) fn put_value(&mut self, value: &str) {
        if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            self.fail(WriteError::Unsafe);
        }
        self.put(value.as_bytes());
    }

    /// Formatted text of a value.
    pub(crate) fn put_fmt(&mut self, value: fmt::Arguments<'_>) {
        // The only error is one that `put_value` has noted already.
        let _ = fmt::write(self, value);
    }

    /// The room left, while there is no fault.
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        match self.error {
            None => self.buffer.get_mut(self.at..),
            Some(_) => None,
        }
    }

    /// Counts bytes that were written into [`Sink::room`].
    pub(crate) fn advance(&mut self, length: usize) {
        assert!(length <= self.buffer.len() - self.at);
        self.at += length;
    }

    /// Bytes written.
    pub(crate) const fn length(&self) -> usize {
        self.at
    }

    /// What was written so far, to be completed.
    pub(crate) fn written_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.at]
    }

    /// The length, or the first fault.
    pub(crate) fn done(&self) -> Result<usize, WriteError> {
        match self.error {
            None => Ok(self.at),
            Some(error) => Err(error),
        }
    }
}

impl fmt::Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put_value(text);
        if self.error.is_some() { Err(fmt::Error) } else { Ok(()) }
    }
}
