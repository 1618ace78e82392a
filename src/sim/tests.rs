//! Seeds in miniature: a smoke of some dozens, replay, and checkers that see what is broken.

use super::breaks::Break;
use super::run::{Plan, run, run_seed};

#[test]
fn fifty_seeds_hold_all_invariants() {
    let report = run(Plan { threads: 2, ..Plan::quiet(1, 50) });
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert!(report.calls > 100 && report.talked.as_secs() > 100, "{report:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 17, 40] {
        let (a, b) = (run_seed(seed, 0, None), run_seed(seed, 0, None));
        assert_eq!(a.fingerprint, b.fingerprint, "seed {seed}");
        assert_eq!(a.packets, b.packets);
    }
    assert_ne!(run_seed(1, 0, None).fingerprint, run_seed(2, 0, None).fingerprint);
}

#[test]
fn every_broken_promise_is_seen() {
    for (which, name) in Break::ALL {
        let fails = |seed, which| !run_seed(seed, 0, which).failures.is_empty();
        let seen = (1..60).any(|seed| fails(seed, Some(which)) && !fails(seed, None));
        assert!(seen, "nobody sees a broken {name}");
    }
}
