//! baresip calls baresip through the edge: what one plays, the other one hears.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::edge::{OWN, Settings, WORLD, folder, free_port, leg, machine, wait_for};
use super::peer::installed;

/// Samples a second.
const RATE: usize = 8000;
/// A window that is looked for in what was heard.
const WINDOW: usize = RATE / 4;
/// Quantisation of µ-law alone leaves about 37 dB.
const SNR_MIN_DB: f64 = 30.0;

/// A headless baresip; killed when dropped.
struct Baresip {
    child: Child,
    folder: PathBuf,
}

impl Baresip {
    fn start(name: &str, port: u16, account: &str, play: &[i16], seconds: u32, dial: &str) -> Self {
        let folder = folder(name);
        let source = folder.join("play.wav");
        std::fs::write(&source, wav(play)).expect("written");
        std::fs::write(folder.join("accounts"), format!("{account}\n")).expect("written");
        let rtp = free_port();
        let mut config = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\ncall_max_calls 4\n\
             audio_source aufile,{}\naudio_player aufile,{}\naudio_alert aufile,{}\n\
             audio_level no\nrtp_ports {rtp}-{}\nrtcp_mux no\njitter_buffer_delay 2-10\n\
             module_path /usr/lib/baresip/modules\nsnd_path {}\n",
            source.display(),
            folder.join("out.wav").display(),
            folder.join("alert.wav").display(),
            rtp + 3,
            folder.display(),
        );
        for format in ["ausrc", "auplay", "auenc", "audec"] {
            let _ = writeln!(config, "{format}_format s16");
        }
        for module in ["g711", "aufile", "sndfile", "uuid", "account", "menu"] {
            let kind = match module {
                "uuid" | "account" => "module_tmp",
                "menu" => "module_app",
                _ => "module",
            };
            let _ = writeln!(config, "{kind} {module}.so");
        }
        std::fs::write(folder.join("config"), config).expect("written");
        let output = std::fs::File::create(folder.join("output.txt")).expect("created");
        let mut command = Command::new("baresip");
        command.args(["-4", "-v", "-s", "-t", &seconds.to_string(), "-f"]).arg(&folder);
        if !dial.is_empty() {
            command.args(["-e", dial]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a descriptor"))
            .stderr(output)
            .spawn()
            .expect("baresip starts");
        Self { child, folder }
    }

    fn output(&self) -> String {
        let text = std::fs::read(self.folder.join("output.txt")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits for its own end, and gives what it heard.
    fn heard(&mut self) -> Vec<i16> {
        let ended = wait_for(Duration::from_secs(20), || self.child.try_wait().expect("a child"));
        assert!(ended.is_some(), "baresip does not end: {}", self.output());
        let files = std::fs::read_dir(&self.folder).expect("the folder");
        let mut names = files.map(|file| file.expect("a file").path());
        let dump = names.find(|path| path.to_string_lossy().ends_with("-dec.wav"));
        samples(&dump.unwrap_or_else(|| panic!("nothing was heard: {}", self.output())))
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- baresip said:\n{}", self.output());
        }
    }
}

/// A PCM file, one channel of 16 bits.
fn wav(samples: &[i16]) -> Vec<u8> {
    let size = |count: usize| u32::try_from(count).expect("small");
    let (rate, bytes) = (size(RATE), size(samples.len() * 2));
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1, 0, 1, 0]);
    file.extend(rate.to_le_bytes());
    file.extend((rate * 2).to_le_bytes());
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// Samples of such a file, as far as it was written.
fn samples(path: &Path) -> Vec<i16> {
    let file = std::fs::read(path).expect("the dump");
    let data = file.windows(4).position(|bytes| bytes == b"data").expect("a data chunk") + 8;
    file[data..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Five seconds of noise below 2 kHz, which resembles nothing but itself.
fn noise(mut seed: u32) -> Vec<i16> {
    let (mut slow, mut slower) = (0.0, 0.0);
    let samples = (0..5 * RATE).map(|_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        slow += 0.5 * (f64::from(seed >> 8) / f64::from(1 << 24) - 0.5 - slow);
        slower += 0.5 * (slow - slower);
        #[expect(clippy::cast_possible_truncation, reason = "well within range")]
        let sample = (slower * 40_000.0) as i16;
        sample
    });
    samples.collect()
}

/// Best signal-to-noise ratio over all places at which `window` may lie in `heard`, in decibel.
fn best_snr(window: &[i16], heard: &[i16]) -> f64 {
    let signal: i64 = window.iter().map(|s| i64::from(*s) * i64::from(*s)).sum();
    let probe = |at: usize, length: usize, most: i64| {
        let mut error = 0;
        for (sent, got) in window[..length].iter().zip(&heard[at..]) {
            let difference = i64::from(*sent) - i64::from(*got);
            error += difference * difference;
            if error > most {
                break;
            }
        }
        error
    };
    let places = 0..heard.len().saturating_sub(window.len());
    let least = places.fold(signal, |least, at| least.min(probe(at, window.len(), least)));
    #[expect(clippy::cast_precision_loss, reason = "a ratio of large sums")]
    let ratio = signal as f64 / least.max(1) as f64;
    10.0 * ratio.log10()
}

/// Most quarters of a second are heard as they were played; the ends and what a late timer of a
/// peer tore apart aside.
fn is_heard(who: &str, played: &[i16], heard: &[i16]) {
    let starts = (1..8).map(|half| half * RATE / 2);
    let figures: Vec<f64> =
        starts.map(|start| best_snr(&played[start..start + WINDOW], heard)).collect();
    let good = figures.iter().filter(|snr| **snr >= SNR_MIN_DB).count();
    println!("{who} heard {:.1} s, in decibel: {figures:.1?}", heard.len() as f64 / RATE as f64);
    assert!(good >= 5, "{who} heard, in decibel: {figures:.1?}");
}

#[test]
fn both_sides_hear_each_other() {
    if !installed(&["baresip"]) {
        return;
    }
    let _machine = machine();
    let (played_a, played_b) = (noise(1), noise(2));
    assert!(best_snr(&played_a[RATE..RATE + WINDOW], &played_b) < 5.0, "the test cannot fail");
    let (port_a, port_b) = (free_port(), free_port());
    let edge = Settings::office("audio", "", &[format!("sip:127.0.0.1:{port_b}")]).start();
    let account = format!(
        "<sip:{WORLD}@127.0.0.1:{port_b}>;regint=0;audio_codecs=PCMU/8000/1;answermode=auto"
    );
    let mut callee = Baresip::start("callee", port_b, &account, &played_b, 10, "");
    let up = || callee.output().contains("baresip is ready").then_some(());
    assert!(wait_for(Duration::from_secs(5), up).is_some(), "{}", callee.output());
    let account = format!(
        "<sip:{OWN}@office.sip.test>;regint=0;audio_codecs=PCMU/8000/1;\
         outbound=\"sip:127.0.0.1:{}\"",
        edge.settings.sip
    );
    let dial = format!("/dial sip:{WORLD}@office.sip.test");
    let mut caller = Baresip::start("caller", port_a, &account, &played_a, 7, &dial);
    let (heard_a, heard_b) = (caller.heard(), callee.heard());
    is_heard("the callee", &played_a, &heard_b);
    is_heard("the caller", &played_b, &heard_a);
    let cdrs = edge.wait_cdrs(2);
    for letter in ["a", "b"] {
        let record = leg(&cdrs, letter);
        assert_eq!((&record["result"], &record["codec"]), (&"ANSWERED".into(), &"PCMU".into()));
        let mos = record["mos_lq_in"].as_f64().expect("an estimate");
        assert!(mos > 4.0, "{record:#?}");
        let reported = record["loss_pct_out"].as_f64().expect("from RTCP");
        assert!(reported < 5.0, "{record:#?}");
    }
    edge.stop();
}
