//! Call detail records as they are kept, asked for and printed.

use std::fmt::Write as _;

use crate::base::id::CallId;
use crate::base::time::WallTime;
use crate::link::cdr::{Cdr, MediaFigures, Reason, ReleaseBy, Result_};

/// Version of the record's fields, in every printed record.
pub const CDR_VERSION: u32 = 1;

/// One leg's record with the call that it belongs to.
#[derive(Clone, Debug)]
pub struct CdrRow {
    /// The call.
    pub call_id: CallId,
    /// Name of the edge that carried it.
    pub node: String,
    /// Outcome of the call.
    pub result: Result_,
    /// The leg.
    pub cdr: Cdr,
}

impl CdrRow {
    /// A row whose times do not go backwards: a wall clock that was set back during the call must
    /// not give negative durations. `result` is the call's where it is known, else derived.
    pub fn new(call_id: CallId, node: &str, result: Option<Result_>, mut cdr: Cdr) -> Self {
        let mut latest = cdr.invite_at;
        for time in [cdr.ringing_at.as_mut(), cdr.answer_at.as_mut()].into_iter().flatten() {
            latest = latest.max(*time);
            *time = latest;
        }
        cdr.end_at = cdr.end_at.max(latest);
        let result = result.unwrap_or_else(|| derived_result(&cdr));
        Self { call_id, node: node.to_owned(), result, cdr }
    }

    /// Milliseconds from INVITE to the first 180, 183 or 200.
    pub fn post_dial_delay_ms(&self) -> Option<u64> {
        let first = self.cdr.ringing_at.or(self.cdr.answer_at)?;
        Some(first.0 - self.cdr.invite_at.0)
    }

    /// Milliseconds from ringing to answer or end.
    pub fn ring_ms(&self) -> Option<u64> {
        let ringing = self.cdr.ringing_at?;
        Some(self.cdr.answer_at.unwrap_or(self.cdr.end_at).0 - ringing.0)
    }

    /// Milliseconds from INVITE to end.
    pub fn duration_ms(&self) -> u64 {
        self.cdr.end_at.0 - self.cdr.invite_at.0
    }

    /// Milliseconds from answer to end; 0 when not answered.
    pub fn bill_ms(&self) -> u64 {
        self.cdr.answer_at.map_or(0, |answer| self.cdr.end_at.0 - answer.0)
    }

    /// All fields in the order in which they are printed.
    pub fn fields(&self) -> Vec<(&'static str, Field)> {
        use Field::{Millis, Real, Text, Time, Whole};
        let cdr = &self.cdr;
        let MediaFigures { mos_in, mos_out, .. } = cdr.media;
        vec![
            ("cdr_version", Whole(u64::from(CDR_VERSION))),
            ("node", Text(self.node.clone())),
            ("call_id", Text(self.call_id.to_string())),
            ("leg", Text(leg_word(cdr).to_owned())),
            ("sip_call_id", Text(cdr.sip_call_id.to_string())),
            ("direction", Text(cdr.direction.word().to_owned())),
            ("trunk", Text(cdr.trunk.to_string())),
            ("account", Text(cdr.account.to_string())),
            ("from", Text(cdr.from.to_string())),
            ("to", Text(cdr.to.to_string())),
            ("dialled", Text(cdr.dialled.to_string())),
            ("routed_to", Text(cdr.routed_to.to_string())),
            ("route_attempt", Whole(u64::from(cdr.route_attempt))),
            ("peer", cdr.peer.map_or(Field::None, |peer| Text(peer.to_string()))),
            ("transport", Text(cdr.transport.name().to_owned())),
            ("codec", Text(cdr.codec.to_string())),
            ("t_invite", Time(cdr.invite_at)),
            ("t_ringing", cdr.ringing_at.map_or(Field::None, Time)),
            ("t_answer", cdr.answer_at.map_or(Field::None, Time)),
            ("t_end", Time(cdr.end_at)),
            ("pdd_ms", self.post_dial_delay_ms().map_or(Field::None, Millis)),
            ("ring_ms", self.ring_ms().map_or(Field::None, Millis)),
            ("duration_ms", Millis(self.duration_ms())),
            ("bill_ms", Millis(self.bill_ms())),
            ("sip_code", Whole(u64::from(cdr.sip_code))),
            ("result", Text(self.result.word().to_owned())),
            ("reason", Text(cdr.reason.word().to_owned())),
            ("release_by", Text(cdr.release_by.word().to_owned())),
            ("note", Text(cdr.note.to_string())),
            ("callback_ms", Millis(u64::from(cdr.callback_ms))),
            ("rtp_pkts_in", Whole(cdr.media.packets_in)),
            ("rtp_pkts_out", Whole(cdr.media.packets_out)),
            ("loss_pct_in", Real(cdr.media.loss_in_percent)),
            ("loss_pct_out", Real(cdr.media.loss_out_percent)),
            ("jitter_ms_in", Real(cdr.media.jitter_in_ms)),
            ("jitter_ms_out", Real(cdr.media.jitter_out_ms)),
            ("mos_lq_in", mos_in.map_or(Field::None, Real)),
            ("mos_lq_out", mos_out.map_or(Field::None, Real)),
        ]
    }

    /// The record as one JSON object, members in printing order.
    pub fn json(&self) -> String {
        let mut out = String::from("{");
        for (index, (name, field)) in self.fields().iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\"{name}\":{}", field.json());
        }
        out.push('}');
        out
    }

    /// The record as one line of CSV (RFC 4180), without the line end.
    pub fn csv(&self) -> String {
        let cells: Vec<_> = self.fields().iter().map(|(_, field)| field.csv()).collect();
        cells.join(",")
    }

    /// Marks the record of a call that the edge itself lost at `at`.
    pub fn lose(&mut self, at: WallTime) {
        self.cdr.end_at = at.max(self.cdr.end_at).max(self.cdr.answer_at.unwrap_or_default());
        self.cdr.reason = Reason::GeneralError;
        self.cdr.release_by = ReleaseBy::Edge;
        self.cdr.note = crate::base::bounded::clipped("edge restarted during the call");
    }
}

/// First line of a CSV file.
pub fn csv_header() -> String {
    let row = CdrRow::new(CallId::new(0, [0; 10]), "", None, Cdr::default());
    let names: Vec<_> = row.fields().iter().map(|(name, _)| *name).collect();
    names.join(",")
}

/// `a` or `b`.
pub fn leg_word(cdr: &Cdr) -> &'static str {
    match cdr.leg {
        crate::link::LegLetter::A => "a",
        crate::link::LegLetter::B => "b",
    }
}

/// The call's outcome where only the leg is known.
fn derived_result(cdr: &Cdr) -> Result_ {
    if cdr.answer_at.is_some() {
        return Result_::Answered;
    }
    match cdr.reason {
        Reason::Busy => Result_::Busy,
        Reason::NoAnswer | Reason::Timeout | Reason::Cancel => Result_::NoAnswer,
        _ => Result_::Failed,
    }
}

/// A printed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Not known, or does not apply.
    None,
    /// Text.
    Text(String),
    /// A count.
    Whole(u64),
    /// Milliseconds.
    Millis(u64),
    /// A measured value.
    Real(f32),
    /// A point in time.
    Time(WallTime),
}

impl Field {
    fn json(&self) -> String {
        match self {
            Self::None => "null".to_owned(),
            Self::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
            Self::Time(time) => format!("\"{}\"", time.to_rfc3339()),
            Self::Real(value) if !value.is_finite() => "null".to_owned(),
            Self::Whole(_) | Self::Millis(_) | Self::Real(_) => self.csv(),
        }
    }

    fn csv(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Text(text) => csv_cell(text),
            Self::Whole(value) | Self::Millis(value) => value.to_string(),
            Self::Real(value) => format!("{value:.2}"),
            Self::Time(time) => time.to_rfc3339(),
        }
    }
}

/// One cell. Control characters are written as `\u00xx`; text that a spreadsheet would take for a
/// formula gets an apostrophe, except `+` and digits, which is what a number looks like.
fn csv_cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len() + 2);
    let number = text
        .strip_prefix('+')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    let first = text.trim_start().chars().next();
    if matches!(first, Some('=' | '+' | '-' | '@')) && !number {
        cell.push('\'');
    }
    for c in text.chars() {
        match c {
            '"' => cell.push_str("\"\""),
            c if c.is_control() => {
                let _ = write!(cell, "\\u{:04x}", u32::from(c));
            }
            c => cell.push(c),
        }
    }
    let quoted = cell.contains(['"', ',', ';', '\'', ' ']);
    if quoted { format!("\"{cell}\"") } else { cell }
}

/// Which records are asked for. All conditions hold together.
#[derive(Clone, Debug, Default)]
pub struct CdrFilter {
    /// Begun at this time or later.
    pub since: Option<WallTime>,
    /// Begun before this time.
    pub until: Option<WallTime>,
    /// Of this trunk.
    pub trunk: Option<String>,
    /// From, to or dialled this number, with or without `+`.
    pub number: Option<String>,
    /// Of this call.
    pub call_id: Option<CallId>,
    /// With this outcome.
    pub result: Option<Result_>,
    /// At most so many records, newest first; at most [`CDR_LIMIT_MAX`].
    pub limit: Option<u32>,
}

/// Most records in one answer.
pub const CDR_LIMIT_MAX: u32 = 10_000;

impl CdrFilter {
    /// The limit in force: 100 where none was asked for.
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(100).min(CDR_LIMIT_MAX)
    }

    /// The number as it is compared: letters and digits only. Empty: no record matches.
    pub fn number(&self) -> Option<String> {
        let number = self.number.as_deref()?;
        Some(number.chars().filter(char::is_ascii_alphanumeric).collect())
    }

    /// Whether a row is asked for, the limit aside.
    pub fn admits(&self, row: &CdrRow) -> bool {
        let number_of = |text: &str| -> String {
            let text =
                text.strip_prefix("sip:").or_else(|| text.strip_prefix("sips:")).unwrap_or(text);
            let user = text.split('@').next().unwrap_or_default();
            user.trim_start_matches('+').to_owned()
        };
        let number = self.number();
        self.since.is_none_or(|since| row.cdr.invite_at >= since)
            && self.until.is_none_or(|until| row.cdr.invite_at < until)
            && self.trunk.as_deref().is_none_or(|trunk| row.cdr.trunk.as_str() == trunk)
            && self.call_id.is_none_or(|id| row.call_id == id)
            && self.result.is_none_or(|result| row.result == result)
            && number.is_none_or(|number| {
                !number.is_empty()
                    && [&row.cdr.from, &row.cdr.to, &row.cdr.dialled]
                        .iter()
                        .any(|text| number_of(text) == number)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::bounded::clipped;

    #[test]
    fn cells_cannot_be_formulas_or_break_lines() {
        for (text, cell) in [
            ("+46700000000", "+46700000000"),
            ("+46+cmd|' /C calc'!A0", "\"'+46+cmd|' /C calc'!A0\""),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            (" =1", "\"' =1\""),
            ("-2", "\"'-2\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("a\r\nb\u{1b}[31m", "a\\u000d\\u000ab\\u001b[31m"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(csv_cell(text), cell);
        }
    }

    #[test]
    fn times_never_go_backwards() {
        let cdr = Cdr {
            invite_at: WallTime(10_000),
            ringing_at: Some(WallTime(9_000)),
            answer_at: Some(WallTime(12_000)),
            end_at: WallTime(11_000),
            ..Cdr::default()
        };
        let row = CdrRow::new(CallId::new(1, [0; 10]), "edge-1", None, cdr);
        assert_eq!(row.post_dial_delay_ms(), Some(0));
        assert_eq!((row.ring_ms(), row.duration_ms(), row.bill_ms()), (Some(2000), 2000, 0));
        assert_eq!(row.result, Result_::Answered);
    }

    #[test]
    fn json_and_csv_agree_on_fields() {
        let cdr = Cdr { from: clipped("\"evil\u{7}\", =x"), ..Cdr::default() };
        let row = CdrRow::new(CallId::new(1, [0; 10]), "edge-1", None, cdr);
        let json: serde_json::Value = serde_json::from_str(&row.json()).expect("valid JSON");
        assert_eq!(json["from"], "\"evil\u{7}\", =x");
        assert_eq!(json["t_answer"], serde_json::Value::Null);
        assert_eq!(csv_header().split(',').count(), json.as_object().expect("object").len());
        assert!(row.csv().contains("\"\"\"evil\\u0007\"\", =x\""));
    }
}
