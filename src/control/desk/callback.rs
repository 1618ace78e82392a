//! One callback over up to two URLs: signed, sent, and what follows from its outcome.

use std::sync::Arc;

use super::health::Slot;
use super::stats::Outcome;
use super::{Desk, Errand, Pending, Post, PostFailure, PostOutcome, Purpose, Stage};
use crate::base::time::{Duration, Instant, WallTime};
use crate::control::callback_url::check_url;
use crate::control::event::{self, EventKind};
use crate::crypto::callback_signature::{Signed, SigningKey};
use crate::directory::Name;
use crate::link::Failure;

/// One callback over up to two URLs.
#[derive(Debug)]
pub(super) struct Callback {
    pub(super) application: Name,
    pub(super) kind: EventKind,
    pub(super) body: Arc<[u8]>,
    /// When the first URL was tried.
    pub(super) started: Instant,
    /// When the URL in use was tried.
    pub(super) tried: Instant,
    /// No URL is tried beyond this.
    pub(super) end: Instant,
    pub(super) slot: Slot,
    pub(super) url: String,
    pub(super) next: Option<(Slot, String)>,
}

/// The URL to try, and the one to try after it.
pub(super) type Urls = ((Slot, String), Option<(Slot, String)>);

impl Callback {
    pub(super) fn new(
        now: Instant,
        application: Name,
        kind: EventKind,
        body: Vec<u8>,
        urls: Urls,
        budget: Duration,
    ) -> Self {
        let ((slot, url), next) = urls;
        let (body, end) = (body.into(), now + budget);
        Self { application, kind, body, started: now, tried: now, end, slot, url, next }
    }
}

impl Desk {
    /// The URLs of an application in the order to try; `None` where it has none.
    pub(super) fn urls(&mut self, now: Instant, key: &Name) -> Option<Urls> {
        let application = self.directory.application(key)?;
        let primary = application.callback_primary.clone();
        let fallback = application.callback_fallback.clone();
        let (primary, fallback) = match (primary, fallback) {
            (Some(primary), Some(fallback)) => (primary, fallback),
            (Some(only), None) => return Some(((Slot::Primary, only), None)),
            (None, Some(only)) => return Some(((Slot::Fallback, only), None)),
            (None, None) => return None,
        };
        let health = &mut self.applications.entry(*key).or_default().health;
        let (primary, fallback) = ((Slot::Primary, primary), (Slot::Fallback, fallback));
        Some(match health.primary_first(now) {
            true => (primary, Some(fallback)),
            false => (fallback, Some(primary)),
        })
    }

    /// Sends a callback to the URL in use. Of the time that is left, three fifths are the first
    /// URL's where there is a second.
    pub(super) fn post(
        &mut self,
        now: Instant,
        wall: WallTime,
        purpose: Purpose,
        mut callback: Callback,
        out: &mut Vec<Errand>,
    ) {
        let left = callback.end.since(now);
        let share = if callback.next.is_some() { left * 3 / 5 } else { left };
        let until = now + share;
        callback.tried = now;
        let headers = match self.signed_headers(wall, &callback) {
            Ok(headers) => headers,
            Err(why) => {
                let outcome = PostOutcome::Failed { why };
                self.concluded(now, wall, purpose, callback, outcome, out);
                return;
            }
        };
        let id = self.new_id();
        out.push(Errand::Post(Post {
            id,
            kind: callback.kind,
            application: callback.application,
            url: callback.url.clone(),
            headers,
            body: Arc::clone(&callback.body),
            connect: self.config.connect.min(share),
            deadline: until,
        }));
        self.insert(id, Pending { purpose, stage: Stage::Posting(callback), until });
    }

    pub(super) fn signed_headers(
        &self,
        wall: WallTime,
        callback: &Callback,
    ) -> Result<[(&'static str, String); 3], PostFailure> {
        let broken = |why: &str| PostFailure::Broken(why.to_owned());
        let application = self
            .directory
            .application(&callback.application)
            .ok_or_else(|| broken("the application is no longer configured"))?;
        // Scheme and host were judged when the configuration was read.
        let url = check_url(&callback.url, true).map_err(broken)?;
        let key = SigningKey::from_secret(&application.secret)
            .map_err(|error| broken(&error.to_string()))?;
        let (content_type, timestamp) = ("application/json", wall.to_rfc3339());
        let signed = Signed {
            method: "POST",
            body: &callback.body,
            content_type,
            timestamp: &timestamp,
            path: url.path,
        };
        let authorization = key.authorization(&application.key, &signed);
        Ok([
            ("content-type", content_type.to_owned()),
            ("x-timestamp", timestamp),
            ("authorization", authorization),
        ])
    }

    /// One URL has answered or failed.
    pub(super) fn concluded(
        &mut self,
        now: Instant,
        wall: WallTime,
        purpose: Purpose,
        mut callback: Callback,
        outcome: PostOutcome,
        out: &mut Vec<Errand>,
    ) {
        let why = match outcome {
            PostOutcome::Replied { status: 200..=299, body } => {
                self.note(now, &callback, Outcome::Answered);
                self.succeeded(now, wall, purpose, callback, &body, out);
                return;
            }
            PostOutcome::Replied { status, .. } => {
                self.note(now, &callback, Outcome::Status);
                format!("{} answered {status}", callback.url)
            }
            PostOutcome::Failed { why } => {
                self.note(now, &callback, why.outcome());
                format!("{}: {why}", callback.url)
            }
        };
        if let Some((slot, url)) = callback.next.take()
            && now < callback.end
        {
            self.stats.fallbacks += 1;
            (callback.slot, callback.url) = (slot, url);
            self.post(now, wall, purpose, callback, out);
            return;
        }
        match purpose {
            Purpose::Question(waiting) => {
                self.question_over(&callback.application);
                let took = now.since(callback.started);
                self.answer(waiting, Err(Failure::Unreachable), took, out);
            }
            Purpose::Delivery(row) => self.not_delivered(wall, row, why, out),
            Purpose::Notice => self.notice_over(&callback.application),
        }
    }

    pub(super) fn note(&mut self, now: Instant, callback: &Callback, outcome: Outcome) {
        self.stats.count(callback.kind, outcome);
        self.stats.took(callback.kind, now.since(callback.tried));
        if let Some(state) = self.applications.get_mut(&callback.application)
            && callback.slot == Slot::Primary
        {
            state.health.primary(now, outcome == Outcome::Answered);
        }
    }

    /// A URL answered with success.
    pub(super) fn succeeded(
        &mut self,
        now: Instant,
        wall: WallTime,
        purpose: Purpose,
        callback: Callback,
        body: &[u8],
        out: &mut Vec<Errand>,
    ) {
        let waiting = match purpose {
            Purpose::Question(waiting) => waiting,
            Purpose::Delivery(row) => return self.delivered(row, out),
            Purpose::Notice => return self.notice_over(&callback.application),
        };
        let took = now.since(callback.started);
        match self.read(&waiting, body) {
            Ok(parsed) => match &parsed.resolve {
                Some(host) => {
                    let (id, until) = (self.new_id(), callback.end.max(now));
                    out.push(Errand::Resolve { id, host: host.clone(), deadline: until });
                    let application = callback.application;
                    let stage = Stage::Resolving { application, parsed, took };
                    self.insert(id, Pending { purpose: Purpose::Question(waiting), stage, until });
                }
                None => {
                    self.question_over(&callback.application);
                    self.answer(waiting, Ok(parsed.script), took, out);
                }
            },
            Err(error) => {
                self.stats.count(callback.kind, Outcome::Illegal);
                self.question_over(&callback.application);
                let notice = event::illegal_svaml(waiting.id, &callback.application, &error);
                self.answer(waiting, Err(Failure::IllegalSvaml), took, out);
                self.notify(now, wall, callback, notice, out);
            }
        }
    }

    /// Tells the customer at the URL that was in use, once and only where there is room.
    pub(super) fn notify(
        &mut self,
        now: Instant,
        wall: WallTime,
        answered: Callback,
        body: Vec<u8>,
        out: &mut Vec<Errand>,
    ) {
        let state = self.applications.entry(answered.application).or_default();
        if state.notices >= self.config.deliveries_max {
            self.stats.count(EventKind::Notify, Outcome::Limited);
            return;
        }
        state.notices += 1;
        let urls = ((answered.slot, answered.url), None);
        let (application, budget) = (answered.application, self.config.budget);
        let callback = Callback::new(now, application, EventKind::Notify, body, urls, budget);
        self.post(now, wall, Purpose::Notice, callback, out);
    }

    pub(super) fn notice_over(&mut self, application: &Name) {
        if let Some(state) = self.applications.get_mut(application) {
            assert!(state.notices > 0, "a notice ends once");
            state.notices -= 1;
        }
    }
}
