//! Call detail records: one a leg, bounded, without any secret.

use std::net::SocketAddr;

use crate::base::bounded::Text;
use crate::base::limits::SIP_IDENTIFIER_BYTES_MAX;
use crate::base::packet::Transport;
use crate::base::time::WallTime;
use crate::directory::Name;

/// Which leg: `a` is the caller's, `b` the callee's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LegLetter {
    /// The caller's.
    #[default]
    A,
    /// The callee's.
    B,
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$attribute:meta])+ $variant:ident => $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name { $($(#[$attribute])+ $variant,)+ }
        impl $name {
            /// As it is written in callbacks and records.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
            /// Reads [`Self::word`] back.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// Outcome of a call, in DiCE's words.
    Result_ {
        /// Nothing known.
        #[default]
        NotApplicable => "N/A",
        /// The callee answered.
        Answered => "ANSWERED",
        /// Busy.
        Busy => "BUSY",
        /// Rang out, or the caller gave up.
        NoAnswer => "NOANSWER",
        /// Anything else.
        Failed => "FAILED",
    }
}

words! {
    /// Why a call ended, in DiCE's words.
    Reason {
        /// Nothing known.
        #[default]
        NotApplicable => "N/A",
        /// The ring time or the longest duration ran out.
        Timeout => "TIMEOUT",
        /// The caller hung up.
        CallerHangup => "CALLERHANGUP",
        /// The callee hung up.
        CalleeHangup => "CALLEEHANGUP",
        /// Policy: a number, caller or destination that is not allowed.
        Blocked => "BLOCKED",
        /// The callback or the operator ended it.
        ManagerHangup => "MANAGERHANGUP",
        /// No route, no capacity, a limit.
        Congestion => "CONGESTION",
        /// The caller gave up before the answer.
        Cancel => "CANCEL",
        /// The callee does not exist.
        UserNotFound => "USERNOTFOUND",
        /// The callback failed.
        CallbackError => "CALLBACKERROR",
        /// The callback answered with something that is no valid SVAML.
        InvalidSvaml => "INVALIDSVAMLACTION",
        /// The callee was busy.
        Busy => "BUSY",
        /// The callee did not answer.
        NoAnswer => "NOANSWER",
        /// Anything else.
        GeneralError => "GENERALERROR",
    }
}

words! {
    /// Who ended the leg.
    ReleaseBy {
        /// The edge itself: a timer, a limit, a failure.
        #[default]
        Edge => "edge",
        /// The caller.
        Caller => "caller",
        /// The callee.
        Callee => "callee",
        /// The callback's answer.
        Callback => "callback",
    }
}

words! {
    /// Which way the call goes, seen from the customer.
    Direction {
        /// From the customer's trunk outwards.
        #[default]
        Termination => "termination",
        /// To one of the customer's numbers.
        Origination => "origination",
    }
}

/// Media figures of one leg.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MediaFigures {
    /// RTP packets received from the peer.
    pub packets_in: u64,
    /// RTP packets sent to the peer.
    pub packets_out: u64,
    /// Per cent of the peer's packets that were lost on the way to us.
    pub loss_in_percent: f32,
    /// Per cent of ours that the peer reports lost.
    pub loss_out_percent: f32,
    /// Inter-arrival jitter of the peer's packets, milliseconds.
    pub jitter_in_ms: f32,
    /// Jitter that the peer reports, milliseconds.
    pub jitter_out_ms: f32,
    /// Listening quality estimate 1.0 to 4.5 of what we received; `None` without media.
    pub mos_in: Option<f32>,
    /// The same of what the peer received, from its reports.
    pub mos_out: Option<f32>,
}

/// One leg's record.
#[derive(Clone, Debug, Default)]
pub struct Cdr {
    /// Which leg.
    pub leg: LegLetter,
    /// SIP Call-ID of the leg.
    pub sip_call_id: Text<SIP_IDENTIFIER_BYTES_MAX>,
    /// Which way the call goes.
    pub direction: Direction,
    /// Trunk of the call.
    pub trunk: Name,
    /// Application key of the call.
    pub account: Name,
    /// User part or URI of the leg's From.
    pub from: Text<128>,
    /// User part or URI of the leg's To.
    pub to: Text<128>,
    /// What the caller dialled.
    pub dialled: Text<128>,
    /// Trunk, carrier or URI that the leg was routed to; empty for leg a.
    pub routed_to: Text<128>,
    /// Which attempt this leg was, from 1; 0 for leg a.
    pub route_attempt: u8,
    /// The peer's signalling address.
    pub peer: Option<SocketAddr>,
    /// Signalling transport.
    pub transport: Transport,
    /// Codec in use, as in SDP; empty without media.
    pub codec: Text<32>,
    /// When the INVITE came (leg a) or went (leg b).
    pub invite_at: WallTime,
    /// First 180 or 183.
    pub ringing_at: Option<WallTime>,
    /// 200.
    pub answer_at: Option<WallTime>,
    /// When the leg was over.
    pub end_at: WallTime,
    /// Final status of the leg's INVITE; 0 when there was none.
    pub sip_code: u16,
    /// Who ended it.
    pub release_by: ReleaseBy,
    /// Why.
    pub reason: Reason,
    /// A sentence for the operator: what went wrong, where; empty when nothing did.
    pub note: Text<128>,
    /// Milliseconds spent in callbacks before the leg was answered or failed.
    pub callback_ms: u32,
    /// Media figures.
    pub media: MediaFigures,
}
