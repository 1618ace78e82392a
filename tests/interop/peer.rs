//! SIPp as caller and callee, with scenarios from `tests/data/sipp`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::edge::{folder, free_port, wait_for};

/// Whether all programs are installed. Where not, says what to install; with `CI=true` that is a
/// failure.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = |program: &&&str| path.split(':').any(|dir| Path::new(dir).join(program).exists());
    let Some(missing) = programs.iter().find(|program| !found(program)) else { return true };
    let package = match *missing {
        "sipp" => "sip-tester",
        "baresip" => "baresip-core",
        other => other,
    };
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "{missing} is not installed: apt-get install {package}");
    println!("skipped: {missing} is not installed: apt-get install {package}");
    false
}

/// A SIPp that is to be started.
#[derive(Debug)]
pub(crate) struct Sipp {
    scenario: String,
    address: IpAddr,
    port: u16,
    media: u16,
    folder: PathBuf,
    words: Vec<(String, String)>,
    arguments: Vec<String>,
    trace: bool,
}

/// A running SIPp; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
}

impl Sipp {
    /// SIPp with a scenario, at an address, for one call.
    pub(crate) fn new(scenario: &str, address: &str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            address: address.parse().expect("an address"),
            port: free_port(),
            media: free_port(),
            folder: folder(scenario),
            words: Vec::new(),
            arguments: vec!["-m".to_owned(), "1".to_owned()],
            trace: true,
        }
    }

    /// For many calls: no trace of each message, and more time.
    pub(crate) fn many(mut self, calls: u32, rate: u32) -> Self {
        self.trace = false;
        let (calls, rate) = (calls.to_string(), rate.to_string());
        self.with(&["-m", &calls, "-r", &rate, "-l", "2000", "-timeout", "180s"])
    }

    /// Replaces `@NAME@` in the scenario.
    pub(crate) fn word(mut self, name: &str, value: &str) -> Self {
        self.words.push((format!("@{name}@"), value.to_owned()));
        self
    }

    /// Further arguments.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// `sip:` URI of this SIPp.
    pub(crate) fn uri(&self) -> String {
        match self.address {
            IpAddr::V4(address) => format!("sip:{address}:{}", self.port),
            IpAddr::V6(address) => format!("sip:[{address}]:{}", self.port),
        }
    }

    fn write_scenario(&self) -> PathBuf {
        let from = format!("{}/tests/data/sipp/{}.xml", env!("CARGO_MANIFEST_DIR"), self.scenario);
        let mut text = std::fs::read_to_string(&from).expect(&from);
        let audio = self.folder.join("audio.ul");
        let defaults = [
            ("@NUMBER@", super::edge::WORLD),
            ("@CALLER@", super::edge::OWN),
            ("@DOMAIN@", "office.sip.test"),
            ("@CHECKS@", ""),
            ("@AUDIO@", audio.to_str().expect("UTF-8")),
        ];
        for (word, value) in &self.words {
            text = text.replace(word, value);
        }
        // A header that is not wanted must not leave a blank line, which would end the headers.
        text = text.replace("    @HEADERS@\n", "");
        for (word, value) in defaults {
            text = text.replace(word, value);
        }
        // Variables that only a check has would make SIPp refuse the scenario.
        let names = ["k1", "k2", "k3", "k4"];
        let used = names.iter().filter(|name| text.contains(&format!("assign_to=\"{name}\"")));
        let used: Vec<_> = used.copied().collect();
        let reference = format!("  <Reference variables=\"{}\"/>\n</scenario>", used.join(","));
        let text = if used.is_empty() { text } else { text.replace("</scenario>", &reference) };
        assert!(!text.contains("@DURATION@"), "{} needs DURATION", self.scenario);
        if text.contains("audio.ul") {
            std::fs::write(&audio, audio_bytes()).expect("audio is written");
        }
        let path = self.folder.join("scenario.xml");
        std::fs::write(&path, text).expect("the scenario is written");
        path
    }

    /// Starts it towards `target` (`host:port`; for a callee without meaning).
    pub(crate) fn start(self, target: &str) -> Running {
        let path = self.write_scenario();
        let output = std::fs::File::create(self.folder.join("output.txt")).expect("created");
        let address = self.address.to_string();
        let trace: &[&str] = match self.trace {
            true => &["-trace_msg", "-message_file", "messages.txt"],
            false => &[],
        };
        let child = Command::new("sipp")
            .arg(target)
            .arg("-sf")
            .arg(&path)
            .args(["-i", &address, "-mi", &address])
            .args(["-p", &self.port.to_string(), "-mp", &self.media.to_string()])
            .args(["-nostdin", "-trace_err", "-error_file", "errors.txt"])
            .args(["-trace_logs", "-log_file", "log.txt"])
            .args(["-timeout", "40s", "-timeout_error", "-default_behaviors", "all,-bye"])
            .args(trace)
            .args(&self.arguments)
            .current_dir(&self.folder)
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a descriptor"))
            .stderr(output)
            .spawn()
            .expect("sipp starts");
        let Self { folder, port, scenario, .. } = self;
        let mut running = Running { child, name: scenario, folder, port };
        running.until_bound();
        running
    }
}

impl Running {
    /// Waits until the SIP port is taken, so that a caller does not come too early.
    fn until_bound(&mut self) {
        let suffix = format!(":{:04X}", self.port);
        let bound = wait_for(Duration::from_secs(5), || {
            let taken = ["udp", "udp6", "tcp", "tcp6"].iter().any(|table| {
                let text = std::fs::read_to_string(format!("/proc/net/{table}"));
                text.unwrap_or_default().lines().any(|line| {
                    line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&suffix))
                })
            });
            // A short caller may be over before anybody looks.
            (taken || !self.runs()).then_some(())
        });
        assert!(bound.is_some(), "{} does not listen", self.name);
    }

    /// What SIPp logged or complained about; for messages of failed tests.
    pub(crate) fn report(&self) -> String {
        let mut report = String::new();
        for file in ["errors.txt", "log.txt", "messages.txt"] {
            let text = std::fs::read_to_string(self.folder.join(file)).unwrap_or_default();
            let text: String = text.chars().take(12_000).collect();
            report.push_str(&format!("--- {} {file}:\n{text}\n", self.name));
        }
        report
    }

    /// Lines of `<log>` actions.
    pub(crate) fn logged(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("log.txt")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for the end: exit code.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<i32> {
        let status = wait_for(limit, || self.child.try_wait().expect("a child"));
        status.and_then(|status| status.code())
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// All its calls must have gone as the scenario says.
    pub(crate) fn succeed(mut self) -> PathBuf {
        let code = self.wait(Duration::from_secs(200));
        assert_eq!(code, Some(0), "{} failed", self.name);
        self.folder.clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
    }
}

/// Two seconds of a tone in µ-law, as SIPp streams it: any bytes do.
fn audio_bytes() -> Vec<u8> {
    (0..16_000u32).map(|n| (n % 251).to_le_bytes()[0]).collect()
}
