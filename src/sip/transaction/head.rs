//! The head of a request, kept while its answer is awaited: the lines that a response repeats.

use super::ServerKey;
use super::table::Table;
use crate::base::packet::SipPath;
use crate::base::pool::Key;
use crate::wire::sip::{HeaderName, Message, Writer};

impl Table {
    /// Keeps request line, Via, From, To, Call-ID, CSeq and Record-Route. `false`: no room.
    pub(super) fn keep_head(&mut self, key: Key, message: &Message<'_>) -> bool {
        let (Some(method), Some(uri)) = (message.method(), message.request_uri()) else {
            return false;
        };
        let length = self.write(&mut |buffer| {
            Writer::request(buffer, method, uri)
                .copy(message, HeaderName::Via)
                .copy(message, HeaderName::From)
                .copy(message, HeaderName::To)
                .copy(message, HeaderName::CallId)
                .copy(message, HeaderName::CSeq)
                .copy(message, HeaderName::RecordRoute)
                .finish_empty()
                .unwrap_or(0)
        });
        let head = self.copies.store(&self.scratch[..length]);
        let Some(transaction) = self.transactions.get_mut(key) else { return false };
        transaction.head = head;
        length > 0 && transaction.head.is_some()
    }

    /// The kept head as a message that `Message::parse` reads, with the path that the request came
    /// on. Its length is zero, and there is no path, once the request has its final response.
    pub fn copy_head(&self, server: ServerKey, buffer: &mut [u8]) -> Option<(usize, SipPath)> {
        let transaction = self.transactions.get(server.0)?;
        let head = self.copies.bytes(transaction.head.as_ref()?);
        buffer.get_mut(..head.len())?.copy_from_slice(head);
        Some((head.len(), transaction.path))
    }

    /// Gives the head back: the request has its final response.
    pub(super) fn forget_head(&mut self, key: Key) {
        if let Some(head) = self.transactions.get_mut(key).and_then(|t| t.head.take()) {
            self.copies.free(head);
        }
    }
}
