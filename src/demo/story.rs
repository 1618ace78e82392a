//! What is known of the calls so far, from all who saw something, and the ladder that it makes.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Happening;
use super::backend::CallbackLine;
use super::ladder::{Step, Tone};
use super::phones::{PhoneCall, Role, over, since_begin};
use super::scenario::{Party, Scenario};
use crate::base::bounded::clipped;
use crate::base::time::Instant;
use crate::link::Trace;
use crate::sim::phone::Summary;

/// Lines that are kept; a demo that stays up for days forgets the oldest.
const TRACES_MAX: usize = 20_000;
const CALLBACKS_MAX: usize = 5_000;

/// All that was seen.
#[derive(Default)]
pub(super) struct Story {
    rings: Vec<rtrb::Consumer<Trace>>,
    traces: Vec<Trace>,
    pub(super) callbacks: Vec<CallbackLine>,
    /// Call-ID, name and value.
    pub(super) private_headers: Vec<(String, String, String)>,
}

impl Story {
    pub(super) fn listen(&mut self, ring: rtrb::Consumer<Trace>) {
        self.rings.push(ring);
    }

    pub(super) fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Callback(line) => self.callbacks.push(line),
            Happening::PrivateHeader { sip_call_id, name, value } => {
                self.private_headers.push((sip_call_id, name, value));
            }
            Happening::Interrupted => {}
        }
        trim(&mut self.callbacks, CALLBACKS_MAX);
        trim(&mut self.private_headers, CALLBACKS_MAX);
    }

    pub(super) fn drain(&mut self) {
        for ring in &mut self.rings {
            while let Ok(trace) = ring.pop() {
                self.traces.push(trace);
            }
        }
        trim(&mut self.traces, TRACES_MAX);
    }

    /// Questions of the backend about a call, by the Call-ID of its caller's leg.
    pub(super) fn questions(&self, sip_call_id: &str) -> impl Iterator<Item = &CallbackLine> {
        self.callbacks.iter().filter(move |c| c.is_question && c.sip_call_id == sip_call_id)
    }

    /// When the first message of a leg was seen.
    pub(super) fn begun(&self, sip_call_id: &str) -> Option<Instant> {
        let id = clipped::<64>(sip_call_id);
        self.traces.iter().filter(|trace| trace.sip_call_id == id).map(|trace| trace.at).min()
    }

    /// The ladder of a call: headings and steps in order of time.
    pub(super) fn ladder(&self, legs: &Legs<'_>, parties: &[Address]) -> (Vec<&str>, Vec<Step>) {
        let has_callback = self.questions(&legs.caller.call_id).next().is_some();
        let mut names: Vec<&str> = vec!["caller", "edge"];
        names.extend(parties.iter().map(|(party, _)| party.name()));
        let callback = names.len();
        if has_callback {
            names.push("callback");
        }
        let mut steps = self.messages(legs, parties);
        steps.extend(self.callback_steps(&legs.caller, callback));
        steps.extend(speech(legs, parties));
        steps.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        (names, steps)
    }

    fn messages(&self, legs: &Legs<'_>, parties: &[Address]) -> Vec<Step> {
        let known = |call_id: &str| clipped::<64>(call_id);
        let caller = known(&legs.caller.call_id);
        let callees: BTreeSet<_> = legs.callees.iter().map(|c| known(&c.summary.call_id)).collect();
        let mut steps = Vec::new();
        for trace in &self.traces {
            let other = if trace.sip_call_id == caller {
                0
            } else if callees.contains(&trace.sip_call_id) {
                let found = parties.iter().position(|(_, address)| *address == trace.peer);
                2 + found.unwrap_or(0)
            } else {
                continue;
            };
            let (from, to) = if trace.inbound { (other, 1) } else { (1, other) };
            let status = trace.summary.get(..3).and_then(|digits| digits.parse().ok());
            let tone = status.map_or(Tone::Request, Tone::Response);
            let at_ms = since_begin(&legs.caller, trace.at);
            steps.push(Step { at_ms, from, to, label: trace.summary.to_string(), tone });
        }
        steps
    }

    fn callback_steps(&self, caller: &Summary, column: usize) -> impl Iterator<Item = Step> {
        let lines = self.callbacks.iter().filter(|c| c.sip_call_id == caller.call_id);
        lines.map(move |line| {
            let sign = if line.is_signed { '✓' } else { '✗' };
            let (from, to) = if line.is_question { (1, column) } else { (column, 1) };
            let label = match (line.is_question, line.text.as_str()) {
                (true, _) => format!("{}, signed {sign}", line.kind),
                (false, text) => text.to_owned(),
            };
            let tone = Tone::Callback(line.is_signed);
            Step { at_ms: since_begin(caller, line.at), from, to, label, tone }
        })
    }
}

/// A party with its SIP address.
pub(super) type Address = (Party, SocketAddr);

/// The legs of one call as the phones saw them.
#[derive(Clone, Debug)]
pub(super) struct Legs<'c> {
    pub(super) caller: Summary,
    pub(super) callees: Vec<&'c PhoneCall>,
}

impl<'c> Legs<'c> {
    /// The legs of the call with that place; `None`: it is not placed yet.
    pub(super) fn of(index: usize, call: &Scenario, calls: &'c [PhoneCall]) -> Option<Self> {
        let mut callers = calls.iter().filter(|c| c.role == Role::Caller(index));
        let caller = callers.next()?.summary.clone();
        let is_callee = |c: &&PhoneCall| !c.summary.placed && c.summary.dialled == call.number;
        Some(Self { caller, callees: calls.iter().filter(is_callee).collect() })
    }

    /// Whether all phones are done with it.
    pub(super) fn are_over(&self) -> bool {
        over(&self.caller) && self.callees.iter().all(|c| over(&c.summary))
    }

    /// The callee's leg that was answered.
    pub(super) fn answered(&self) -> Option<&Summary> {
        let answered = |c: &&&PhoneCall| c.summary.answered_at.is_some();
        self.callees.iter().find(answered).map(|c| &c.summary)
    }
}

/// The line for the media of an answered call: what each side heard.
fn speech(legs: &Legs<'_>, parties: &[Address]) -> Option<Step> {
    let (caller, callee) = (&legs.caller, legs.answered()?);
    let at = caller.confirmed_at?.max(callee.confirmed_at?);
    let label = format!("RTP {}▸ ◂{}", callee.media.received, caller.media.received);
    let to = 1 + parties.len();
    let answered = legs.callees.iter().find(|c| c.summary.call_id == callee.call_id)?;
    let column = parties.iter().position(|(party, _)| Role::Party(*party) == answered.role);
    let to = column.map_or(to, |column| 2 + column);
    let at_ms = since_begin(caller, at) + 20.0;
    Some(Step { at_ms, from: 0, to, label, tone: Tone::Speech })
}

fn trim<T>(list: &mut Vec<T>, max: usize) {
    if list.len() > max {
        list.drain(..list.len() - max);
    }
}
