//! Carrick's SIP parser beside two others, on one INVITE: parsing, checking, and reading the
//! values that a back-to-back edge needs (Request-URI user, top Via branch, From tag, To tag,
//! Call-ID, CSeq, Max-Forwards, Contact).
//!
//! Rounds are interleaved, so that a disturbance of the machine meets all contenders; the median
//! round counts. Read the ratios, not the nanoseconds. `--json` prints one object.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

const ROUNDS: usize = 400;
const ITERATIONS: u32 = 200;

const INVITE: &[u8] = b"INVITE sip:+14155550100@edge.example.com:5060;transport=udp SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK776asdhds1f3b2;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice Example\" <sip:+14155550111@pbx.example.com>;tag=1928301774ab\r\n\
    To: <sip:+14155550100@edge.example.com>\r\n\
    Call-ID: a84b4c76e66710-3848276298220188511@pbx.example.com\r\n\
    CSeq: 314159 INVITE\r\n\
    Contact: <sip:alice@192.0.2.10:5060;transport=udp>\r\n\
    Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, UPDATE, PRACK, INFO\r\n\
    Supported: timer, 100rel, replaces\r\n\
    Session-Expires: 1800;refresher=uac\r\n\
    Min-SE: 90\r\n\
    User-Agent: ExamplePBX/18.2\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 246\r\n\
    \r\n\
    v=0\r\n\
    o=alice 2890844526 2890844526 IN IP4 192.0.2.10\r\n\
    s=-\r\n\
    c=IN IP4 192.0.2.10\r\n\
    t=0 0\r\n\
    m=audio 49170 RTP/AVP 0 8 18 101\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:18 G729/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-16\r\n\
    a=ptime:20\r\n";

/// Counts what the contenders allocate.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe by its nature")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        BYTES.fetch_add(layout.size() as u64, Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// One parser doing one job.
struct Contender {
    name: &'static str,
    run: fn(&[u8]) -> usize,
    nanoseconds: Vec<f64>,
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch reads the clock")]
fn main() {
    let mut contenders = [
        contender("carrick parse", carrick_parse),
        contender("carrick parse+validate", carrick_validate),
        contender("carrick work", carrick_work),
        contender("rsip parse", rsip_parse),
        contender("rsip work", rsip_work),
        contender("rsipstack parse", rsipstack_parse),
        contender("rsipstack work", rsipstack_work),
    ];
    let sums: Vec<_> = ["carrick work", "rsip work", "rsipstack work"]
        .iter()
        .map(|name| contenders.iter().find(|c| c.name == *name).map(|c| (c.run)(INVITE)))
        .collect();
    assert!(sums.iter().all(|sum| *sum == sums[0]), "all read the same values: {sums:?}");
    for _ in 0..ROUNDS {
        for contender in &mut contenders {
            let start = Instant::now();
            for _ in 0..ITERATIONS {
                black_box((contender.run)(black_box(INVITE)));
            }
            contender.nanoseconds.push(start.elapsed().as_nanos() as f64 / f64::from(ITERATIONS));
        }
    }
    report(&mut contenders, std::env::args().any(|argument| argument == "--json"));
}

fn contender(name: &'static str, run: fn(&[u8]) -> usize) -> Contender {
    Contender { name, run, nanoseconds: Vec::with_capacity(ROUNDS) }
}

fn report(contenders: &mut [Contender], json: bool) {
    let mut rows = Vec::new();
    for contender in contenders {
        contender.nanoseconds.sort_by(f64::total_cmp);
        let before = (ALLOCATIONS.load(Relaxed), BYTES.load(Relaxed));
        black_box((contender.run)(INVITE));
        let after = (ALLOCATIONS.load(Relaxed), BYTES.load(Relaxed));
        let median = contender.nanoseconds[contender.nanoseconds.len() / 2];
        let least = contender.nanoseconds[0];
        rows.push((contender.name, median, least, after.0 - before.0, after.1 - before.1));
    }
    let median_of = |name| rows.iter().find(|row| row.0 == name).map_or(f64::NAN, |row| row.1);
    let own = median_of("carrick work");
    let ratios = [
        ("rsip work / carrick work", median_of("rsip work") / own),
        ("rsipstack work / carrick work", median_of("rsipstack work") / own),
    ];
    if json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, median, least, allocations, bytes)| {
                format!(
                    "{{\"name\":\"{name}\",\"median_ns\":{median:.1},\"min_ns\":{least:.1},\
                     \"allocations\":{allocations},\"bytes\":{bytes}}}"
                )
            })
            .collect();
        let ratios: Vec<_> =
            ratios.iter().map(|(name, ratio)| format!("\"{name}\":{ratio:.2}")).collect();
        println!(
            "{{\"bench\":\"parse\",\"message_bytes\":{},\"rows\":[{}],\"ratios\":{{{}}}}}",
            INVITE.len(),
            rows.join(","),
            ratios.join(",")
        );
        return;
    }
    println!("{} bytes, {ROUNDS} interleaved rounds of {ITERATIONS}", INVITE.len());
    println!("{:26}{:>11}{:>9}{:>8}{:>8}", "", "median ns", "min ns", "allocs", "bytes");
    for (name, median, least, allocations, bytes) in rows {
        println!("{name:26}{median:>11.0}{least:>9.0}{allocations:>8}{bytes:>8}");
    }
    for (name, ratio) in ratios {
        println!("{name:34}{ratio:>6.1}x");
    }
}

/// What every contender has read, as one number that depends on all of it.
fn sum(texts: [&str; 6], numbers: [u32; 2]) -> usize {
    texts.iter().map(|text| text.len()).sum::<usize>()
        + usize::try_from(numbers[0] + numbers[1]).unwrap_or(0)
}

fn carrick_parse(bytes: &[u8]) -> usize {
    use carrick::wire::sip::{Framing, Message};
    let message = Message::parse(bytes, Framing::Datagram).expect("parse");
    message.body().len()
}

fn carrick_validate(bytes: &[u8]) -> usize {
    use carrick::wire::sip::{Framing, Message};
    let message = Message::parse(bytes, Framing::Datagram).expect("parse");
    message.validate().expect("validate");
    message.body().len()
}

fn carrick_work(bytes: &[u8]) -> usize {
    use carrick::wire::sip::{Framing, Message};
    let message = Message::parse(bytes, Framing::Datagram).expect("parse");
    let checked = message.checked().expect("validate");
    let (_, contact) = checked.contact.expect("contact");
    sum(
        [
            checked.uri.and_then(|uri| uri.user).unwrap_or(""),
            checked.via.branch().unwrap_or(""),
            checked.from_tag.unwrap_or(""),
            checked.to_tag.unwrap_or(""),
            checked.call_id,
            contact.user.unwrap_or(""),
        ],
        [checked.cseq.number, u32::from(checked.max_forwards.expect("max-forwards"))],
    )
}

fn rsip_parse(bytes: &[u8]) -> usize {
    match rsip::SipMessage::try_from(bytes).expect("parse") {
        rsip::SipMessage::Request(request) => request.body.len(),
        rsip::SipMessage::Response(_) => 0,
    }
}

fn rsip_work(bytes: &[u8]) -> usize {
    use rsip::prelude::{HeadersExt as _, ToTypedHeader as _, UntypedHeader as _};
    let rsip::SipMessage::Request(request) = rsip::SipMessage::try_from(bytes).expect("parse")
    else {
        return 0;
    };
    let via = request.via_header().and_then(|via| via.typed()).expect("via");
    let from = request.from_header().and_then(|from| from.typed()).expect("from");
    let to = request.to_header().and_then(|to| to.typed()).expect("to");
    let cseq = request.cseq_header().and_then(|cseq| cseq.typed()).expect("cseq");
    let contact = request.contact_header().and_then(|contact| contact.typed()).expect("contact");
    sum(
        [
            request.uri.user().unwrap_or(""),
            via.branch().map_or("", |branch| branch.value()),
            from.tag().map_or("", |tag| tag.value()),
            to.tag().map_or("", |tag| tag.value()),
            request.call_id_header().expect("call-id").value(),
            contact.uri.user().unwrap_or(""),
        ],
        [cseq.seq, request.max_forwards_header().and_then(|max| max.num()).expect("max-forwards")],
    )
}

fn rsipstack_parse(bytes: &[u8]) -> usize {
    match rsipstack::sip::SipMessage::try_from(bytes).expect("parse") {
        rsipstack::sip::SipMessage::Request(request) => request.body.len(),
        rsipstack::sip::SipMessage::Response(_) => 0,
    }
}

fn rsipstack_work(bytes: &[u8]) -> usize {
    use rsipstack::sip::prelude::{HeadersExt as _, ToTypedHeader as _};
    let rsipstack::sip::SipMessage::Request(request) =
        rsipstack::sip::SipMessage::try_from(bytes).expect("parse")
    else {
        return 0;
    };
    let via = request.via_header().and_then(|via| via.typed()).expect("via");
    let from = request.from_header().and_then(|from| from.typed()).expect("from");
    let to = request.to_header().and_then(|to| to.typed()).expect("to");
    let contact = request.contact_header().and_then(|contact| contact.typed()).expect("contact");
    let max_forwards = request.max_forwards_header().expect("max-forwards").value();
    sum(
        [
            request.uri.user().unwrap_or(""),
            via.branch().map_or("", |branch| branch.value()),
            from.tag().map_or("", |tag| tag.value()),
            to.tag().map_or("", |tag| tag.value()),
            request.call_id_header().expect("call-id").value(),
            contact.uri.user().unwrap_or(""),
        ],
        [
            request.cseq_header().and_then(|cseq| cseq.seq()).expect("cseq"),
            max_forwards.trim().parse().expect("number"),
        ],
    )
}
