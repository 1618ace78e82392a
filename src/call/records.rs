//! The records of a call: one CDR a leg, and the customer's DiCE.

use super::leg::Leg;
use super::machine::Call;
use crate::base::bounded::{List, clipped};
use crate::base::time::{Instant, WallTime};
use crate::link::Records;
use crate::link::ask::{Dialled, Dice};
use crate::link::cdr::{Cdr, LegLetter, MediaFigures, Reason, ReleaseBy, Result_};
use crate::media::quality::LegReport;

/// The records as the call stands now: of an ended call the final ones, of a live one those that
/// a crash would leave. `wall_at_zero` is the wall-clock time at `Instant::ZERO`.
pub fn of(call: &Call, now: Instant, wall_at_zero: WallTime) -> Records {
    let wall = |at: Instant| WallTime(wall_at_zero.0 + at.as_millis());
    let end = call.release.as_ref().map_or(now, |release| release.at);
    let mut cdrs = List::new();
    cdrs.push(cdr(call, &call.a, wall(end), &wall));
    if call.b.invite_at.is_some() {
        cdrs.push(cdr(call, &call.b, wall(end), &wall));
    }
    Records { call: call.key, id: call.id, cdrs, dice: dice(call, end, wall(end)) }
}

fn cdr(call: &Call, leg: &Leg, end_at: WallTime, wall: &dyn Fn(Instant) -> WallTime) -> Cdr {
    let outcome = call.release.as_ref().map(|release| release.outcome);
    let is_callee = leg.letter == LegLetter::B;
    let attempt = call.plan.attempts.get(call.attempt).filter(|_| is_callee);
    Cdr {
        leg: leg.letter,
        sip_call_id: clipped(leg.dialog.as_ref().map_or("", |dialog| dialog.call_id())),
        direction: call.direction,
        trunk: call.trunk,
        account: call.application,
        from: leg.from,
        to: leg.to,
        dialled: clipped(dialled(call)),
        routed_to: attempt.map(|attempt| clipped(&attempt.via)).unwrap_or_default(),
        route_attempt: attempt.map_or(0, |_| u8::try_from(call.attempt + 1).unwrap_or(u8::MAX)),
        peer: leg.peer,
        transport: leg.transport,
        codec: leg.codec,
        invite_at: leg.invite_at.map(wall).unwrap_or_default(),
        ringing_at: leg.ringing_at.map(wall),
        answer_at: leg.answer_at.map(wall),
        end_at,
        sip_code: leg.sip_code,
        release_by: outcome.map_or(ReleaseBy::Edge, |outcome| outcome.release_by),
        reason: outcome.map_or(Reason::NotApplicable, |outcome| outcome.reason),
        note: call.release.as_ref().map(|release| release.note).unwrap_or_default(),
        callback_ms: call.callback_ms,
        media: leg.figures,
    }
}

fn dialled(call: &Call) -> &str {
    match &call.dialled {
        Dialled::Number(number) | Dialled::Did(number) => number,
    }
}

fn dice(call: &Call, end: Instant, at: WallTime) -> Option<Dice> {
    if !call.callbacks {
        return None;
    }
    let outcome = call.release.as_ref().map(|release| release.outcome);
    let answered = call.a.answer_at;
    let duration = answered.map(|answered| {
        u32::try_from((end - answered).as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
    });
    Some(Dice {
        application: call.application,
        from: call.cli,
        to: call.dialled.clone(),
        result: outcome.map_or(Result_::NotApplicable, |outcome| outcome.result),
        reason: outcome.map_or(Reason::NotApplicable, |outcome| outcome.reason),
        duration,
        at,
    })
}

/// A media session's final report in the terms of a record.
pub fn figures(report: &LegReport) -> MediaFigures {
    let expected = report.packets_in + report.lost;
    MediaFigures {
        packets_in: report.packets_in,
        packets_out: report.packets_out,
        loss_in_percent: percent(report.lost, expected),
        loss_out_percent: percent(
            u64::from(report.remote_lost.unwrap_or_default()),
            report.packets_out,
        ),
        jitter_in_ms: report.jitter_ms,
        jitter_out_ms: report.remote_jitter_ms.unwrap_or_default(),
        mos_in: report.mos,
        mos_out: None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn percent(part: u64, whole: u64) -> f32 {
    if whole == 0 { 0.0 } else { part as f32 * 100.0 / whole as f32 }
}
