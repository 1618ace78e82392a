//! One edge in a process of its own: settings, start, stop, records.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carrick::sys::clock;
use serde_json::Value;

/// Where the customer calls from, and the carrier listens: neighbours on the loopback network, so
/// that source addresses tell them apart.
pub(crate) const CUSTOMER: &str = "127.0.0.1";
pub(crate) const CARRIER: &str = "127.0.0.2";
pub(crate) const STRANGER: &str = "127.0.0.3";
/// The application's key and secret.
pub(crate) const KEY: &str = "669e367e-6bba-48ab-af15-266871c28135";
pub(crate) const SECRET: &str = "BeIukql3pTKJ8RGL5zo0DA==";
/// A number of the application, and one of the world.
pub(crate) const OWN: &str = "+442071838750";
pub(crate) const WORLD: &str = "+12025550123";

/// Peers measure time, so one test has the machine at a time.
pub(crate) fn machine() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port that is free for UDP and TCP on all addresses that tests use, below the range that the
/// kernel hands out by itself. Even, with the three above it free as well.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let turn = NEXT.fetch_add(4, Ordering::Relaxed) % 4000;
        let start = 20_000 + u16::try_from(std::process::id() % 900).expect("small") * 4;
        let port = start + turn;
        let free = |ip: &str, port: u16| {
            let at = SocketAddr::new(ip.parse().expect("address"), port);
            UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok()
        };
        if (0..4).all(|n| free("0.0.0.0", port + n) && free("::", port + n)) {
            return port;
        }
    }
}

/// A folder of the test's own, empty.
pub(crate) fn folder(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let turn = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop").join(format!("{turn:02}-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

/// Waits until `done` gives something, at most `limit`.
pub(crate) fn wait_for<T>(limit: Duration, mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let end = clock::now() + limit;
    loop {
        if let Some(value) = done() {
            return Some(value);
        }
        if clock::now() > end {
            return None;
        }
        clock::pause(Duration::from_millis(20));
    }
}

/// What a test's edge differs in.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Folder for everything of the test.
    pub(crate) folder: PathBuf,
    /// The edge's address.
    pub(crate) address: IpAddr,
    /// SIP port, UDP and TCP.
    pub(crate) sip: u16,
    /// Port of the HTTP interface.
    pub(crate) api: u16,
    /// Media ports.
    pub(crate) media: (u16, u16),
    /// Seconds of rest of a media port.
    pub(crate) quarantine: u32,
    /// Seconds that a drain may take.
    pub(crate) drain: u32,
    /// Milliseconds of a callback.
    pub(crate) budget: u32,
    /// Applications, trunks, carriers, numbers.
    pub(crate) directory: String,
}

impl Settings {
    /// An edge without any directory.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            folder: folder(name),
            address: CUSTOMER.parse().expect("address"),
            sip: free_port(),
            api: free_port(),
            media: (11_000, 12_999),
            quarantine: 1,
            drain: 20,
            budget: 2000,
            directory: String::new(),
        }
    }

    /// A customer at [`CUSTOMER`] with the trunk `office`, whose calls `carriers` (URIs) take.
    pub(crate) fn office(name: &str, callback: &str, carriers: &[String]) -> Self {
        let mut settings = Self::new(name);
        let callback = match callback {
            "" => String::new(),
            url => format!("callback = {url}\n"),
        };
        let _ = write!(
            settings.directory,
            "[[application]]\nkey = \"{KEY}\"\nsecret = \"{SECRET}\"\n{callback}
[[access_list]]\nname = \"customers\"\nranges = [\"{CUSTOMER}/32\", \"::1/128\"]
[[access_list]]\nname = \"carriers\"\nranges = [\"{CARRIER}/32\"]
[[trunk]]\nname = \"office\"\napplication = \"{KEY}\"\naccess_lists = [\"customers\"]
[[number]]\nnumber = \"{OWN}\"\napplication = \"{KEY}\"\n"
        );
        for (index, uri) in carriers.iter().enumerate() {
            let _ = write!(
                settings.directory,
                "[[carrier]]\nname = \"carrier-{index}\"\nuris = [\"{uri}\"]\n\
                 priority = {index}\naccess_lists = [\"carriers\"]\n"
            );
        }
        settings
    }

    /// Host of the edge as a URI writes it.
    pub(crate) fn host(&self) -> String {
        match self.address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }
    }

    /// The file's path; written by [`Settings::write`].
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("carrick.toml")
    }

    /// Writes the file.
    pub(crate) fn write(&self) {
        let Self { folder, sip, api, media: (first, last), .. } = self;
        let (host, address) = (self.host(), self.address);
        let (quarantine, drain, budget) = (self.quarantine, self.drain, self.budget);
        let text = format!(
            "[edge]\nhost = \"sip.test\"\ndata_dir = \"{}\"
[sip]\nlisten = [\"udp://{host}:{sip}\", \"tcp://{host}:{sip}\"]
[media]\naddresses = [\"{address}\"]\nports = \"{first}-{last}\"\nquarantine_s = {quarantine}
[runtime]\nshards = 2\npin = false
[api]\nlisten = \"127.0.0.1:{api}\"
[callbacks]\nallow_private = true\nallow_http = true\nbudget_ms = {budget}
[drain]\ndeadline_s = {drain}\n{}",
            folder.display(),
            self.directory
        );
        std::fs::write(self.file(), text).expect("settings are written");
    }

    /// Starts an edge with these settings and waits until it is ready.
    pub(crate) fn start(&self) -> Edge {
        self.write();
        Edge::start(self.clone())
    }
}

/// A running edge; killed when dropped.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) settings: Settings,
    child: Child,
    log: Arc<Mutex<String>>,
}

/// The program under test: `CARRICK_BIN`, else what this test was built with.
pub(crate) fn program() -> String {
    std::env::var("CARRICK_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_carrick").to_owned())
}

impl Edge {
    fn start(settings: Settings) -> Self {
        let mut child = Command::new(program())
            .args(["run", "--config"])
            .arg(settings.file())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the edge starts");
        let log = gather(child.stderr.take().expect("piped"));
        let mut edge = Self { settings, child, log };
        let ready = wait_for(Duration::from_secs(10), || {
            let ended = edge.child.try_wait().expect("a child").is_some();
            (ended || edge.log().contains("carrick: ready")).then_some(!ended)
        });
        assert_eq!(ready, Some(true), "the edge did not get ready:\n{}", edge.log());
        edge
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `host:port` of the SIP listeners, as SIPp takes it.
    pub(crate) fn target(&self) -> String {
        format!("{}:{}", self.settings.host(), self.settings.sip)
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([format!("-{name}"), pid]).status();
        assert!(sent.expect("kill runs").success(), "SIG{name} could not be sent");
    }

    /// Waits for the end: exit code, `None` when it does not end in time.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<Option<i32>> {
        wait_for(limit, || self.child.try_wait().expect("a child").map(|status| status.code()))
    }

    /// Asks it to stop, and takes nothing but exit code 0. Returns all that it logged.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        let code = self.wait(Duration::from_secs(30));
        let log = self.log();
        assert_eq!(code, Some(Some(0)), "the edge's end:\n{log}");
        assert!(!log.contains("panicked"), "the edge panicked:\n{log}");
        log
    }

    /// Kills it at once, as a power failure does.
    pub(crate) fn kill(mut self) -> Settings {
        self.child.kill().expect("killed");
        let _ = self.child.wait();
        self.settings.clone()
    }

    /// Open files of the process.
    pub(crate) fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid());
        std::fs::read_dir(folder).expect("descriptors of a child").count()
    }

    /// Sum of a metric over all its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = get(self.settings.api, "/metrics");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let matching = lines.filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        let values = matching.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// Waits until no call is left.
    pub(crate) fn settle(&self) {
        let over = || (self.metric("carrick_calls_active") == 0.0).then_some(());
        let over = wait_for(Duration::from_secs(10), over);
        assert!(over.is_some(), "calls are left over:\n{}", self.log());
    }

    /// All records, oldest first.
    pub(crate) fn cdrs(&self) -> Vec<Value> {
        cdrs(&self.settings)
    }

    /// The records once there are `count` of them.
    pub(crate) fn wait_cdrs(&self, count: usize) -> Vec<Value> {
        let all = wait_for(Duration::from_secs(10), || {
            Some(self.cdrs()).filter(|cdrs| cdrs.len() >= count)
        });
        let all = all.unwrap_or_else(|| self.cdrs());
        assert_eq!(all.len(), count, "records: {all:#?}\n{}", self.log());
        all
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the edge said:\n{}---", self.log());
        }
    }
}

/// All records in a store, by the program's own sub-command, oldest first.
pub(crate) fn cdrs(settings: &Settings) -> Vec<Value> {
    let output = Command::new(program())
        .args(["cdr", "--json", "--limit", "10000", "--store"])
        .arg(settings.folder.join("carrick.sqlite"))
        .output()
        .expect("carrick cdr runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let rows = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let mut rows: Vec<Value> = rows.collect();
    rows.reverse();
    rows
}

/// The record of that leg; there is exactly one.
pub(crate) fn leg<'c>(cdrs: &'c [Value], letter: &str) -> &'c Value {
    let mut of_leg = cdrs.iter().filter(|cdr| cdr["leg"] == letter);
    let one = of_leg.next().unwrap_or_else(|| panic!("no record of leg {letter}: {cdrs:#?}"));
    assert!(of_leg.next().is_none(), "more than one record of leg {letter}: {cdrs:#?}");
    one
}

/// Body of a GET on this host.
pub(crate) fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("HTTP is served");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).expect("an HTTP answer")
}

/// Keeps what a child writes.
pub(crate) fn gather(pipe: impl std::io::Read + Send + 'static) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = into.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
    log
}
