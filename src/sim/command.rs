//! `carrick sim`: arguments, report, exit status.

use std::io::Write as _;

use super::breaks::Break;
use super::run::{self, Plan, Report};
use super::world::World;
use crate::base::time::Duration;

const USAGE: &str = "\
carrick sim: simulated calls under faults; every failing seed replays bit for bit

  --seed N      first seed (default 1)
  --seeds M     how many seeds (default 1)
  --hours H     virtual hours of calls a seed (default: one minute)
  --threads T   seeds at one time (default: all cores)
  --trace       print what happens in seed N (only with one seed)
  --json        print the report as JSON
";

/// What was asked for.
struct Arguments {
    plan: Plan,
    trace: bool,
    json: bool,
}

/// Runs the command with the arguments after `sim`; gives the exit status: 0 when all seeds
/// passed, 1 when one failed, 2 where the arguments make no sense.
pub fn main(arguments: &[String]) -> i32 {
    let arguments = match parse(arguments) {
        Ok(arguments) => arguments,
        Err(sentence) => {
            eprint!("{sentence}\n\n{USAGE}");
            return 2;
        }
    };
    let Arguments { plan, trace, json } = arguments;
    if trace {
        return print_trace(plan);
    }
    // A panic is reported as the seed's failure, not where it happened.
    std::panic::set_hook(Box::new(|_| {}));
    let report = run::run(plan);
    let _ = std::panic::take_hook();
    if json {
        println!("{}", as_json(plan, &report));
    } else {
        print_report(plan, &report);
    }
    i32::from(!report.failures.is_empty())
}

fn parse(arguments: &[String]) -> Result<Arguments, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut plan = Plan { threads, progress: run::is_terminal(), ..Plan::quiet(1, 1) };
    let (mut trace, mut json) = (false, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number = |least: u64| -> Result<u64, String> {
            let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            let value: u64 = value.parse().map_err(|_| format!("{word}: {value} is no number"))?;
            if value < least { Err(format!("{word} is at least {least}")) } else { Ok(value) }
        };
        match word.as_str() {
            "--seed" => plan.seed = number(0)?,
            "--seeds" => plan.seeds = number(1)?,
            "--hours" => plan.hours = number(0)?,
            "--threads" => plan.threads = usize::try_from(number(1)?).unwrap_or(1),
            "--trace" => trace = true,
            "--json" => json = true,
            "--break" => {
                let name = words.next().map_or("", String::as_str);
                let known = Break::ALL.map(|(_, name)| name).join(", ");
                plan.breaks =
                    Some(Break::parse(name).ok_or_else(|| format!("--break is one of: {known}"))?);
            }
            other => return Err(format!("{other}: no such argument")),
        }
    }
    if trace && plan.seeds != 1 {
        return Err("--trace is for one seed".to_owned());
    }
    Ok(Arguments { plan, trace, json })
}

fn print_trace(plan: Plan) -> i32 {
    let mut world = World::new(plan.seed, plan.hours, true, plan.breaks);
    world.run();
    let mut text = String::new();
    for line in world.log().lines() {
        text += &format!("{line}\n");
    }
    text += &format!("fingerprint {:016x}\n", world.log().fingerprint());
    for sentence in world.log().violations() {
        text += &format!("FAILED: {sentence}\n");
    }
    // Whoever reads the trace may stop reading.
    let _ = std::io::stdout().write_all(text.as_bytes());
    i32::from(!world.log().violations().is_empty())
}

fn print_report(plan: Plan, report: &Report) {
    let Report { seeds, calls, packets, fingerprint, .. } = report;
    let (passed, talked) = (hours(report.passed), hours(report.talked));
    println!(
        "{seeds} seeds, {passed} hours of virtual time: {calls} calls, {talked} call-hours, \
         {packets} packets; fingerprint {fingerprint:016x}"
    );
    for failure in &report.failures {
        println!("\nseed {} failed:", failure.seed);
        for sentence in &failure.sentences {
            println!("  {sentence}");
        }
        println!("  replay: {}", replay(plan, failure.seed));
    }
    if report.failures.is_empty() {
        println!("all invariants held");
    }
}

/// The exact command that shows a failure again.
fn replay(plan: Plan, seed: u64) -> String {
    let hours = if plan.hours == 0 { String::new() } else { format!(" --hours {}", plan.hours) };
    let broken = plan.breaks.and_then(|b| Break::ALL.iter().find(|(which, _)| *which == b));
    let broken = broken.map(|(_, name)| format!(" --break {name}")).unwrap_or_default();
    format!("carrick sim --seed {seed}{hours}{broken} --trace")
}

fn as_json(plan: Plan, report: &Report) -> serde_json::Value {
    let failures: Vec<_> = report
        .failures
        .iter()
        .map(|failure| {
            serde_json::json!({
                "seed": failure.seed,
                "sentences": failure.sentences,
                "replay": replay(plan, failure.seed),
            })
        })
        .collect();
    serde_json::json!({
        "seeds": report.seeds,
        "calls": report.calls,
        "callSeconds": report.talked.as_secs(),
        "virtualSeconds": report.passed.as_secs(),
        "packets": report.packets,
        "fingerprint": format!("{:016x}", report.fingerprint),
        "failures": failures,
    })
}

fn hours(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() / 3600.0)
}
