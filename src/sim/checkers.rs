//! What must be true of every run, whatever its faults were.

use std::collections::{BTreeMap, BTreeSet};

use super::hostile;
use super::options::{Answer, CallPlan, Options};
use super::phone::media::Figures;
use super::phone::{AckStyle, EndedBy, Phone, Summary, What};
use super::scene::Host;
use super::world::World;
use crate::base::counter::Counter;
use crate::base::id::CallId;
use crate::base::time::{Duration, Instant};
use crate::link::LegLetter;
use crate::shard::Census;

/// A call answered this long before a crash is in the ledger.
const COMMIT: Duration = Duration::from_millis(500);
/// How much longer than allowed a call may last: the way of its BYE, with repeats.
const OVERRUN: Duration = Duration::from_secs(6);

/// Whether a phone's complaint is no fault of the edge in this run.
pub(super) fn excused(world: &World, sentence: &str) -> bool {
    // An edge that lost its memory, or cannot be heard, ends nothing.
    let deaf = world.crashed_at.is_some() || world.options.cut.is_some();
    let deaf = deaf || resets(&world.options);
    let unended = sentence.contains("fork") || sentence.contains("ACK no answer");
    deaf && (unended || sentence.contains("two final responses"))
}

/// Checks once everything should have settled.
pub(super) fn settled(world: &mut World) {
    if !world.log.violations().is_empty() {
        return;
    }
    let mut found = Vec::new();
    nothing_left(world, &mut found);
    transactions_finished(world, &mut found);
    for (host, summary) in summaries(world) {
        media_was_own(host, &summary, &mut found);
        duration_was_kept(world, host, &summary, &mut found);
    }
    media_flowed(world, &mut found);
    say(world, found);
}

/// Checks at the very end, when undelivered events had their time.
pub(super) fn finished(world: &mut World) {
    if !world.log.violations().is_empty() {
        return;
    }
    let mut found = Vec::new();
    records_kept(world, &mut found);
    events_delivered(world, &mut found);
    say(world, found);
}

fn say(world: &mut World, found: Vec<String>) {
    let now = world.now;
    for sentence in found {
        world.log.violation(now, sentence);
    }
}

fn summaries(world: &World) -> Vec<(Host, Summary)> {
    let of = |(host, phone): (&Host, &Phone)| {
        let host = *host;
        phone.summaries().map(move |summary| (host, summary)).collect::<Vec<_>>()
    };
    world.phones.iter().flat_map(of).collect()
}

/// Calls, transactions, timers, ports and limits are all given back.
fn nothing_left(world: &World, found: &mut Vec<String>) {
    for (shard, census) in world.edge.census().into_iter().enumerate() {
        if census != Census::default() {
            found.push(format!("shard {shard} still holds {census:?}"));
        }
    }
    if !world.edge.open.is_empty() {
        found.push(format!("media ports are still open: {:?}", world.edge.open));
    }
    for (trunk, usage) in world.edge.usages.iter().enumerate() {
        if usage.calls() != 0 {
            found.push(format!("trunk {trunk} still counts {} calls", usage.calls()));
        }
    }
    for (host, phone) in &world.phones {
        if !phone.is_idle() {
            let (crashed, cut) = (world.crashed_at.is_some(), world.options.cut.is_some());
            let lost = crashed || cut || resets(&world.options);
            // A phone whose BYE or 2xx met a dead edge waits for ever, as real ones do.
            if !lost {
                found.push(format!("phone {} has not settled", host.name()));
            }
        }
    }
    let totals = world.edge.totals();
    if totals.get(&Counter::InvariantFailed).is_some_and(|count| *count > 0) {
        found.push("an invariant of a call failed".to_owned());
    }
    let drained = world.options.drain.is_some() && world.crashed_at.is_none();
    if drained && world.edge.drained.len() != usize::from(world.options.shards) {
        found.push(format!("only {:?} said that they drained", world.edge.drained));
    }
}

/// Every request that a phone sent got a final response.
fn transactions_finished(world: &World, found: &mut Vec<String>) {
    for told in &world.told {
        let What::TimedOut(method) = &told.event.what else { continue };
        // Where the caller's ACK is late or missing, so is the callee's.
        let silent = method == "ACK" && world.options.moody_callers;
        let deaf =
            world.crashed_at.is_some() || world.options.cut.is_some() || resets(&world.options);
        if !deaf && !silent {
            let (host, at) = (told.host.name(), super::log::seconds(told.event.at));
            found.push(format!("phone {host}: no final response to {method} (at {at})"));
        }
    }
    for (host, summary) in summaries(world) {
        let deaf =
            world.crashed_at.is_some() || world.options.cut.is_some() || resets(&world.options);
        if summary.placed && summary.status == 0 && !deaf {
            let call = summary.call;
            found.push(format!("phone {}: INVITE of call {call} got no final", host.name()));
        }
    }
}

/// Streams that break lose requests, and phones do not repeat them.
pub(super) fn resets(options: &Options) -> bool {
    let conditions = options.conditions;
    options.tcp && conditions.reset + conditions.refused > 0
}

fn media_was_own(host: Host, summary: &Summary, found: &mut Vec<String>) {
    let Figures { faults, .. } = &summary.media;
    if let Some(fault) = faults.first() {
        found.push(format!("phone {} call {}: {fault}", host.name(), summary.call));
    }
}

/// No call lasts longer than its script allowed.
fn duration_was_kept(world: &World, host: Host, summary: &Summary, found: &mut Vec<String>) {
    let plan = world.options.calls.iter().find(|plan| plan.number == summary.dialled);
    let Some(CallPlan { ice, .. }) = plan else { return };
    let Answer::ConnectPstn(Some(seconds), _) = ice.what else { return };
    let Some(answered) = summary.answered_at else { return };
    let ended = summary.ended.map_or(world.now, |(at, _)| at);
    let lost = world.crashed_at.is_some() || world.options.cut.is_some() || resets(&world.options);
    // What the callback did not get to say does not bind.
    let asked = summary.placed && world.options.calls.iter().any(|p| p.number == summary.dialled);
    let lasted = ended.since(answered);
    // Nobody can hang up on a caller who has not acknowledged (RFC 3261 §15).
    let acknowledged = acknowledges(world, summary);
    if asked
        && acknowledged
        && !lost
        && asks_backend(host)
        && lasted > Duration::from_secs(seconds.into()) + OVERRUN
    {
        let (name, number) = (host.name(), &summary.dialled);
        found.push(format!("{name}'s call to {number} of at most {seconds} s lasted {lasted:?}"));
    }
}

/// Calls that customers place are asked about; calls to own numbers may go to a trunk directly.
const fn asks_backend(host: Host) -> bool {
    matches!(host, Host::Alpha | Host::Beta | Host::Gamma)
}

/// Both ends of a call hear each other, and nobody else.
fn media_flowed(world: &World, found: &mut Vec<String>) {
    let all = summaries(world);
    let mut callees: BTreeMap<&str, Vec<&Summary>> = BTreeMap::new();
    for (_, summary) in all.iter().filter(|(_, summary)| !summary.placed && !summary.fork) {
        callees.entry(&summary.dialled).or_default().push(summary);
    }
    let calm = world.crashed_at.is_none()
        && world.options.cut.is_none()
        && !world.options.middle
        && !resets(&world.options);
    for (_, caller) in all.iter().filter(|(_, summary)| summary.placed) {
        let Some(legs) = callees.get(caller.dialled.as_str()) else { continue };
        let peers: BTreeSet<u64> = legs.iter().map(|leg| leg.media_identity).collect();
        if caller.media.peers.iter().any(|peer| !peers.contains(peer)) {
            found.push(format!("the caller of {} heard another call", caller.dialled));
        }
        for callee in legs {
            if callee.media.peers.iter().any(|peer| *peer != caller.media_identity) {
                found.push(format!("the callee of {} heard another call", caller.dialled));
            }
            // A caller who talks before it acknowledges, or to a target that failed, is not heard.
            let forked = all.iter().any(|(_, s)| s.fork && s.dialled == caller.dialled);
            let plain = legs.len() == 1 && !forked && acknowledges(world, caller);
            if calm && plain && callee.confirmed_at.is_some() && caller.confirmed_at.is_some() {
                heard_enough(caller, callee, found);
            }
        }
    }
}

fn acknowledges(world: &World, caller: &Summary) -> bool {
    let plan = world.options.calls.iter().find(|plan| plan.number == caller.dialled);
    plan.is_some_and(|plan| plan.script.ack == AckStyle::Prompt)
}

/// A third of what one side sent must be heard at the other: packets are lost, and one side learns
/// late that the call is over.
fn heard_enough(caller: &Summary, callee: &Summary, found: &mut Vec<String>) {
    for (from, to, way) in [(caller, callee, "callee"), (callee, caller, "caller")] {
        let (sent, heard) = (from.media.sent, to.media.received);
        if sent > 150 && heard * 3 < sent {
            let number = &caller.dialled;
            found.push(format!("the {way} of {number} heard {heard} of {sent} packets"));
        }
    }
}

/// One record a leg: of every call that was answered and ended, and of no call twice.
fn records_kept(world: &World, found: &mut Vec<String>) {
    let mut by_leg: BTreeMap<(LegLetter, String), Vec<CallId>> = BTreeMap::new();
    for row in world.edge.ledger.cdrs() {
        let key = (row.cdr.leg, row.cdr.sip_call_id.to_string());
        if key.1.starts_with(hostile::MARK) {
            found.push(format!("a stranger's call {} was let in", key.1));
        }
        by_leg.entry(key).or_default().push(row.call_id);
    }
    for ((leg, call_id), ids) in &by_leg {
        // A leg that never had a dialog has no Call-ID.
        if ids.len() > 1 && !call_id.is_empty() {
            found.push(format!("leg {leg:?} {call_id} has {} records", ids.len()));
        }
    }
    for (host, summary) in summaries(world) {
        let Some(answered) = summary.answered_at else { continue };
        if summary.fork || lost_in_crash(world, answered) || !summary_binds(world, &summary) {
            continue;
        }
        let leg = if summary.placed { LegLetter::A } else { LegLetter::B };
        // A target that was given up and answered after all is no leg of the call any more.
        let at_once = |ended: Instant| ended.since(answered) < COMMIT;
        let late = !summary.placed && summary.ended.is_some_and(|(at, _)| at_once(at));
        if !late && !by_leg.contains_key(&(leg, summary.call_id.clone())) {
            let name = host.name();
            found.push(format!("answered call {} of phone {name} has no record", summary.call_id));
        }
    }
}

/// Whether the edge must know that the call was answered: both sides are agreed on it.
fn summary_binds(world: &World, summary: &Summary) -> bool {
    let told = summary.bye_answered || matches!(summary.ended, Some((_, EndedBy::Them)));
    let deaf = world.options.cut.is_some() || world.crashed_at.is_some() || resets(&world.options);
    // A callee's 200 may never arrive, or arrive after the call was given up.
    told && (summary.placed || !deaf)
}

fn lost_in_crash(world: &World, answered: Instant) -> bool {
    world
        .crashed_at
        .is_some_and(|crash| crash.since(answered) < COMMIT && answered <= crash + COMMIT)
}

/// Every answered call's end is told, under one name.
fn events_delivered(world: &World, found: &mut Vec<String>) {
    for row in world.edge.ledger.outbox() {
        found.push(format!("the end of call {} was never delivered", row.key.call_id));
    }
    for (key, why) in world.edge.ledger.dead() {
        found.push(format!("the end of call {} was given up: {why}", key.call_id));
    }
    let told = world.backend.dices();
    for row in world.edge.ledger.cdrs() {
        let number = row.cdr.dialled.trim_start_matches('+');
        let plan = world.options.calls.iter().find(|p| p.number.trim_start_matches('+') == number);
        let quiet = plan.is_some_and(|plan| matches!(plan.ice.what, Answer::ConnectPstn(_, true)));
        let answered = row.cdr.leg == LegLetter::A && row.cdr.answer_at.is_some();
        let id = row.call_id.text();
        // Who is never asked about a call is not told of its end either.
        let asked = world.backend.was_asked(id.as_str());
        if answered && asked && !quiet && !told.contains_key(id.as_str()) {
            found.push(format!("the end of answered call {} was not told", row.call_id));
        }
    }
}
