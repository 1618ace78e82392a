//! Deliberate faults, to see that the checkers see. Each breaks one promise of the edge, in the
//! simulator's wrapper around it.

/// Which promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// A media port is not given back.
    LeakPort,
    /// A call's limit is not given back.
    LeakLimit,
    /// A call's records are thrown away.
    ForgetCdr,
    /// A call's end is not told.
    ForgetDice,
    /// A call is recorded and told under a second name as well.
    TwoNames,
    /// An INVITE gets a second final response.
    AnswerTwice,
    /// BYE gets no response.
    SwallowBye,
    /// A media packet goes to a stranger, too.
    MediaToStranger,
    /// A relayed packet has the number of an earlier one.
    RepeatSequence,
    /// A media packet of somebody else is mixed in.
    InjectMedia,
    /// A password is told to a peer.
    TellSecret,
    /// A stranger is answered threefold.
    Amplify,
    /// Calls are not ended at their longest duration.
    EndlessCall,
}

impl Break {
    /// All of them, with their names on the command line.
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::LeakPort, "port"),
        (Self::LeakLimit, "limit"),
        (Self::ForgetCdr, "cdr"),
        (Self::ForgetDice, "dice"),
        (Self::TwoNames, "name"),
        (Self::AnswerTwice, "final"),
        (Self::SwallowBye, "bye"),
        (Self::MediaToStranger, "stranger"),
        (Self::RepeatSequence, "sequence"),
        (Self::InjectMedia, "inject"),
        (Self::TellSecret, "secret"),
        (Self::Amplify, "amplify"),
        (Self::EndlessCall, "endless"),
    ];

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(which, _)| *which)
    }
}
