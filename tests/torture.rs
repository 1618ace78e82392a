//! Hostile and odd inputs: the messages of RFC 4475 and RFC 5118 with the verdict that each must
//! get, the project's own set, mutations of all of these, and, where the shared folder is beside
//! the checkout, everything in it. Nothing may panic, and nothing may take long.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use carrick::base::rng::Rng;
use carrick::wire::exercise;
use carrick::wire::sip::framing::{Framed, Framer};
use carrick::wire::sip::{Framing, Malformed, Message};

/// RFC 4475 §3.1.1: valid, however odd.
const VALID: [&str; 13] = [
    "wsinv",
    "intmeth",
    "esc01",
    "escnull",
    "esc02",
    "lwsdisp",
    "longreq",
    "dblreq",
    "semiuri",
    "transports",
    "mpart01",
    "unreason",
    "noreason",
];

/// RFC 4475 §3.1.2: invalid, with the status of the answer (0: dropped).
const INVALID: [(&str, u16); 19] = [
    ("badinv01", 400),
    ("clerr", 400),
    ("ncl", 400),
    ("scalar02", 400),
    ("scalarlg", 0),
    ("quotbal", 400),
    ("ltgtruri", 400),
    ("lwsruri", 400),
    ("lwsstart", 400),
    ("trws", 400),
    ("escruri", 400),
    ("baddate", 400),
    ("regbadct", 400),
    ("badaspec", 400),
    ("baddn", 400),
    ("badvers", 505),
    ("mismatch01", 400),
    ("mismatch02", 400),
    ("bigcode", 0),
];

/// RFC 4475 §3.2 to §3.4: right in form, to be judged by what they ask; those with a status are
/// refused by the checks themselves.
const APPLICATION: [(&str, Option<u16>); 17] = [
    ("badbranch", None),
    ("insuf", Some(400)),
    ("unkscm", Some(416)),
    ("novelsc", Some(416)),
    ("unksm2", None),
    ("bext01", None),
    ("invut", None),
    ("regaut01", None),
    ("multi01", Some(400)),
    ("mcl01", Some(400)),
    ("bcast", None),
    ("zeromf", None),
    ("cparam01", None),
    ("cparam02", None),
    ("regescrt", None),
    ("sdp01", None),
    ("inv2543", None),
];

/// RFC 5118, with whether each is accepted.
const IPV6: [(&str, bool); 12] = [
    ("ipv6-good", true),
    ("ipv6-bad", false),
    ("port-ambiguous", true),
    ("port-unambiguous", true),
    ("via-received-param-with-delim", true),
    ("via-received-param-no-delim", true),
    ("ipv6-in-sdp", true),
    ("mult-ip-in-header", true),
    ("mult-ip-in-sdp", true),
    ("ipv4-mapped-ipv6", true),
    // The standard lets such an address pass or not; three colons are no address to Carrick.
    ("ipv6-bug-abnf-3-colons", false),
    ("ipv6-correct-abnf-2-colons", true),
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torture")
}

fn read(folder: &str, name: &str) -> Vec<u8> {
    let path = data().join(folder).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn judge(bytes: &[u8]) -> Result<(), Malformed> {
    Message::parse(bytes, Framing::Datagram)?.validate()
}

#[test]
fn rfc4475_valid_messages_are_accepted() {
    for name in VALID {
        let verdict = judge(&read("rfc4475-ersip", &format!("{name}.dat")));
        assert_eq!(verdict, Ok(()), "{name}");
    }
}

#[test]
fn rfc4475_invalid_messages_are_refused_with_the_right_status() {
    for (name, status) in INVALID {
        let bytes = read("rfc4475-ersip", &format!("{name}.dat"));
        let refused = judge(&bytes).expect_err(name);
        assert_eq!(refused.status, status, "{name}: {refused}");
        // What is to be answered can be.
        assert_eq!(Message::salvage(&bytes).is_some(), status != 0, "{name}");
    }
}

#[test]
fn rfc4475_other_messages_parse_and_meet_their_checks() {
    for (name, status) in APPLICATION {
        let bytes = read("rfc4475-ersip", &format!("{name}.dat"));
        assert_eq!(judge(&bytes).err().map(|refused| refused.status), status, "{name}");
    }
}

#[test]
fn rfc5118_addresses_are_read() {
    for (name, accepted) in IPV6 {
        assert_eq!(judge(&read("rfc5118", name)).is_ok(), accepted, "{name}");
    }
    let bytes = read("rfc5118", "via-received-param-no-delim");
    let message = Message::parse(&bytes, Framing::Datagram).expect("parse");
    let received = message.top_via().expect("via").received();
    assert_eq!(received, "2001:db8::9:255".parse().ok());
}

/// Verdict of the project's own hostile datagrams, where the wire alone can give one.
const REFUSED: [(&str, u16); 12] = [
    ("hdr-colon-x01.udp", 400),
    ("dup-from.udp", 400),
    ("dup-to.udp", 400),
    ("dup-call-id.udp", 400),
    ("cseq-method-416A.udp", 400),
    ("cseq-2p31.udp", 400),
    ("tag-64k.udp", 400),
    ("digest-nonce-64k.udp", 513),
    ("body-boundary-70k.udp", 513),
    ("contact-unclosed-quote.udp", 400),
    ("to-user-600.udp", 0),
    ("hdrname-340.udp", 0),
];

#[test]
fn own_datagrams_get_their_verdict() {
    for (name, status) in REFUSED {
        let verdict = judge(&read("derived-open", name));
        // 0 in the table: the wire lets it pass, and what it asks for decides.
        let got = verdict.err().map_or(0, |refused| refused.status);
        assert_eq!(got, status, "{name}: {verdict:?}");
    }
}

/// Messages that a stream gives, and the status of the fault that ends it.
fn frame(bytes: &[u8]) -> (usize, Option<u16>) {
    let (mut framer, mut at, mut messages) = (Framer::new(), 0, 0);
    loop {
        match framer.next(&bytes[at..]) {
            Framed::NeedMore { .. } => return (messages, None),
            Framed::KeepAlive { consumed, .. } => at += consumed,
            Framed::Message { consumed, .. } => {
                messages += 1;
                at += consumed;
            }
            Framed::Fatal(fault) => return (messages, Some(fault.status)),
        }
    }
}

#[test]
fn own_streams_get_their_verdict() {
    for (name, messages, status) in [
        ("cl-2p32+32.tcp", 0, Some(413)),
        ("cl-huge.tcp", 0, Some(413)),
        ("cl-negative.tcp", 0, Some(400)),
        ("cl-dup-differ.tcp", 0, Some(400)),
        ("cl-missing.tcp", 0, Some(400)),
        ("cl-plus.tcp", 0, Some(400)),
        ("cl-hex.tcp", 0, Some(400)),
        ("cl-short-trailing.tcp", 2, None),
        ("pipelined-50.tcp", 50, None),
        ("crlf-keepalive-10k.tcp", 0, None),
        ("header-no-end-64k.tcp", 0, Some(513)),
        ("ws-upgrade-128bit-len.tcp", 0, Some(0)),
    ] {
        assert_eq!(frame(&read("derived-open", name)), (messages, status), "{name}");
    }
}

/// Every file below a folder, in order.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files(&path, into) } else { into.push(path) }
    }
}

fn exercise_all(bytes: &[u8]) {
    exercise::sip_datagram(bytes);
    exercise::sip_stream(bytes);
    exercise::uri(bytes);
    exercise::sdp(bytes);
    exercise::digest_header(bytes);
}

#[test]
fn committed_files_hold_every_promise() {
    let mut paths = Vec::new();
    files(&data(), &mut paths);
    assert!(paths.len() >= 130, "{} files", paths.len());
    for path in paths {
        exercise_all(&std::fs::read(&path).expect("readable"));
    }
}

#[test]
fn shared_files_hold_every_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/torture");
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    if paths.is_empty() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    for path in paths {
        let bytes = std::fs::read(&path).expect("readable");
        exercise_all(&bytes);
        let verdict = match judge(&bytes) {
            Ok(()) => "accepted".to_owned(),
            Err(refused) => format!("{} {}", refused.status, refused.why),
        };
        *verdicts.entry(verdict).or_default() += 1;
    }
    for (verdict, count) in verdicts {
        println!("{count:6} {verdict}");
    }
}

/// An index below `bound`.
fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).expect("below a usize")
}

/// Changes `bytes` in one to eight places.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    const PIECES: [&[u8]; 16] = [
        b"\r\n",
        b"\r\n ",
        b"\r",
        b"\n",
        b"\0",
        b":",
        b";",
        b",",
        b"\"",
        b"<",
        b">",
        b"\\",
        b"Content-Length: 1\r\n",
        b"i: other\r\n",
        b"99999999999999999999",
        b"\xff\xfe",
    ];
    let index = |rng: &mut Rng, length: usize| below(rng, length + 1);
    for _ in 0..=rng.below(8) {
        let at = index(rng, bytes.len());
        match rng.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 => bytes.truncate(at),
            2 => {
                let end = (at + index(rng, 16)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let start = index(rng, other.len());
                let end = (start + index(rng, 64)).min(other.len());
                bytes.splice(at..at, other[start..end].iter().copied());
            }
            _ => {
                let piece = PIECES[below(rng, PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
}

#[test]
fn mutations_hold_every_promise() {
    let mut paths = Vec::new();
    files(&data(), &mut paths);
    let seeds: Vec<_> = paths
        .iter()
        .map(|path| std::fs::read(path).expect("readable"))
        .filter(|bytes| bytes.len() < 4096)
        .collect();
    let mut rng = Rng::from_number(4475);
    for round in 0..100_000u32 {
        let seed = &seeds[below(&mut rng, seeds.len())];
        let other = &seeds[below(&mut rng, seeds.len())];
        let mut bytes = seed.clone();
        mutate(&mut rng, &mut bytes, other);
        match round % 8 {
            0 => exercise::sip_stream(&bytes),
            1 => {
                // Lines on their own reach further into the parsers of single values.
                for line in bytes.split(|byte| *byte == b'\n') {
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    let value = line.splitn(2, |byte| *byte == b':').nth(1).unwrap_or(line);
                    exercise::uri(value.trim_ascii());
                    exercise::digest_header(value.trim_ascii());
                }
            }
            2 => {
                let body = bytes.windows(4).position(|window| window == b"\r\n\r\n");
                exercise::sdp(&bytes[body.map_or(0, |at| at + 4)..]);
            }
            _ => exercise::sip_datagram(&bytes),
        }
    }
}
