//! One leg of a call: a dialog, a media session, and the facts for its record.

use std::net::SocketAddr;

use super::offer::{Description, LocalSession};
use crate::base::bounded::Text;
use crate::base::packet::Transport;
use crate::base::time::Instant;
use crate::link::cdr::{LegLetter, MediaFigures};
use crate::media::leg::LegKey;
use crate::sip::auth::Retries;
use crate::sip::dialog::Dialog;
use crate::sip::transaction::{ClientKey, ServerKey};

/// Where a leg stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LegState {
    /// Not begun.
    #[default]
    Idle,
    /// INVITE came or went; no final response yet.
    Inviting,
    /// 2xx came or went; not acknowledged yet.
    Answered,
    /// The dialog stands.
    Confirmed,
    /// CANCEL went; the INVITE's final response is awaited.
    Cancelling,
    /// Nothing more to do for it.
    Over,
}

/// A leg.
#[derive(Debug)]
pub struct Leg {
    /// Caller's or callee's.
    pub letter: LegLetter,
    /// Where it stands.
    pub state: LegState,
    /// Its dialog; `None` before the INVITE.
    pub dialog: Option<Dialog>,
    /// The INVITE that came in (leg a).
    pub invite_server: Option<ServerKey>,
    /// The INVITE under way towards the peer: the first one, or one inside the dialog.
    pub invite_client: Option<ClientKey>,
    /// Its media session.
    pub media: Option<LegKey>,
    /// What the peer last said about media.
    pub remote: Option<Description>,
    /// What we last said: identity and version of our description.
    pub local: LocalSession,
    /// Whether media may come from an address that was not signalled.
    pub nat: bool,
    /// BYE goes out as soon as the 200 is acknowledged.
    pub bye_after_ack: bool,
    /// Challenges answered on this leg.
    pub retries: Retries,
    /// Signalling address of the peer.
    pub peer: Option<SocketAddr>,
    /// Signalling transport.
    pub transport: Transport,
    /// URI or number in From, as the record shows it.
    pub from: Text<128>,
    /// URI or number in To, as the record shows it.
    pub to: Text<128>,
    /// When the INVITE came or went.
    pub invite_at: Option<Instant>,
    /// First 180 or 183.
    pub ringing_at: Option<Instant>,
    /// 200.
    pub answer_at: Option<Instant>,
    /// Final status of the INVITE.
    pub sip_code: u16,
    /// Codec in use.
    pub codec: Text<32>,
    /// Figures of the media session, once it is closed.
    pub figures: MediaFigures,
}

impl Leg {
    /// A leg that has not begun.
    pub fn new(letter: LegLetter, local: LocalSession) -> Self {
        Self {
            letter,
            state: LegState::Idle,
            dialog: None,
            invite_server: None,
            invite_client: None,
            media: None,
            remote: None,
            local,
            nat: false,
            bye_after_ack: false,
            retries: Retries::default(),
            peer: None,
            transport: Transport::Udp,
            from: Text::new(),
            to: Text::new(),
            invite_at: None,
            ringing_at: None,
            answer_at: None,
            sip_code: 0,
            codec: Text::new(),
            figures: MediaFigures::default(),
        }
    }

    /// Whether nothing more is to be done for it.
    pub fn is_over(&self) -> bool {
        self.state == LegState::Over
    }
}
