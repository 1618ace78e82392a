//! Prometheus text (exposition format 0.0.4), made anew for each scrape.

use std::fmt::Write as _;
use std::sync::Arc;

use super::desk::stats::{BUCKETS_MS, Histogram, Outcome, Stats};
use super::event::EventKind;
use super::store::Counts;
use crate::base::counter::{Counter, Counters};
use crate::directory::{Directory, Name};

/// Figures of control itself.
#[derive(Clone, Debug, Default)]
pub struct ControlFigures {
    /// The desk's.
    pub desk: Stats,
    /// Errands under way.
    pub errands: usize,
    /// Applications whose primary URL is taken for dead.
    pub dead_primaries: Vec<Name>,
    /// Sizes in the store.
    pub store: Counts,
    /// Entries that wait for the disk.
    pub store_queue: usize,
    /// Transactions that failed and were tried again.
    pub store_failures: u64,
    /// From handing an entry to the store to its being on disk.
    pub store_times: Histogram,
}

/// Everything that a scrape shows.
#[derive(Clone, Copy, Debug)]
pub struct Scrape<'s> {
    /// One a shard, by number.
    pub shards: &'s [Arc<Counters>],
    /// What is provisioned, with the trunks' usage.
    pub directory: &'s Directory,
    /// Control's own.
    pub control: &'s ControlFigures,
    /// Version of the program.
    pub version: &'s str,
    /// Name of the edge.
    pub node: &'s str,
}

/// The text of a scrape.
pub fn text(scrape: &Scrape<'_>) -> String {
    let mut out = Text(String::with_capacity(16 * 1024));
    out.head("build_info", "Program and edge", "gauge");
    out.line("build_info", &[("version", scrape.version), ("node", scrape.node)], 1);
    out.head("directory_version", "Version of what is provisioned", "gauge");
    out.line("directory_version", &[], scrape.directory.version);
    shards(&mut out, scrape.shards);
    calls(&mut out, scrape);
    callbacks(&mut out, scrape.control);
    store(&mut out, scrape.control);
    out.0
}

fn shards(out: &mut Text, shards: &[Arc<Counters>]) {
    for counter in Counter::ALL {
        out.head(counter.name(), counter.help(), "counter");
        for (number, counters) in shards.iter().enumerate() {
            let number = number.to_string();
            out.line(counter.name(), &[("shard", &number)], counters.read(*counter));
        }
    }
}

fn calls(out: &mut Text, scrape: &Scrape<'_>) {
    let total = |counter| scrape.shards.iter().map(|shard| shard.read(counter)).sum::<u64>();
    let active = total(Counter::CallsStarted).saturating_sub(total(Counter::CallsEnded));
    out.head("calls_active", "Calls under way on this edge", "gauge");
    out.line("calls_active", &[], active);
    out.head("trunk_calls_active", "Calls under way of each trunk", "gauge");
    for trunk in &scrape.directory.trunks {
        out.line("trunk_calls_active", &[("trunk", &trunk.name)], trunk.usage.calls());
    }
    out.head("trunk_calls_max", "Calls that each trunk may have, where it is limited", "gauge");
    for trunk in &scrape.directory.trunks {
        if let Some(max) = trunk.calls_max {
            out.line("trunk_calls_max", &[("trunk", &trunk.name)], max);
        }
    }
}

fn callbacks(out: &mut Text, control: &ControlFigures) {
    let stats = &control.desk;
    let name = "callback_requests_total";
    out.head(name, "Callbacks by how they ended, one a URL tried", "counter");
    for kind in EventKind::ALL {
        for outcome in Outcome::ALL {
            let labels = [("kind", kind.word()), ("result", outcome.word())];
            out.line(name, &labels, stats.outcomes(kind, outcome));
        }
    }
    let name = "callback_duration_seconds";
    out.head(name, "Time of callbacks, one a URL tried", "histogram");
    for kind in EventKind::ALL {
        out.histogram(name, &[("kind", kind.word())], stats.times(kind));
    }
    for (name, help, value) in [
        ("callback_fallbacks_total", "Callbacks that went on to the second URL", stats.fallbacks),
        ("callback_late_total", "Replies that came after their deadline", stats.late),
        ("callback_unresolved_total", "connectSip hosts that did not resolve", stats.unresolved),
        (
            "callback_cookies_dropped_total",
            "Answers whose cookies did not fit",
            stats.cookies_dropped,
        ),
        ("callback_given_up_total", "Events given up undelivered", stats.given_up),
    ] {
        out.head(name, help, "counter");
        out.line(name, &[], value);
    }
    out.head("callback_inflight", "Callbacks and look-ups under way", "gauge");
    out.line("callback_inflight", &[], control.errands as u64);
    let name = "callback_circuit_open";
    out.head(name, "Applications whose primary URL is taken for dead", "gauge");
    for application in &control.dead_primaries {
        out.line(name, &[("application", application)], 1);
    }
}

fn store(out: &mut Text, control: &ControlFigures) {
    for (name, help, value) in [
        ("outbox_depth", "Events that wait to be delivered", control.store.outbox),
        ("outbox_dead", "Events given up and kept", control.store.dead),
        ("store_live_calls", "Answered calls in the journal", control.store.live),
        ("cdr_queue_depth", "Entries that wait for the disk", control.store_queue as u64),
    ] {
        out.head(name, help, "gauge");
        out.line(name, &[], value);
    }
    out.head("store_failures_total", "Transactions that failed and were retried", "counter");
    out.line("store_failures_total", &[], control.store_failures);
    let name = "store_commit_seconds";
    out.head(name, "From handing an entry to the store to its being on disk", "histogram");
    out.histogram(name, &[], &control.store_times);
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let help = help.trim();
        let _ = writeln!(self.0, "# HELP carrick_{name} {help}\n# TYPE carrick_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.0, "carrick_{name}");
        for (index, (key, value)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{key}=\"", if index == 0 { '{' } else { ',' });
            for c in value.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds of a sum, exact to 285 years")]
    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let mut sum = 0;
        for (index, count) in histogram.buckets.iter().enumerate() {
            sum += count;
            let bound = match BUCKETS_MS.get(index) {
                Some(ms) => (*ms as f64 / 1000.0).to_string(),
                None => "+Inf".to_owned(),
            };
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.line(&bucket, &labels, sum);
        }
        self.line(&format!("{name}_sum"), labels, histogram.sum_us as f64 / 1e6);
        self.line(&format!("{name}_count"), labels, sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;

    #[test]
    fn every_line_is_well_formed_and_every_metric_has_a_head() {
        let shards = [Counters::shared(), Counters::shared()];
        shards[1].add(Counter::CallsStarted, 3);
        shards[0].add(Counter::CallsEnded, 1);
        let mut control = ControlFigures::default();
        for ms in [0, 1, 7, 60_000] {
            control.store_times.took(Duration::from_millis(ms));
        }
        control.dead_primaries.push(Name::from("a\"b\\c\nd").expect("fits"));
        let scrape = Scrape {
            shards: &shards,
            directory: &Directory::default(),
            control: &control,
            version: "0.1.0",
            node: "edge-1",
        };
        let text = text(&scrape);
        let mut heads = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().expect("a name");
                assert!(heads.insert(name.to_owned()), "{name} twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().expect("a name");
                let base = ["_bucket", "_sum", "_count"]
                    .iter()
                    .filter_map(|end| name.strip_suffix(end))
                    .find(|base| heads.contains(*base));
                assert!(heads.contains(name) || base.is_some(), "{line}");
                let value = line.rsplit(' ').next().expect("a value");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        for line in [
            "carrick_calls_started_total{shard=\"1\"} 3",
            "carrick_calls_active 2",
            "carrick_build_info{version=\"0.1.0\",node=\"edge-1\"} 1",
            "carrick_store_commit_seconds_bucket{le=\"0.001\"} 2",
            "carrick_store_commit_seconds_bucket{le=\"0.01\"} 3",
            "carrick_store_commit_seconds_bucket{le=\"+Inf\"} 4",
            "carrick_store_commit_seconds_sum 60.008",
            "carrick_callback_circuit_open{application=\"a\\\"b\\\\c\\nd\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
    }
}
