//! How far a dialog has come, and what may happen to it then.

/// RFC 3261 §12: a dialog is early, confirmed, or over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DialogState {
    /// Our INVITE is out, and nobody has answered with a To-tag.
    Calling,
    /// A provisional response with a To-tag was sent or received.
    Early,
    /// The INVITE was answered 2xx.
    Confirmed,
    /// Over. Nothing more is sent or accepted in it.
    Terminated,
}

/// What happens to a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DialogEvent {
    /// 101 to 199 with a To-tag, sent or received.
    Provisional,
    /// 2xx to the INVITE, sent or received.
    Success,
    /// 300 to 699 to the first INVITE, sent or received.
    Failure,
    /// BYE, sent or received.
    Bye,
    /// The peer knows nothing of the dialog or does not answer (481, 408, timeout).
    Lost,
}

impl DialogState {
    /// All states, in order.
    pub const ALL: [Self; 4] = [Self::Calling, Self::Early, Self::Confirmed, Self::Terminated];

    /// The state after `event`; `None` where the event cannot happen.
    pub const fn next(self, event: DialogEvent) -> Option<Self> {
        use DialogEvent as Event;
        match (self, event) {
            (Self::Calling | Self::Early, Event::Provisional) => Some(Self::Early),
            (Self::Calling | Self::Early, Event::Success) => Some(Self::Confirmed),
            (Self::Calling | Self::Early, Event::Failure | Event::Lost) => Some(Self::Terminated),
            // Before there is a dialog there is only CANCEL (RFC 3261 §15).
            (Self::Calling, Event::Bye) => None,
            (Self::Early, Event::Bye) => Some(Self::Terminated),
            // A repeated 2xx is the transaction's business, and a failed re-INVITE leaves the
            // dialog as it is (RFC 3261 §14.1).
            (Self::Confirmed, Event::Provisional | Event::Success | Event::Failure) => None,
            (Self::Confirmed, Event::Bye | Event::Lost) => Some(Self::Terminated),
            (Self::Terminated, _) => None,
        }
    }
}

impl DialogEvent {
    /// All events, in order.
    pub const ALL: [Self; 5] =
        [Self::Provisional, Self::Success, Self::Failure, Self::Bye, Self::Lost];
}
