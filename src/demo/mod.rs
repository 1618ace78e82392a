//! L8: `carrick demo`: the real edge on loopback, with a backend, callers, callee and carriers of
//! its own, in one process without configuration. It is the smoke test, too: what it shows it also
//! judges.

mod backend;
mod ladder;
mod next;
mod phones;
mod scenario;
mod story;
mod verdict;
mod world;

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::control::cdr::{CdrFilter, CdrRow};
use crate::control::store::Ledger as _;
use crate::control::store::sqlite::SqliteLedger;
use crate::runtime::{self, Edge};
use crate::sys::{clock, entropy};
use backend::{Backend, CallbackLine};
use phones::{PhoneCall, Phones, Sockets};
use scenario::{ALL, Party, Scenario};
use story::{Legs, Story};
use verdict::Verdict;
use world::{Folder, Ports, Sides};

/// All calls must be over by then.
const PATIENCE: Duration = Duration::from_millis(4_000);
/// How often calls are looked at.
const TICK: Duration = Duration::from_millis(10);
/// After a call's end, for what is still on its way between two threads.
const GRACE: Duration = Duration::from_millis(40);
/// How long live calls may go on after Ctrl-C.
const DRAIN: Duration = Duration::from_millis(500);
/// Starts that are tried: another program may take a free port first.
const STARTS: u32 = 3;

/// How the demo is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Ends after its calls instead of staying up.
    pub once: bool,
    /// Prints one JSON object a call and nothing else.
    pub json: bool,
}

/// What comes from the other threads.
#[derive(Debug)]
enum Happening {
    Callback(CallbackLine),
    PrivateHeader { sip_call_id: String, name: String, value: String },
    Interrupted,
}

/// Runs the demo; whether all calls went as they should.
///
/// # Errors
/// The edge or what surrounds it cannot be started.
pub fn run(options: Options) -> Result<bool, String> {
    let began = clock::now();
    let mut demo = Demo::start(began, options)?;
    demo.until_over();
    let verdicts = demo.verdicts();
    demo.print(&verdicts);
    if !options.once && !demo.interrupted {
        demo.stay_up();
    }
    demo.stop();
    Ok(verdicts.iter().all(Verdict::is_ok))
}

/// The running demo. Fields are dropped in order: who answers the edge outlives it.
struct Demo {
    options: Options,
    began: Instant,
    edge: Option<Edge>,
    phones: Phones,
    _backend: Backend,
    folder: Folder,
    happenings: Receiver<Happening>,
    rings: Receiver<rtrb::Consumer<crate::link::Trace>>,
    story: Story,
    parties: Vec<story::Address>,
    shown: usize,
    colour: bool,
    interrupted: bool,
}

impl Demo {
    fn start(began: Instant, options: Options) -> Result<Self, String> {
        let io = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        let mut rng = Rng::new(entropy::seed().map_err(io("reading the kernel's entropy"))?);
        let folder = Folder::new(&mut rng).map_err(io("making a temporary folder"))?;
        let (sender, happenings) = mpsc::channel();
        let sockets = Sockets::bind().map_err(io("opening the phones' sockets"))?;
        let parties: Vec<_> = Party::ALL.into_iter().map(|p| (p, sockets.address(p))).collect();
        let backend = Backend::start(sockets.address(Party::Callee), sender.clone())?;
        let sides = Sides {
            backend: backend.address,
            carrier: sockets.address(Party::Carrier),
            full: sockets.address(Party::Full),
        };
        let (taps, rings) = mpsc::channel();
        let (edge, ports) = start_edge(&folder, sides, &taps, &mut rng)?;
        if !options.json {
            headline(&edge, backend.address, began);
        }
        let phones = Phones::start(sockets, ports.edge(), &mut rng, sender)
            .map_err(io("starting the phones"))?;
        let has_colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Ok(Self {
            options,
            began,
            edge: Some(edge),
            phones,
            _backend: backend,
            folder,
            happenings,
            rings,
            story: Story::default(),
            parties,
            shown: 0,
            colour: has_colour,
            interrupted: false,
        })
    }

    /// Shows each call's ladder once the call is over, in the order of the list.
    fn until_over(&mut self) {
        let deadline = self.began + PATIENCE;
        let mut settled: Option<Instant> = None;
        while self.shown < ALL.len() && !self.interrupted {
            self.wait(TICK);
            let now = clock::now();
            let calls = self.phones.calls();
            let is_over = self.is_over(self.shown, &calls);
            settled = if is_over { settled.or(Some(now)) } else { None };
            let is_settled = settled.is_some_and(|at| now - at >= GRACE);
            if is_settled || now >= deadline {
                self.story.drain();
                self.show(self.shown, &self.phones.calls());
                self.shown += 1;
            }
        }
    }

    /// Takes what other threads say, for at most that long.
    fn wait(&mut self, time: Duration) {
        let mut next = self.happenings.recv_timeout(time);
        loop {
            match next {
                Ok(Happening::Interrupted) => self.interrupted = true,
                Ok(happening) => self.story.take(happening),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
            next = self.happenings.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
        while let Ok(ring) = self.rings.try_recv() {
            self.story.listen(ring);
        }
        self.story.drain();
    }

    fn is_over(&self, index: usize, calls: &[PhoneCall]) -> bool {
        let call = &ALL[index];
        let Some(legs) = Legs::of(index, call, calls) else { return false };
        legs.are_over()
            && self.story.questions(&legs.caller.call_id).count() >= call.callbacks.len()
            && self.records(&legs).len() >= call.records
    }

    /// The records of a call, from the store.
    fn records(&self, legs: &Legs<'_>) -> Vec<CdrRow> {
        let rows = self.query(CdrFilter { limit: Some(1000), ..CdrFilter::default() });
        let own = |row: &&CdrRow| row.cdr.sip_call_id.as_str() == legs.caller.call_id;
        let Some(id) = rows.iter().find(own).map(|row| row.call_id) else { return Vec::new() };
        let mut records: Vec<_> = rows.into_iter().filter(|row| row.call_id == id).collect();
        records.sort_by_key(|row| row.cdr.leg);
        records
    }

    fn query(&self, filter: CdrFilter) -> Vec<CdrRow> {
        let store = SqliteLedger::open_to_read(&self.folder.store());
        // A store that cannot be read has no records, and a call without records has failed.
        store.and_then(|mut store| store.query(&filter)).unwrap_or_default()
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let calls = self.phones.calls();
        let judge = |(index, call): (usize, &'static Scenario)| {
            let legs = Legs::of(index, call, &calls);
            let records = legs.as_ref().map(|legs| self.records(legs)).unwrap_or_default();
            let ring = legs.as_ref().and_then(|legs| self.first_ring_ms(legs));
            Verdict::of(call, legs.as_ref(), &self.story, records).with_delay(ring)
        };
        ALL.iter().enumerate().map(judge).collect()
    }

    /// When the caller was first told that it rings.
    fn first_ring_ms(&self, legs: &Legs<'_>) -> Option<f64> {
        let (_, steps) = self.story.ladder(legs, &self.parties);
        let rings = |label: &str| label.starts_with("180") || label.starts_with("183");
        steps.iter().find(|step| step.to == 0 && rings(&step.label)).map(|step| step.at_ms)
    }

    fn show(&self, index: usize, calls: &[PhoneCall]) {
        let call = &ALL[index];
        if let Some(legs) = Legs::of(index, call, calls).filter(|_| !self.options.json) {
            let at = call
                .parties
                .iter()
                .filter_map(|party| self.parties.iter().find(|(other, _)| other == party).copied());
            self.show_ladder(call.name, call.title, &legs, &at.collect::<Vec<_>>());
        }
    }

    fn show_ladder(&self, name: &str, title: &str, legs: &Legs<'_>, parties: &[story::Address]) {
        let (names, steps) = self.story.ladder(legs, parties);
        let name = ladder::paint(name, "1", self.colour);
        say(&format!("\n{name}: {title}\n\n{}", ladder::draw(&names, &steps, self.colour)));
    }

    fn print(&self, verdicts: &[Verdict]) {
        if self.options.json {
            verdicts.iter().for_each(|verdict| say(&format!("{}\n", verdict.json())));
        } else {
            say(&format!("\n{}", verdict::table(verdicts, self.colour)));
            let took = (clock::now() - self.began).as_secs_f64();
            let good = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
            say(&format!("\n{good} of {} calls went as they should, in {took:.1} s.\n", ALL.len()));
        }
        for failure in verdicts.iter().flat_map(|verdict| &verdict.failures) {
            eprintln!("demo: {failure}");
        }
    }

    /// Until Ctrl-C; calls of the user's own phone get their ladders, too.
    fn stay_up(&mut self) {
        let Some(edge) = &self.edge else { return };
        if !self.options.json {
            let settings = self.folder.path().join("carrick.toml");
            let sip = edge.listeners.first().map(|(_, address)| *address);
            let sip = sip.unwrap_or(edge.api);
            say(&format!("\n{}", next::text(sip, edge.api, &self.folder.store(), &settings)));
        }
        let mut shown: BTreeSet<String> =
            self.story.callbacks.iter().map(|line| line.call_id.clone()).collect();
        while !self.interrupted {
            self.wait(Duration::from_millis(200));
            let ended = |line: &&CallbackLine| line.kind == "dice" && line.is_question;
            let ended: Vec<_> = self.story.callbacks.iter().filter(ended).cloned().collect();
            for line in ended {
                if shown.insert(line.call_id.clone()) {
                    self.wait(GRACE);
                    self.show_guest(&line);
                }
            }
        }
    }

    /// The ladder of a call that somebody else placed.
    fn show_guest(&self, line: &CallbackLine) {
        let calls = self.phones.calls();
        let rows = self.query(CdrFilter { limit: Some(100), ..CdrFilter::default() });
        let rows: Vec<_> =
            rows.iter().filter(|r| r.call_id.text().as_str() == line.call_id).collect();
        let known = |call: &&PhoneCall| {
            rows.iter().any(|row| row.cdr.sip_call_id.as_str() == call.summary.call_id)
        };
        let Some(first) = calls.first() else { return };
        let callees: Vec<&PhoneCall> = calls.iter().filter(known).collect();
        let begun_at = self.story.begun(&line.sip_call_id).unwrap_or(line.at);
        let caller = crate::sim::phone::Summary {
            call_id: line.sip_call_id.clone(),
            begun_at,
            answered_at: None,
            confirmed_at: None,
            ..first.summary.clone()
        };
        let parties: Vec<_> = self
            .parties
            .iter()
            .filter(|(party, _)| callees.iter().any(|c| c.role == phones::Role::Party(*party)))
            .copied()
            .collect();
        if !self.options.json {
            let title = format!("{}, {} legs recorded", line.text, rows.len());
            self.show_ladder("your call", &title, &Legs { caller, callees }, &parties);
        }
    }

    /// Lets the edge drain; the phones and the backend go on until it is gone.
    fn stop(mut self) {
        if let Some(edge) = self.edge.take() {
            edge.drain(DRAIN);
            edge.wait();
        }
    }
}

fn start_edge(
    folder: &Folder,
    sides: Sides,
    taps: &mpsc::Sender<rtrb::Consumer<crate::link::Trace>>,
    rng: &mut Rng,
) -> Result<(Edge, Ports), String> {
    let mut why = String::new();
    for _ in 0..STARTS {
        let ports = Ports::find(rng).map_err(|error| format!("looking for ports: {error}"))?;
        let config = world::config(folder, ports, sides)?;
        let ladders = Some(taps.clone());
        let options = runtime::Options { ladders, quiet: true, ..runtime::Options::default() };
        match Edge::start(config, options) {
            Ok(edge) => return Ok((edge, ports)),
            Err(error) => why = format!("starting the edge: {error}"),
        }
    }
    Err(why)
}

fn headline(edge: &Edge, backend: SocketAddr, began: Instant) {
    let listeners: Vec<_> = edge
        .listeners
        .iter()
        .map(|(transport, address)| format!("{}://{address}", transport.parameter()))
        .collect();
    let took = (clock::now() - began).as_millis();
    let version = env!("CARGO_PKG_VERSION");
    say(&format!(
        "carrick {version}, up in {took} ms\n  SIP        {}\n  API        http://{}\n  \
         callbacks  http://{backend}/calls\n",
        listeners.join(" "),
        edge.api,
    ));
    edge.notes.iter().for_each(|note| say(&format!("  {note}\n")));
}

/// Writes at once; whoever closed the pipe wants no more.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
