//! Phones against each other, over a network that loses and reorders.

use super::*;
use crate::sim::network::{Conditions, Delivery, Network};

const CALLER: &str = "10.0.0.1:5060";
const CALLEE: &str = "10.0.0.2:5060";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("address")
}

struct Pair {
    now: Instant,
    network: Network,
    phones: [Phone; 2],
    events: Vec<(usize, What)>,
}

impl Pair {
    fn new(seed: u64, conditions: Conditions) -> Self {
        let mut rng = Rng::from_number(seed);
        let caller = PhoneConfig::plain("caller", address(CALLER), address(CALLEE));
        let callee = PhoneConfig::plain("callee", address(CALLEE), address(CALLER));
        Self {
            now: Instant::ZERO,
            network: Network::new(rng.fork(), conditions),
            phones: [Phone::new(caller, rng.fork()), Phone::new(callee, rng.fork())],
            events: Vec::new(),
        }
    }

    fn send(&mut self, out: Vec<Datagram>) {
        for datagram in out {
            self.network.send(self.now, datagram.from, datagram.to, datagram.bytes);
        }
    }

    fn call(&mut self, script: CallScript) {
        let mut out = Vec::new();
        self.phones[0].call(self.now, script, &mut out);
        self.send(out);
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            let deadlines = self.phones.iter().map(Phone::next_deadline);
            let next = deadlines.chain([self.network.next_deadline()]).flatten().min();
            match next {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
            let mut out = Vec::new();
            while let Some(delivery) = self.network.receive(self.now) {
                let Delivery::Datagram { from, to, bytes } = delivery else { continue };
                let phone = usize::from(to.ip() == address(CALLEE).ip());
                self.phones[phone].receive(self.now, Transport::Udp, (to, from), &bytes, &mut out);
            }
            for (index, phone) in self.phones.iter_mut().enumerate() {
                phone.expire(self.now, &mut out);
                self.events.extend(phone.events().into_iter().map(|event| (index, event.what)));
            }
            self.send(out);
        }
        self.now = end;
    }

    fn faults(&self) -> Vec<&What> {
        let faults = self.events.iter().map(|(_, what)| what);
        faults.filter(|what| matches!(what, What::Fault(_))).collect()
    }

    fn has(&self, phone: usize, what: &What) -> bool {
        self.events.iter().any(|(index, event)| (*index, event) == (phone, what))
    }

    fn only(&self, phone: usize) -> Summary {
        let mut all = self.phones[phone].summaries();
        let first = all.next().expect("a call");
        assert!(all.next().is_none());
        first
    }
}

fn talk(seconds: u64) -> CallScript {
    CallScript::plain("sip:+4930@10.0.0.2", "+49301", Some(Duration::from_secs(seconds)))
}

const ROUGH: Conditions = Conditions {
    loss: 150,
    duplication: 50,
    corruption: 0,
    delay: Duration::from_millis(10),
    jitter: Duration::from_millis(30),
    refused: 0,
    reset: 0,
};

#[test]
fn a_call_with_media_both_ways() {
    let mut pair = Pair::new(1, Conditions::CALM);
    pair.phones[1].expect("+4930", AnswerScript::plain(Duration::from_secs(1)));
    pair.call(talk(5));
    pair.run(60);
    assert!(pair.faults().is_empty(), "{:?}", pair.faults());
    assert!(pair.has(0, &What::Ringing(180)) && pair.has(1, &What::Confirmed));
    assert!(pair.has(1, &What::Ended(EndedBy::Them)));
    let (a, b) = (pair.only(0), pair.only(1));
    assert!(a.bye_answered && a.media.sent >= 249, "{a:?}");
    assert_eq!((b.media.received, b.media.lost), (a.media.sent, 0));
    assert_eq!(a.media.peers, [b.media_identity]);
    assert_eq!(b.media.peers, [a.media_identity]);
    assert!(pair.phones.iter().all(Phone::is_idle));
}

#[test]
fn calls_survive_loss_and_disorder() {
    for seed in 0..40 {
        let mut pair = Pair::new(seed, ROUGH);
        let mut script = AnswerScript::plain(Duration::from_secs(1));
        script.during = vec![(Duration::from_secs(1), Mid::Hold)];
        pair.phones[1].expect_any(script);
        let mut call = talk(12);
        call.offer = seed % 2 == 0;
        // Both sides change the session at the same time: glare.
        call.during = vec![
            (Duration::from_secs(1), Mid::Hold),
            (Duration::from_secs(6), Mid::Resume),
            (Duration::from_secs(7), Mid::Info),
            (Duration::from_secs(8), Mid::Delayed),
            (Duration::from_secs(10), Mid::Update),
        ];
        pair.call(call);
        pair.run(200);
        assert!(pair.faults().is_empty(), "seed {seed}: {:?}", pair.faults());
        let (a, b) = (pair.only(0), pair.only(1));
        assert!(a.bye_answered && !a.timed_out, "seed {seed}: {a:?}");
        assert!(b.ended.is_some(), "seed {seed}: {b:?}");
        let heard = [a.media.faults, b.media.faults];
        assert!(heard.iter().all(Vec::is_empty), "seed {seed}: {heard:?}");
        assert!(pair.phones.iter().all(Phone::is_idle), "seed {seed}");
    }
}

#[test]
fn carriers_that_challenge_refuse_redirect_or_stay_silent() {
    for sha256 in [false, true] {
        let mut pair = Pair::new(5, Conditions::CALM);
        let door = Door { username: "u".to_owned(), password: "p".to_owned(), sha256 };
        let mut script = AnswerScript::plain(Duration::from_secs(1));
        script.challenge = Some(door);
        pair.phones[1].expect_any(script);
        pair.phones[0].config_mut().credentials = Some(("u".to_owned(), "p".to_owned()));
        pair.call(talk(1));
        pair.run(60);
        assert!(pair.faults().is_empty(), "{:?}", pair.faults());
        assert!(pair.has(0, &What::Challenged) && pair.has(0, &What::Answered));
    }
    for (outcome, status) in [
        (Outcome::Refuse(486), 486),
        (Outcome::Redirect("sip:x@10.0.0.9".to_owned()), 302),
        (Outcome::Silence, 487),
    ] {
        let mut pair = Pair::new(6, ROUGH);
        let mut script = AnswerScript::plain(Duration::ZERO);
        script.outcome = (Duration::from_millis(500), outcome);
        pair.phones[1].expect_any(script);
        let mut call = talk(1);
        call.give_up = Some(Duration::from_secs(20));
        pair.call(call);
        pair.run(120);
        assert_eq!(pair.only(0).status, status);
        assert!(pair.faults().is_empty(), "{:?}", pair.faults());
        assert!(pair.phones.iter().all(Phone::is_idle));
    }
}

#[test]
fn cancel_that_crosses_the_answer_ends_the_call() {
    for ms in [995u64, 1000, 1005, 1010] {
        let delay = Duration::from_millis(10);
        let mut pair = Pair::new(9, Conditions { delay, ..Conditions::CALM });
        pair.phones[1].expect_any(AnswerScript::plain(Duration::from_secs(1)));
        let mut call = talk(30);
        call.give_up = Some(Duration::from_millis(ms));
        pair.call(call);
        pair.run(100);
        let (a, b) = (pair.only(0), pair.only(1));
        assert!(pair.faults().is_empty(), "{:?}", pair.faults());
        assert!(b.cancelled || b.ended.is_some(), "at {ms} ms: {a:?} {b:?}");
        assert!(pair.phones.iter().all(Phone::is_idle), "at {ms} ms");
    }
}

#[test]
fn a_missing_ack_ends_in_bye_and_a_late_one_does_not() {
    for (ack, ended_by) in
        [(AckStyle::Never, EndedBy::Us), (AckStyle::Late(Duration::from_secs(3)), EndedBy::Them)]
    {
        let mut pair = Pair::new(3, Conditions::CALM);
        pair.phones[1].expect_any(AnswerScript::plain(Duration::from_millis(500)));
        let mut call = talk(60);
        call.ack = ack;
        pair.call(call);
        pair.run(200);
        let ended = pair.only(1).ended.expect("ended");
        assert_eq!(ended.1, ended_by, "{ack:?}");
        assert!(pair.phones.iter().all(Phone::is_idle));
    }
}

#[test]
fn every_writing_style_is_understood() {
    for bits in 0..16u8 {
        let mut pair = Pair::new(u64::from(bits), Conditions::CALM);
        let style = Style {
            compact: bits & 1 != 0,
            folded: bits & 2 != 0,
            lower: bits & 4 != 0,
            spaced: bits & 8 != 0,
            no_rport: bits & 1 != 0,
        };
        for phone in &mut pair.phones {
            phone.config_mut().style = style;
            phone.config_mut().impatient = bits & 1 != 0;
        }
        pair.phones[1].expect_any(AnswerScript::plain(Duration::from_secs(1)));
        pair.call(talk(1));
        pair.run(60);
        assert!(pair.faults().is_empty(), "{style:?} {:?}", pair.faults());
        assert!(pair.only(0).bye_answered, "{style:?}");
    }
}
