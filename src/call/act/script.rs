//! Control answered: the script says how the call goes on.

use super::dial;
use crate::base::limits::CALL_SECONDS_MAX;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::call::effect::{Effect, Effects};
use crate::call::machine::{Call, Deadline, State};
use crate::call::outcome::Ending;
use crate::call::policy::CallerId;
use crate::call::route;
use crate::directory::Directory;
use crate::link::ask::{Answer, Dialled, Failure};
use crate::link::svaml::{Action, Cli, ConnectOptions};

/// Takes control's answer. A late answer to an earlier question changes nothing.
pub fn take(
    call: &mut Call,
    now: Instant,
    answer: &Answer,
    directory: &Directory,
    rng: &mut Rng,
    effects: &mut Effects,
) {
    if answer.sequence != call.ask_sequence {
        return;
    }
    call.callback_ms = call.callback_ms.saturating_add(answer.took_ms);
    match call.state {
        State::Asking => connect(call, now, answer, directory, rng, effects),
        State::Confirming => confirm(call, now, answer, effects),
        State::Dialling | State::Answering | State::Connected | State::Ending => {}
    }
}

/// The answer to ICE.
fn connect(
    call: &mut Call,
    now: Instant,
    answer: &Answer,
    directory: &Directory,
    rng: &mut Rng,
    effects: &mut Effects,
) {
    effects.push(Effect::StopTimer(Deadline::Ask));
    let action = match &answer.outcome {
        Ok(script) => &script.action,
        Err(failure) => return fail(call, now, *failure, effects),
    };
    match action {
        Action::HangUp(cause) => {
            call.let_go(now, Ending::ScriptHangup(*cause), "the callback hung up", effects);
        }
        Action::Continue => fail(call, now, Failure::IllegalSvaml, effects),
        Action::ConnectPstn(connect) => {
            let dialled = match &call.dialled {
                Dialled::Number(number) | Dialled::Did(number) => *number,
            };
            let number = connect.number.unwrap_or(dialled);
            take_options(call, &connect.options, directory);
            dial::pstn(call, now, &number, directory, rng, effects);
        }
        Action::ConnectSip(connect) => {
            take_options(call, &connect.options, directory);
            call.headers = connect.headers.clone();
            call.plan = route::plan_sip(connect);
            dial::first(call, now, effects);
        }
    }
}

/// The answer to ACE: everything but `hangup` lets the call go on.
fn confirm(call: &mut Call, now: Instant, answer: &Answer, effects: &mut Effects) {
    effects.push(Effect::StopTimer(Deadline::Ask));
    if let Ok(script) = &answer.outcome
        && matches!(script.action, Action::HangUp(_))
    {
        let note = "the callback hung up after the answer";
        return call.let_go(now, Ending::ManagerHangup, note, effects);
    }
    super::answered::answer_caller(call, now, effects);
}

/// No script: the rule for ICE is to end the call.
pub fn fail(call: &mut Call, now: Instant, failure: Failure, effects: &mut Effects) {
    let (ending, note) = match failure {
        Failure::Unreachable => {
            (Ending::CallbackFailed, "the callback did not answer in time over any URL")
        }
        Failure::IllegalSvaml => {
            (Ending::InvalidSvaml, "the callback's answer is no SVAML that is valid here")
        }
        Failure::NoCallback => (Ending::CallbackFailed, "the application has no callback URL"),
    };
    call.let_go(now, ending, note, effects);
}

fn take_options(call: &mut Call, options: &ConnectOptions, directory: &Directory) {
    if let Some(seconds) = options.max_duration {
        call.max_duration = seconds.min(CALL_SECONDS_MAX);
    }
    call.ring = options.dial_timeout.map(|seconds| Duration::from_secs(u64::from(seconds)));
    if options.suppress_callbacks {
        call.callbacks = false;
    }
    call.caller_id = match &options.cli {
        Cli::Caller => call.caller_id,
        Cli::Private => CallerId::Private,
        Cli::Number(number) if directory.numbers.may_show(&call.application, number) => {
            CallerId::Shown(*number)
        }
        // A number that is neither the application's nor verified is not shown (the service's own
        // rule); the call goes out all the same.
        Cli::Number(_) => CallerId::Private,
    };
}
