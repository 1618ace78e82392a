//! Counters: one line per thing that can happen, one writer a shard, read by anyone at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)+) => {
        /// What a shard counts. The name is the metric's, without the `carrick_` prefix.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum Counter { $($(#[doc = $doc])+ $variant,)+ }

        impl Counter {
            /// All counters, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The metric's name without prefix.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One line for `# HELP`.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

counters! {
    /// SIP messages that arrived and parsed
    SipReceived => "sip_messages_received_total",
    /// SIP messages sent, retransmissions included
    SipSent => "sip_messages_sent_total",
    /// Messages that are no SIP: answered with 400 where they could be, else dropped
    SipMalformed => "sip_malformed_total",
    /// Retransmitted SIP messages that arrived
    SipRetransmissionsReceived => "sip_retransmissions_received_total",
    /// SIP messages that Carrick retransmitted
    SipRetransmissionsSent => "sip_retransmissions_sent_total",
    /// Responses and ACKs that belong to nothing
    SipStray => "sip_stray_total",
    /// Datagrams handed to the shard that owns their call
    SipHandedOver => "sip_handed_over_total",
    /// SIP messages lost because a queue was full
    SipQueueFull => "sip_queue_full_total",
    /// 2xx responses of forks and given-up targets, acknowledged and ended
    SipForksEnded => "sip_forks_ended_total",
    /// Double-CRLF keep-alives
    SipKeepAlives => "sip_keep_alives_total",
    /// Requests answered 401 (first challenge)
    AuthChallenged => "auth_challenged_total",
    /// Requests whose credentials were wrong
    AuthFailed => "auth_failed_total",
    /// Requests with a nonce that was old, used or another shard's: challenged again
    AuthStale => "auth_stale_total",
    /// Requests left unanswered because their source gave too many wrong passwords
    AuthBanned => "auth_banned_total",
    /// Requests from a source that no access list admits
    AuthDenied => "auth_denied_total",
    /// Calls begun
    CallsStarted => "calls_started_total",
    /// Calls answered
    CallsAnswered => "calls_answered_total",
    /// Calls ended, however
    CallsEnded => "calls_ended_total",
    /// Calls refused because a limit of the trunk was reached
    CallsLimited => "calls_limited_total",
    /// Calls refused because a table, ring or port range of the edge was full
    CallsOverloaded => "calls_overloaded_total",
    /// Calls refused because the edge drains
    CallsDraining => "calls_draining_total",
    /// Questions put to control
    AsksSent => "asks_sent_total",
    /// Questions whose answer did not come in time
    AsksExpired => "asks_expired_total",
    /// RTP packets received on media ports
    RtpReceived => "rtp_packets_received_total",
    /// RTP packets relayed
    RtpRelayed => "rtp_packets_relayed_total",
    /// Media packets from a source other than the peer's
    RtpStranger => "rtp_stranger_total",
    /// Media packets that are no RTP, RTCP or of no negotiated payload type
    RtpMalformed => "rtp_malformed_total",
    /// RTP packets that came again or far out of their place: not relayed
    RtpDuplicate => "rtp_duplicate_total",
    /// Media packets for a leg that does not receive now (hold, not yet connected)
    RtpUnwanted => "rtp_unwanted_total",
    /// RTCP packets received
    RtcpReceived => "rtcp_packets_received_total",
    /// RTCP packets sent
    RtcpSent => "rtcp_packets_sent_total",
    /// Media ports that could not be opened
    MediaPortFailed => "media_port_failed_total",
    /// Calls that found no free media port
    MediaPortsExhausted => "media_ports_exhausted_total",
    /// Failed invariants of a single call; the call was ended
    InvariantFailed => "invariant_failed_total",
    /// Trace lines that did not fit the ring
    TraceDropped => "trace_dropped_total",
    /// Datagrams that the kernel refused to send, or that left from a port just closed
    NetSendFailed => "net_send_failed_total",
    /// Media datagrams larger than any buffer, dropped
    NetDatagramsCut => "net_datagrams_cut_total",
    /// Times that io_uring ran out of receive buffers; datagrams waited in their sockets
    NetBuffersExhausted => "net_buffers_exhausted_total",
    /// Stream connections accepted
    StreamAccepted => "stream_accepted_total",
    /// Stream connections made towards peers
    StreamConnected => "stream_connected_total",
    /// Stream connections refused or evicted because a limit, global or per source, was reached
    StreamRefused => "stream_refused_total",
    /// Stream connections towards peers that could not be made
    StreamConnectFailed => "stream_connect_failed_total",
    /// Stream connections closed because a message did not come, or not fast enough
    StreamTimedOut => "stream_timed_out_total",
    /// Stream connections closed because the peer did not read
    StreamSlowReaders => "stream_slow_readers_total",
    /// Stream connections closed because their bytes are no SIP
    StreamMalformed => "stream_malformed_total",
    /// Letters between threads that found a full ring
    MailFull => "mail_full_total",
}

/// The counters of one shard.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    values: [AtomicU64; Counter::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self { values: [const { AtomicU64::new(0) }; Counter::ALL.len()] }
    }
}

impl Counters {
    /// Fresh counters, to be shared with whoever reads them.
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// Counts one. The shard is the only writer, so a plain load and store suffice.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts `n`.
    pub fn add(&self, counter: Counter, n: u64) {
        let value = &self.values[counter as usize];
        value.store(value.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The present value.
    pub fn read(&self, counter: Counter) -> u64 {
        self.values[counter as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_counts_add_up() {
        let mut names: Vec<_> = Counter::ALL.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::ALL.len());
        let counters = Counters::default();
        counters.count(Counter::SipStray);
        counters.add(Counter::SipStray, 2);
        assert_eq!(counters.read(Counter::SipStray), 3);
    }
}
