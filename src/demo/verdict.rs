//! Whether each call went as it should, in sentences where it did not; the table and the JSON.

use super::backend::{CallbackLine, PRIVATE_HEADER};
use super::phones::since_begin;
use super::scenario::Scenario;
use super::story::{Legs, Story};
use crate::control::cdr::CdrRow;
use crate::sim::phone::Summary;
use crate::sim::phone::media::Figures;

/// Packets that each side must have heard: well below a call's 35, for slow machines.
const PACKETS_MIN: u64 = 10;

/// What came of one call.
#[derive(Debug)]
pub(super) struct Verdict {
    name: &'static str,
    /// What is wrong, in sentences.
    pub(super) failures: Vec<String>,
    status: u16,
    post_dial_delay_ms: Option<f64>,
    /// Packets that the callee heard, and the caller.
    packets: (u64, u64),
    loss_percent: f64,
    records: Vec<CdrRow>,
    callbacks: Vec<CallbackLine>,
}

impl Verdict {
    /// Judges a call.
    pub(super) fn of(
        call: &'static Scenario,
        legs: Option<&Legs<'_>>,
        story: &Story,
        records: Vec<CdrRow>,
    ) -> Self {
        let mut verdict = Self {
            name: call.name,
            failures: Vec::new(),
            status: 0,
            post_dial_delay_ms: None,
            packets: (0, 0),
            loss_percent: 0.0,
            records,
            callbacks: Vec::new(),
        };
        let Some(legs) = legs else {
            verdict.fail("the call was never placed".to_owned());
            return verdict;
        };
        let caller = &legs.caller;
        verdict.status = caller.status;
        verdict.callbacks = story.questions(&caller.call_id).cloned().collect();
        let first = legs.callees.iter().filter_map(|c| c.summary.answered_at).min();
        let first = caller.answered_at.or(first);
        verdict.post_dial_delay_ms = first.map(|at| since_begin(caller, at));
        verdict.judge_signalling(call, legs, story);
        verdict.judge_callbacks(call);
        verdict.judge_records(call, legs);
        verdict.judge_media(call, legs);
        verdict
    }

    /// Milliseconds from INVITE to the first ringing, as the caller heard it.
    pub(super) fn with_delay(mut self, first_ring_ms: Option<f64>) -> Self {
        self.post_dial_delay_ms = first_ring_ms.or(self.post_dial_delay_ms);
        self
    }

    pub(super) fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }

    fn fail(&mut self, sentence: String) {
        self.failures.push(format!("{}: {sentence}", self.name));
    }

    fn judge_signalling(&mut self, call: &Scenario, legs: &Legs<'_>, story: &Story) {
        if !call.statuses.contains(&self.status) {
            let (got, wanted) = (self.status, call.statuses);
            self.fail(format!("the caller's final status is {got}, not one of {wanted:?}"));
        }
        if legs.callees.len() != call.parties.len() {
            let (got, wanted) = (legs.callees.len(), call.parties.len());
            self.fail(format!("{got} phones were called, not {wanted}"));
        }
        if !legs.are_over() {
            self.fail("a side still takes the call for live".to_owned());
        }
        if call.name == "answered" {
            let (name, value) = PRIVATE_HEADER;
            let came = legs.callees.iter().any(|callee| {
                story.private_headers.iter().any(|(id, n, v)| {
                    *id == callee.summary.call_id && n.eq_ignore_ascii_case(name) && v == value
                })
            });
            if !came {
                self.fail(format!("the callee's INVITE has no {name}: {value}"));
            }
        }
    }

    fn judge_callbacks(&mut self, call: &Scenario) {
        let kinds: Vec<_> = self.callbacks.iter().map(|c| c.kind.as_str()).collect();
        if kinds != call.callbacks {
            let wanted = call.callbacks;
            self.fail(format!("the backend was asked {kinds:?}, not {wanted:?}"));
        }
        if self.callbacks.iter().any(|callback| !callback.is_signed) {
            self.fail("a callback's signature is wrong".to_owned());
        }
        let wanted = (call.end.0.to_owned(), call.end.1.to_owned());
        let ends: Vec<_> = self.callbacks.iter().filter_map(|c| c.end.clone()).collect();
        for end in ends.into_iter().filter(|end| *end != wanted) {
            self.fail(format!("DiCE says {end:?}, not {wanted:?}"));
        }
    }

    fn judge_records(&mut self, call: &Scenario, legs: &Legs<'_>) {
        if self.records.len() != call.records {
            let (got, wanted) = (self.records.len(), call.records);
            return self.fail(format!("the store has {got} records, not {wanted}"));
        }
        let mut wrong = Vec::new();
        for row in &self.records {
            let end = (row.result.word(), row.cdr.reason.word());
            if end != call.end {
                wrong.push(format!("a record says {end:?}, not {:?}", call.end));
            }
            let is_callee = row.cdr.leg == crate::link::LegLetter::B;
            let of_phone = |summary: &Summary| row.cdr.sip_call_id.as_str() == summary.call_id;
            let known = if is_callee {
                legs.callees.iter().any(|callee| of_phone(&callee.summary))
            } else {
                of_phone(&legs.caller)
            };
            if !known {
                let id = row.cdr.sip_call_id;
                wrong.push(format!("a record's Call-ID {id} is none of its phones'"));
            }
        }
        wrong.into_iter().for_each(|sentence| self.fail(sentence));
    }

    fn judge_media(&mut self, call: &Scenario, legs: &Legs<'_>) {
        let Some(callee) = legs.answered().filter(|_| call.media) else {
            if call.media {
                self.fail("nobody answered".to_owned());
            }
            return;
        };
        let caller = &legs.caller;
        self.packets = (callee.media.received, caller.media.received);
        self.loss_percent = lost(&callee.media).max(lost(&caller.media));
        for (who, heard, other) in [("caller", caller, callee), ("callee", callee, caller)] {
            let packets = heard.media.received;
            if packets < PACKETS_MIN {
                self.fail(format!("the {who} heard {packets} packets, fewer than {PACKETS_MIN}"));
            } else if heard.media.peers != [other.media_identity] {
                self.fail(format!("the {who} heard somebody else"));
            }
            if let Some(fault) = heard.media.faults.first() {
                self.fail(format!("the {who} heard what it must not: {fault}"));
            }
        }
    }

    /// One object, for programs.
    pub(super) fn json(&self) -> serde_json::Value {
        let records = self.records.iter().map(|row| {
            let record = serde_json::from_str::<serde_json::Value>(&row.json());
            record.unwrap_or_default()
        });
        let callbacks = self.callbacks.iter().map(
            |callback| serde_json::json!({ "event": callback.kind, "signed": callback.is_signed }),
        );
        serde_json::json!({
            "name": self.name,
            "ok": self.is_ok(),
            "sip_status": self.status,
            "pdd_ms": self.post_dial_delay_ms.map(|ms| (ms * 10.0).round() / 10.0),
            "rtp_a_to_b": self.packets.0,
            "rtp_b_to_a": self.packets.1,
            "loss_percent": (self.loss_percent * 100.0).round() / 100.0,
            "callbacks": callbacks.collect::<Vec<_>>(),
            "cdr": records.collect::<Vec<_>>(),
            "failures": self.failures,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage of a few hundred packets")]
fn lost(figures: &Figures) -> f64 {
    let expected = figures.received + figures.lost;
    if expected == 0 { 0.0 } else { figures.lost as f64 * 100.0 / expected as f64 }
}

/// All verdicts for people.
pub(super) fn table(verdicts: &[Verdict], colour: bool) -> String {
    let mut text = format!(
        "{:<20} {:<7} {:>4} {:>8} {:>8} {:>8} {:>7}  {}\n",
        "call", "result", "SIP", "PDD ms", "RTP a→b", "RTP b→a", "loss %", "records"
    );
    text.push_str(&format!("{}\n", "─".repeat(96)));
    for verdict in verdicts {
        let (word, code) = if verdict.is_ok() { ("ok", "32") } else { ("FAILED", "31") };
        let word = super::ladder::paint(&format!("{word:<7}"), code, colour);
        let delay = verdict.post_dial_delay_ms.map(|ms| format!("{ms:.1}"));
        let delay = delay.as_deref().unwrap_or("–");
        let records = match verdict.records.first() {
            None => "none: refused before it was a call".to_owned(),
            Some(row) => format!("{} × {}", verdict.records.len(), row.cdr.reason.word()),
        };
        text.push_str(&format!(
            "{:<20} {word} {:>4} {delay:>8} {:>8} {:>8} {:>7.1}  {records}\n",
            verdict.name,
            verdict.status,
            verdict.packets.0,
            verdict.packets.1,
            verdict.loss_percent,
        ));
    }
    text
}
