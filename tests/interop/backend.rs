//! Backends of an application: the Python example, and one that misbehaves.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use carrick::sys::clock;
use serde_json::Value;

use super::edge::{KEY, SECRET, folder, free_port, gather, wait_for};

/// `examples/callback_backend.py`, which checks each signature with Python's own libraries.
#[derive(Debug)]
pub(crate) struct Backend {
    child: Child,
    port: u16,
    folder: PathBuf,
    events: Arc<Mutex<String>>,
    errors: Arc<Mutex<String>>,
}

impl Backend {
    /// Starts it; ICE is answered with `ice`, ACE with `ace`.
    pub(crate) fn start(ice: &str, ace: &str) -> Self {
        Self::with_secret(ice, ace, SECRET)
    }

    /// The same with another secret.
    pub(crate) fn with_secret(ice: &str, ace: &str, secret: &str) -> Self {
        let (port, folder) = (free_port(), folder("backend"));
        std::fs::write(folder.join("ice.json"), ice).expect("written");
        std::fs::write(folder.join("ace.json"), ace).expect("written");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/callback_backend.py");
        let mut child = Command::new("python3")
            .args(["-u", script, "--port", &port.to_string(), "--key", KEY, "--secret", secret])
            .arg("--ice")
            .arg(folder.join("ice.json"))
            .arg("--ace")
            .arg(folder.join("ace.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let events = gather(child.stdout.take().expect("piped"));
        let errors = gather(child.stderr.take().expect("piped"));
        let backend = Self { child, port, folder, events, errors };
        let up = || TcpStream::connect(("127.0.0.1", port)).ok();
        let up = wait_for(Duration::from_secs(10), up);
        assert!(up.is_some(), "the backend does not listen: {}", backend.errors());
        backend
    }

    /// As the settings name it.
    pub(crate) fn toml(&self) -> String {
        format!("{{ primary = \"{}\" }}", self.url())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/calls", self.port)
    }

    /// What ICE is answered with from now on.
    pub(crate) fn answer_ice(&self, ice: &str) {
        std::fs::write(self.folder.join("ice.json"), ice).expect("written");
    }

    /// What ACE is answered with from now on.
    pub(crate) fn answer_ace(&self, ace: &str) {
        std::fs::write(self.folder.join("ace.json"), ace).expect("written");
    }

    /// What it complained about.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All events with a right signature so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = self.events.lock().unwrap_or_else(PoisonError::into_inner).clone();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Events of that kind.
    pub(crate) fn of(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["event"] == kind).collect()
    }

    /// Waits for `count` events of a kind; nothing may have been refused on the way.
    pub(crate) fn wait(&self, kind: &str, count: usize) -> Vec<Value> {
        let enough = || Some(self.of(kind)).filter(|events| events.len() >= count);
        let events = wait_for(Duration::from_secs(10), enough).unwrap_or_else(|| self.of(kind));
        assert_eq!(events.len(), count, "{kind}: {:#?}\n{}", self.events(), self.errors());
        assert!(!self.errors().contains("refused"), "{}", self.errors());
        events
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How [`Bad`] answers.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// With this status and body.
    Says(u16, &'static str),
    /// Not at all, for ten seconds.
    Sleeps,
}

/// A backend that misbehaves; it counts what it is asked. Ends with the test's process.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) port: u16,
    asked: Arc<AtomicU32>,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Bad {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("address").port();
        let (asked, bodies) = (Arc::new(AtomicU32::new(0)), Arc::default());
        let bad = Self { port, asked: Arc::clone(&asked), bodies: Arc::clone(&bodies) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (manner, asked, bodies) =
                    (manner.clone(), Arc::clone(&asked), Arc::clone(&bodies));
                std::thread::spawn(move || serve(stream, &manner, &asked, &bodies));
            }
        });
        bad
    }

    /// As the settings name it.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/calls", self.port)
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Bodies of the requests so far.
    pub(crate) fn of(&self, kind: &str) -> Vec<Value> {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.iter().filter(|body| body["event"] == kind).cloned().collect()
    }
}

fn serve(stream: TcpStream, manner: &Manner, asked: &AtomicU32, bodies: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.trim().to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if lower.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        asked.fetch_add(1, Ordering::Relaxed);
        let body = serde_json::from_slice(&body).expect("JSON");
        bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body);
        let answer = match manner {
            Manner::Sleeps => {
                clock::pause(Duration::from_secs(10));
                return;
            }
            Manner::Says(status, body) => format!(
                "HTTP/1.1 {status} So\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        };
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
