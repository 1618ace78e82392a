//! A client table calls a server table over a link that loses, doubles and reorders.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use super::world::{Tape, World, address, copy, ms, parse, path};
use crate::base::packet::Transport;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::wire::sip::{Message, Method, Writer};

/// What the users at both ends have seen of one request.
#[derive(Debug, Default)]
struct Story {
    invite: bool,
    /// Requests seen by the server's user: at most one.
    arrived: u32,
    server: Option<ServerKey>,
    client: Option<ClientKey>,
    /// Status of the final response that the client's user saw, or 408 for a timeout.
    finals: Vec<u16>,
    /// Final answer given by the server's user.
    answered: Option<u16>,
    /// When the server's user answers finally, and with what.
    answer_at: Option<(Instant, u16)>,
    cancel_at: Option<Instant>,
    acknowledged: bool,
    ack_missing: bool,
}

struct Link {
    rng: Rng,
    /// Chances in a hundred of a datagram to be lost, and to come twice.
    loss: u64,
    double: u64,
    /// Under way: when it arrives, a number to order equals, towards the server or not, bytes.
    under_way: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    number: u64,
}

impl Link {
    fn post(&mut self, now: Instant, to_server: bool, tape: &mut Tape) {
        for (_, _, bytes) in tape.sent.drain(..) {
            if self.rng.chance(self.loss, 100) {
                continue;
            }
            let copies = 1 + u64::from(self.rng.chance(self.double, 100));
            for _ in 0..copies {
                let arrival = now + ms(1 + self.rng.below(300));
                self.number += 1;
                self.under_way.insert((arrival, self.number), (to_server, bytes.clone()));
            }
        }
    }
}

struct Calls {
    client: World,
    server: World,
    link: Link,
    stories: BTreeMap<u64, Story>,
    now: Instant,
}

fn text_of(number: u64, method: &str, branch: &str, to_tag: &str) -> String {
    super::world::request(method, branch, to_tag)
        .replace("Call-ID: one", &format!("Call-ID: {number}"))
}

fn number_of(message: &Message<'_>) -> u64 {
    message.call_id().expect("Call-ID").parse().expect("a number")
}

impl Calls {
    fn new(seed: u64, loss: u64) -> Self {
        let rng = Rng::from_number(seed);
        let link = Link { rng, loss, double: 10, under_way: BTreeMap::new(), number: 0 };
        let (client, server) = (World::new(64), World::new(64));
        let now = client.now;
        Self { client, server, link, stories: BTreeMap::new(), now }
    }

    fn start(&mut self, number: u64) {
        let invite = self.link.rng.chance(2, 3);
        let method = if invite { Method::Invite } else { Method::Options };
        let branch = format!("z9hG4bK{number}");
        let text = text_of(number, method.name(), &branch, "");
        let mut write = |buffer: &mut [u8]| copy(&text, buffer);
        let (now, to, tape) = (self.now, path(Transport::Udp), &mut self.client.tape);
        let begun = self.client.table.request(now, method, &branch, to, number, &mut write, tape);
        // Nobody lets it ring forever: Proceeding has no timer, and all 486s may be lost.
        let patience = if self.link.rng.chance(1, 3) { self.link.rng.below(6000) } else { 60_000 };
        self.stories.insert(
            number,
            Story {
                invite,
                client: Some(begun.expect("room")),
                cancel_at: invite.then_some(self.now + ms(patience)),
                ..Story::default()
            },
        );
    }

    /// Runs until nothing is under way and both tables are empty.
    fn run(&mut self) {
        let end = self.now + ms(200_000);
        loop {
            let stories = self.stories.values();
            let plans = stories.flat_map(|story| {
                [story.cancel_at, story.answer_at.map(|(at, _)| at)].into_iter().flatten()
            });
            let next = plans
                .chain(self.link.under_way.keys().map(|(at, _)| *at))
                .chain(self.client.table.next_deadline())
                .chain(self.server.table.next_deadline())
                .min();
            let Some(next) = next else {
                return;
            };
            assert!(next < end, "everything settles: {:?}", self.stories);
            self.now = self.now.max(next);
            self.turn();
        }
    }

    fn turn(&mut self) {
        while let Some(first) = self.link.under_way.first_entry()
            && first.key().0 <= self.now
        {
            let (to_server, bytes) = first.remove();
            if to_server { self.at_server(&bytes) } else { self.at_client(&bytes) }
        }
        let now = self.now;
        while let Some(event) = self.client.table.expire(now, &mut self.client.tape) {
            let TransactionEvent::ClientTimeout { owner, .. } = event else {
                panic!("{event:?}");
            };
            self.stories.get_mut(&owner).expect("known").finals.push(408);
        }
        while let Some(event) = self.server.table.expire(now, &mut self.server.tape) {
            let TransactionEvent::AckMissing { owner, accepted, .. } = event else {
                panic!("{event:?}");
            };
            self.stories.get_mut(&owner).expect("known").ack_missing |= accepted;
        }
        for number in self.stories.keys().copied().collect::<Vec<_>>() {
            self.act(number);
        }
        self.link.post(now, true, &mut self.client.tape);
        self.link.post(now, false, &mut self.server.tape);
    }

    /// What the users had planned for now.
    fn act(&mut self, number: u64) {
        let now = self.now;
        let story = self.stories.get_mut(&number).expect("known");
        if story.cancel_at.is_some_and(|at| at <= now) {
            story.cancel_at = None;
            let client = story.client.expect("begun");
            self.client.table.cancel(now, client, &mut self.client.tape);
        }
        let story = self.stories.get_mut(&number).expect("known");
        if let Some((at, status)) = story.answer_at
            && at <= now
        {
            story.answer_at = None;
            self.answer(number, status);
        }
    }

    fn answer(&mut self, number: u64, status: u16) {
        let story = self.stories.get_mut(&number).expect("known");
        let method = if story.invite { "INVITE" } else { "OPTIONS" };
        let text = text_of(number, method, &format!("z9hG4bK{number}"), "");
        let server = story.server.expect("arrived");
        if respond(&mut self.server, server, &text, status) && status >= 200 {
            assert_eq!(story.answered.replace(status), None, "one final answer");
        }
    }

    fn at_server(&mut self, bytes: &[u8]) {
        let message = parse(bytes);
        let (number, from, now) = (number_of(&message), path(Transport::Udp), self.now);
        let table = &mut self.server.table;
        let matched = table.receive_request(now, &message, from, &mut self.server.tape);
        let story = self.stories.get_mut(&number).expect("known");
        match matched {
            RequestMatch::New => {
                story.arrived += 1;
                // A request that comes again after its transaction's end is no repetition.
                let server = table.begin(now, &message, from, number).expect("room");
                story.server = Some(server);
                let statuses = [200, 200, 486, 503];
                let at = usize::try_from(self.link.rng.below(4)).expect("small");
                let after = ms(self.link.rng.below(5000));
                if story.invite {
                    story.answer_at = Some((now + after, statuses[at]));
                    self.answer(number, 180);
                } else {
                    self.answer(number, statuses[at]);
                }
            }
            RequestMatch::Cancel { invite } => {
                if invite.is_some() && story.answered.is_none() {
                    story.answer_at = None;
                    self.answer(number, 487);
                }
                let text = std::str::from_utf8(bytes).expect("text").to_string();
                let own = self.server.table.begin(now, &message, from, number).expect("room");
                let status = if invite.is_some() { 200 } else { 481 };
                assert!(respond(&mut self.server, own, &text, status));
            }
            RequestMatch::Ack { invite } => {
                assert_eq!(story.answered, Some(200));
                if let Some((server, owner)) = invite {
                    assert_eq!(owner, number);
                    story.acknowledged = true;
                    table.acknowledged(now, server);
                }
            }
            RequestMatch::Absorbed => {}
            RequestMatch::Merged => panic!("nothing is merged here"),
        }
    }

    fn at_client(&mut self, bytes: &[u8]) {
        let message = parse(bytes);
        let number = number_of(&message);
        let (now, from) = (self.now, path(Transport::Udp));
        let table = &mut self.client.table;
        let matched = table.receive_response(now, &message, from, &mut self.client.tape);
        let ResponseMatch::Matched { client, owner, kind } = matched else {
            return;
        };
        assert_eq!(owner, number);
        let story = self.stories.get_mut(&number).expect("known");
        let status = message.status().expect("a response");
        assert_ne!(kind, ResponseKind::Another2xx);
        if kind != ResponseKind::Final {
            return;
        }
        story.finals.push(status);
        if story.invite && status == 200 {
            let text = text_of(number, "ACK", &format!("z9hG4bKack{number}"), "us");
            let mut write = |buffer: &mut [u8]| copy(&text, buffer);
            let tape = &mut self.client.tape;
            assert!(self.client.table.acknowledge(now, client, from, &mut write, tape));
        }
    }
}

fn respond(world: &mut World, server: ServerKey, request: &str, status: u16) -> bool {
    let message = parse(request.as_bytes());
    let mut write = |buffer: &mut [u8]| {
        let source = address(super::world::PEER);
        Writer::response_to(buffer, &message, source, status, "x", Some("us"))
            .finish_empty()
            .unwrap_or(0)
    };
    let now = world.now;
    world.table.respond(now, server, status, &mut write, &mut world.tape)
}

#[test]
fn every_request_ends_in_exactly_one_final_response() {
    for seed in 0..200 {
        let loss = [0, 10, 30, 60][usize::try_from(seed % 4).expect("small")];
        let mut calls = Calls::new(seed, loss);
        for number in 0..20 {
            calls.start(number);
        }
        calls.run();
        let mut seen = BTreeSet::new();
        for (number, story) in &calls.stories {
            let context = format!("seed {seed} request {number}: {story:?}");
            assert_eq!(story.finals.len(), 1, "{context}");
            let last = story.finals[0];
            seen.insert(last);
            assert!(story.arrived <= 1, "{context}");
            assert!(last == 408 || Some(last) == story.answered, "{context}");
            if loss == 0 {
                assert_ne!(last, 408, "{context}");
            }
            if story.invite && story.answered == Some(200) {
                assert!(story.acknowledged || story.ack_missing, "{context}");
            }
        }
        assert!(seen.len() > 1, "seed {seed}: {seen:?}");
        assert!(calls.client.table.is_empty() && calls.server.table.is_empty());
    }
}
