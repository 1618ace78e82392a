//! Runs seeds, many at a time, and says what came of them.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::breaks::Break;
use super::world::World;
use crate::base::time::Duration;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// First seed.
    pub seed: u64,
    /// How many seeds.
    pub seeds: u64,
    /// Virtual hours over which the calls of a seed begin; zero: a minute.
    pub hours: u64,
    /// A promise to break on purpose.
    pub breaks: Option<Break>,
    /// Seeds at one time.
    pub threads: usize,
    /// Show how far it is, on a terminal.
    pub progress: bool,
}

impl Plan {
    /// These seeds, on one thread, quietly.
    pub const fn quiet(seed: u64, seeds: u64) -> Self {
        Self { seed, seeds, hours: 0, breaks: None, threads: 1, progress: false }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seeds that were run.
    pub seeds: u64,
    /// Calls placed.
    pub calls: u64,
    /// Virtual time that calls were up.
    pub talked: Duration,
    /// Virtual time that passed.
    pub passed: Duration,
    /// Packets that arrived anywhere.
    pub packets: u64,
    /// Exclusive or of all runs' fingerprints.
    pub fingerprint: u64,
    /// Seeds that failed, smallest first.
    pub failures: Vec<Failure>,
}

/// A seed that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// What was wrong.
    pub sentences: Vec<String>,
}

/// Failures after which the rest is not run.
const FAILURES_MAX: usize = 10;

/// Runs all seeds of a plan. It stops early once there are many failures.
pub fn run(plan: Plan) -> Report {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let report = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= plan.seeds || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let one = run_seed(plan.seed + index, plan.hours, plan.breaks);
                    let Ok(mut sum) = report.lock() else { return };
                    sum.add(one);
                    if sum.failures.len() >= FAILURES_MAX {
                        stop.store(true, Ordering::Relaxed);
                    }
                    if plan.progress {
                        show_progress(&sum, plan.seeds);
                    }
                }
            });
        }
    });
    let mut report = report.into_inner().unwrap_or_default();
    report.failures.sort_by_key(|failure| failure.seed);
    report
}

/// Runs one seed. A panic of the edge is a failure of the seed like any other.
pub fn run_seed(seed: u64, hours: u64, breaks: Option<Break>) -> Report {
    let outcome = std::panic::catch_unwind(|| {
        let mut world = World::new(seed, hours, false, breaks);
        world.run();
        world
    });
    let world = match outcome {
        Ok(world) => world,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let sentence = format!("panic: {}", text.unwrap_or_default());
            let failures = vec![Failure { seed, sentences: vec![sentence] }];
            return Report { seeds: 1, failures, ..Report::default() };
        }
    };
    let log = world.log();
    let sentences = log.violations().to_vec();
    let failed = !sentences.is_empty();
    Report {
        seeds: 1,
        calls: world.calls() as u64,
        talked: world.talked(),
        passed: Duration::from_nanos(world.now().as_nanos()),
        packets: log.packets(),
        fingerprint: log.fingerprint(),
        failures: failed.then_some(Failure { seed, sentences }).into_iter().collect(),
    }
}

impl Report {
    fn add(&mut self, one: Self) {
        self.seeds += one.seeds;
        self.calls += one.calls;
        self.talked += one.talked;
        self.passed += one.passed;
        self.packets += one.packets;
        self.fingerprint ^= one.fingerprint;
        self.failures.extend(one.failures);
    }
}

fn show_progress(report: &Report, seeds: u64) {
    if !report.seeds.is_multiple_of(16) && report.seeds != seeds {
        return;
    }
    let width = 30;
    let done = usize::try_from(report.seeds * width / seeds.max(1)).unwrap_or(0);
    let bar: String = (0..30).map(|at| if at < done { '#' } else { '.' }).collect();
    let mut screen = std::io::stderr();
    let failed = report.failures.len();
    // A terminal that cannot be written to shows no progress; the run goes on.
    let _ = write!(screen, "\r[{bar}] {} of {seeds} seeds, {failed} failed ", report.seeds);
    if report.seeds == seeds {
        let _ = writeln!(screen);
    }
}

/// Whether progress can be shown.
pub fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}
