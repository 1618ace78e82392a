//! Where a call goes: the attempts that may be made, in order, decided once when the call is
//! placed. A plan owns all that it needs, so that a reload of the directory does not change it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::bounded::{List, Text, clipped};
use crate::base::limits::{SIP_URI_BYTES_MAX, TARGETS_MAX};
use crate::base::packet::Transport;
use crate::base::rng::Rng;
use crate::directory::carrier::CarrierCredentials;
use crate::directory::{Carrier, Directory, MediaSecurity, Name, Resolved, Trunk};
use crate::link::svaml::ConnectSip;

/// One target to send the INVITE to.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Request-URI.
    pub request_uri: Text<SIP_URI_BYTES_MAX>,
    /// Transport to use.
    pub transport: Transport,
    /// Where the request goes.
    pub target: SocketAddr,
    /// Carrier, trunk or URI (clipped), for the CDR's `routed_to`.
    pub via: Name,
    /// Whether media may come from an address that was not signalled.
    pub nat: bool,
    /// What answers a challenge of this target; nothing else may be answered (a challenge from
    /// anybody else must not see these credentials).
    pub credentials: Option<Arc<CarrierCredentials>>,
}

/// The attempts of one call, best first.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// At most [`TARGETS_MAX`]; what is beyond is left out.
    pub attempts: List<Attempt, TARGETS_MAX>,
    /// The first thing that kept an attempt out of the plan (a host that does not resolve, a
    /// Request-URI too long), or why there is no attempt at all; for the CDR. Empty: nothing.
    pub note: Text<128>,
}

// A call holds its plan while it rings; eight attempts in full are 3 KiB, so nothing is gained by
// a compact form.
const _: () = assert!(size_of::<Plan>() <= 4096);

/// The way to a number through the carriers. `number` is E.164 with `+`. Longest prefix first;
/// carriers with a shorter one are fallbacks, not rivals. Then the lowest priority; among equals a
/// random order by weight, in which a carrier of weight zero comes after the others.
pub fn plan_pstn(directory: &Directory, number: &str, rng: &mut Rng) -> Plan {
    let mut plan = Plan::default();
    let digits = number.trim_start_matches('+');
    let mut ranking = Ranking::new();
    let mut matched = false;
    for carrier in &directory.carriers {
        let Some(length) = prefix_length(carrier, digits) else { continue };
        matched = true;
        for uplink in carrier.uplinks.iter().filter(|uplink| uplink.resolved.is_empty()) {
            note_unresolved(&mut plan, &carrier.name, &uplink.host);
        }
        if carrier.uplinks.iter().any(|uplink| !uplink.resolved.is_empty()) {
            let generality = usize::MAX - length;
            ranking.enter(Rank::draw(generality, carrier.priority, carrier.weight, rng), carrier);
        }
    }
    for (_, carrier) in &ranking.best {
        for uplink in &carrier.uplinks {
            let request_uri = with_user(&uplink.uri, number);
            let template = Template {
                via: &carrier.name,
                transport: uplink.transport,
                nat: carrier.nat,
                credentials: carrier.credentials.as_ref(),
            };
            template.add_all(&mut plan, request_uri.as_ref(), &uplink.resolved);
        }
    }
    if !matched {
        plan.note = written(format_args!("no carrier takes {number}"));
    } else if plan.attempts.is_empty() && plan.note.is_empty() {
        plan.note = clipped("the carriers of this number have no address");
    }
    plan
}

/// The way to the customer's equipment for a call to `number` (E.164 with `+`), which replaces
/// `{number}` in the trunk's origination URIs. Lowest priority first, random by weight among
/// equals.
pub fn plan_origination(trunk: &Trunk, number: &str, rng: &mut Rng) -> Plan {
    let mut plan = Plan::default();
    // Only plain RTP is bridged: no call rather than one that anybody on the way can hear.
    if trunk.media_security == MediaSecurity::Required {
        plan.note = written(format_args!("trunk {} requires SRTP", trunk.name));
        return plan;
    }
    let mut ranking = Ranking::new();
    for origination in &trunk.origination {
        if origination.resolved.is_empty() {
            note_unresolved(&mut plan, &trunk.name, &origination.uri);
            continue;
        }
        ranking.enter(Rank::draw(0, origination.priority, origination.weight, rng), origination);
    }
    for (_, origination) in &ranking.best {
        let request_uri = with_number(&origination.uri, number);
        let template = Template {
            via: &trunk.name,
            transport: origination.transport,
            nat: trunk.nat,
            credentials: None,
        };
        template.add_all(&mut plan, request_uri.as_ref(), &origination.resolved);
    }
    if trunk.origination.is_empty() {
        plan.note = written(format_args!("trunk {} has no origination URI", trunk.name));
    }
    plan
}

/// The way to a `connectSip` target: the addresses that control resolved, in its order.
pub fn plan_sip(connect: &ConnectSip) -> Plan {
    let mut plan = Plan::default();
    if connect.targets.is_empty() {
        plan.note = written(format_args!("{} does not resolve", connect.uri));
    }
    let via = clipped(&connect.uri);
    let template =
        Template { via: &via, transport: connect.transport, nat: false, credentials: None };
    template.add_all(&mut plan, Some(&connect.uri), &connect.targets);
    plan
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptFailure {
    /// A final status, 300 to 699.
    Status(u16),
    /// No response at all before timer B (RFC 3261 §17.1.1.2).
    Timeout,
    /// The transport could not carry the request.
    Transport,
}

/// Whether the next attempt is to be made. `rang`: whether the callee was alerted (180, or early
/// media), after which a timeout is the callee's silence and not the target's. Only failures of
/// the target itself move on: silence, a broken transport, 408, 500, 502, 503, 504. All else is
/// the callee's answer, busy and declined above all: to ask elsewhere would ring the same phone.
pub const fn should_fail_over(failure: AttemptFailure, rang: bool) -> bool {
    match failure {
        AttemptFailure::Transport => true,
        AttemptFailure::Timeout | AttemptFailure::Status(408) => !rang,
        AttemptFailure::Status(status) => matches!(status, 500 | 502 | 503 | 504),
    }
}

/// Place in the order of trying; smaller is earlier.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Rank {
    generality: usize,
    priority: u16,
    weightless: bool,
    /// An exponential variate with the weight as its rate: the smallest of several is each one's
    /// in proportion to its weight, and so on among those that remain.
    wait: f64,
}

impl Rank {
    fn draw(generality: usize, priority: u16, weight: u16, rng: &mut Rng) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are kept, all of them exact")]
        let uniform = ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let wait = -uniform.ln() / f64::from(weight.max(1));
        Self { generality, priority, weightless: weight == 0, wait }
    }
}

/// The best few of any number of candidates, without a list of all.
struct Ranking<'d, T> {
    best: List<(Rank, &'d T), TARGETS_MAX>,
}

impl<'d, T> Ranking<'d, T> {
    fn new() -> Self {
        Self { best: List::new() }
    }

    fn enter(&mut self, rank: Rank, candidate: &'d T) {
        let place = self.best.iter().position(|(other, _)| rank < *other);
        let place = place.unwrap_or(self.best.len());
        if self.best.is_full() && place < TARGETS_MAX {
            self.best.pop();
        }
        // Fails only where the candidate is worse than all of a full list.
        let _ = self.best.try_insert(place, (rank, candidate));
    }
}

/// What the attempts at one URI have in common.
struct Template<'a> {
    via: &'a Name,
    transport: Transport,
    nat: bool,
    credentials: Option<&'a Arc<CarrierCredentials>>,
}

impl Template<'_> {
    fn add_all(
        &self,
        plan: &mut Plan,
        request_uri: Option<&Text<SIP_URI_BYTES_MAX>>,
        targets: &Resolved,
    ) {
        let Some(request_uri) = request_uri else {
            let via = self.via;
            note(plan, format_args!("{via}: the Request-URI exceeds {SIP_URI_BYTES_MAX} bytes"));
            return;
        };
        for target in targets {
            let same = |a: &Attempt| {
                (a.target, a.transport, a.request_uri) == (*target, self.transport, *request_uri)
            };
            // What has just failed at an address fails there again.
            if plan.attempts.is_full() || plan.attempts.iter().any(same) {
                continue;
            }
            plan.attempts.push(Attempt {
                request_uri: *request_uri,
                transport: self.transport,
                target: *target,
                via: *self.via,
                nat: self.nat,
                credentials: self.credentials.cloned(),
            });
        }
    }
}

/// Length of the carrier's longest prefix of `digits`; `None` where it does not take the number.
fn prefix_length(carrier: &Carrier, digits: &str) -> Option<usize> {
    if carrier.prefixes.is_empty() {
        return Some(0);
    }
    let matching = carrier.prefixes.iter().filter(|p| digits.starts_with(p.as_str()));
    matching.map(String::len).max()
}

/// `sip:[user@]host…` with `number` as its user part.
fn with_user(uri: &str, number: &str) -> Option<Text<SIP_URI_BYTES_MAX>> {
    let (scheme, rest) = uri.split_once(':').unwrap_or(("sip", uri));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    joined(&[scheme, ":", number, "@", host])
}

/// `uri` with each `{number}` replaced.
fn with_number(uri: &str, number: &str) -> Option<Text<SIP_URI_BYTES_MAX>> {
    let mut text = Text::new();
    for (i, part) in uri.split("{number}").enumerate() {
        if i > 0 {
            text.try_push_str(number).ok()?;
        }
        text.try_push_str(part).ok()?;
    }
    Some(text)
}

fn joined(parts: &[&str]) -> Option<Text<SIP_URI_BYTES_MAX>> {
    let mut text = Text::new();
    for part in parts {
        text.try_push_str(part).ok()?;
    }
    Some(text)
}

fn note_unresolved(plan: &mut Plan, via: &Name, host: &str) {
    note(plan, format_args!("{via}: {host} does not resolve"));
}

/// Keeps the first note: later ones tend to follow from it.
fn note(plan: &mut Plan, line: std::fmt::Arguments<'_>) {
    if plan.note.is_empty() {
        plan.note = written(line);
    }
}

/// As much of a line as fits.
fn written(line: std::fmt::Arguments<'_>) -> Text<128> {
    struct Clip(Text<128>);
    impl std::fmt::Write for Clip {
        fn write_str(&mut self, part: &str) -> std::fmt::Result {
            for character in part.chars() {
                self.0.try_push(character).map_err(|_| std::fmt::Error)?;
            }
            Ok(())
        }
    }
    let mut clip = Clip(Text::new());
    // An error means that the line was cut, which is what a clip does.
    let _ = std::fmt::Write::write_fmt(&mut clip, line);
    clip.0
}

#[cfg(test)]
mod tests;
