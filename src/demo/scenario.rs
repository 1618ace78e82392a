//! The calls that the demo places, and what must come of each.

use super::world::{OFFICE, WAREHOUSE};
use crate::base::time::Duration;
use crate::sim::phone::{AnswerScript, Outcome};

/// Who calls through which trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A user of the office trunk, with the right password.
    Office,
    /// The same user with a wrong one.
    Guesser,
    /// The warehouse: known by its address, its application has no callback.
    Warehouse,
}

impl Caller {
    /// Termination domain of the trunk.
    pub(super) const fn domain(self) -> &'static str {
        match self {
            Self::Office | Self::Guesser => OFFICE,
            Self::Warehouse => WAREHOUSE,
        }
    }
}

/// Which of the phones that are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    /// What `connectSip` leads to.
    Callee,
    /// The carrier that has lines to spare.
    Carrier,
    /// The carrier whose lines are all busy.
    Full,
}

impl Party {
    pub(super) const ALL: [Self; 3] = [Self::Callee, Self::Carrier, Self::Full];

    /// Heading of its column.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Callee => "callee",
            Self::Carrier => "carrier",
            Self::Full => "full carrier",
        }
    }
}

/// One call.
#[derive(Debug)]
pub(super) struct Scenario {
    /// Its name, in the table and in JSON.
    pub(super) name: &'static str,
    /// What it shows, in a sentence.
    pub(super) title: &'static str,
    pub(super) caller: Caller,
    /// What is dialled: each call has a number of its own, by which its legs are found.
    pub(super) number: &'static str,
    /// Who is called, in order of the attempts.
    pub(super) parties: &'static [Party],
    /// The caller hangs up that long after the answer.
    pub(super) talk: Option<Duration>,
    /// Final statuses, any of which is right.
    pub(super) statuses: &'static [u16],
    /// Whether both sides must have heard each other.
    pub(super) media: bool,
    /// Callbacks that must come, in order.
    pub(super) callbacks: &'static [&'static str],
    /// Legs with a record.
    pub(super) records: usize,
    /// Result and reason, in DiCE's words.
    pub(super) end: (&'static str, &'static str),
}

const TALK: Duration = Duration::from_millis(700);

/// All calls of the demo, in the order in which they are shown.
pub(super) const ALL: [Scenario; 6] = [
    Scenario {
        name: "answered",
        title: "digest, a callback that connects to SIP with private headers, speech both ways",
        caller: Caller::Office,
        number: "+4930901820",
        parties: &[Party::Callee],
        talk: Some(TALK),
        statuses: &[200],
        media: true,
        callbacks: &["ice", "ace", "dice"],
        records: 2,
        end: ("ANSWERED", "CALLERHANGUP"),
    },
    Scenario {
        name: "no-callback",
        title: "a trunk without callback: the dialled number goes to the carrier, who hangs up",
        caller: Caller::Warehouse,
        number: "+4930901821",
        parties: &[Party::Carrier],
        talk: None,
        statuses: &[200],
        media: true,
        callbacks: &[],
        records: 2,
        end: ("ANSWERED", "CALLEEHANGUP"),
    },
    Scenario {
        name: "wrong-password",
        title: "a wrong password: nothing is dialled, and no backend hears of it",
        caller: Caller::Guesser,
        number: "+4930901822",
        parties: &[],
        talk: None,
        statuses: &[401, 403],
        media: false,
        callbacks: &[],
        records: 0,
        end: ("", ""),
    },
    Scenario {
        name: "busy-then-failover",
        title: "the first carrier has no line left (503): the second one takes the call",
        caller: Caller::Office,
        number: "+442071838751",
        parties: &[Party::Full, Party::Carrier],
        talk: Some(TALK),
        statuses: &[200],
        media: true,
        callbacks: &["ice", "ace", "dice"],
        records: 2,
        end: ("ANSWERED", "CALLERHANGUP"),
    },
    Scenario {
        name: "busy",
        title: "a busy callee is the callee's answer: the caller gets it, nobody else is rung",
        caller: Caller::Office,
        number: "+4930901823",
        parties: &[Party::Carrier],
        talk: None,
        statuses: &[486],
        media: false,
        callbacks: &["ice", "dice"],
        records: 2,
        end: ("BUSY", "BUSY"),
    },
    Scenario {
        name: "silent-backend",
        title: "a backend that does not answer: the call fails within the callback's budget",
        caller: Caller::Office,
        number: "+4930901824",
        parties: &[],
        talk: None,
        statuses: &[500, 503],
        media: false,
        callbacks: &["ice", "dice"],
        records: 1,
        end: ("FAILED", "CALLBACKERROR"),
    },
];

/// The number that [`super::backend`] connects to SIP.
pub(super) fn connects_to_sip(number: &str) -> bool {
    number == ALL[0].number
}

/// Whether the backend leaves the question about a number unanswered.
pub(super) fn stays_silent(number: &str) -> bool {
    ALL.iter().any(|call| call.number == number && call.end.1 == "CALLBACKERROR")
}

/// How a phone answers; `None` in place of a number: all others.
pub(super) fn answers(party: Party) -> Vec<(Option<&'static str>, AnswerScript)> {
    let ring = Some((Duration::from_millis(60), 180, false));
    let answer = AnswerScript { ring, ..AnswerScript::plain(Duration::from_millis(150)) };
    match party {
        Party::Callee => vec![(None, answer)],
        Party::Full => vec![(None, AnswerScript::refuse(503))],
        Party::Carrier => {
            let busy = Outcome::Refuse(486);
            let busy = AnswerScript {
                outcome: (Duration::from_millis(60), busy),
                ring: None,
                ..answer.clone()
            };
            let hangs_up = AnswerScript { talk: Some(TALK), ..answer.clone() };
            let number = |name: &str| ALL.iter().find(|call| call.name == name).map(|c| c.number);
            vec![(None, answer), (number("busy"), busy), (number("no-callback"), hangs_up)]
        }
    }
}
