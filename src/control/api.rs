//! The operator's HTTP interface: health, metrics, live calls, records. Every error is JSON.
//!
//! `GET /healthz` and `/readyz` are open to all, as probes need them. The rest asks for the
//! operator's bearer token, unless the listener is loopback and no token is configured.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::cdr::{CdrFilter, CdrRow, csv_header};
use super::metrics::{Scrape, text};
use super::rfc3339;
use super::service::Handle;
use super::store::Ledger as _;
use super::store::sqlite::SqliteLedger;
use crate::base::counter::Counters;
use crate::base::id::CallId;
use crate::base::time::Duration;
use crate::link::cdr::Result_;

/// Record queries at one time; further ones are told to come back.
const QUERIES_MAX: usize = 2;
/// What the service may take to say how it is.
const FIGURES_MAX: Duration = Duration::from_secs(1);

/// Lists the calls under way, each as JSON.
pub type LiveCalls = Box<dyn Fn() -> Vec<serde_json::Value> + Send + Sync>;

/// What the interface serves from.
pub struct ApiContext {
    /// Name of the edge.
    pub node: String,
    /// Version of the program.
    pub version: &'static str,
    /// The operator's token. [`serve`] refuses to start without one on a public listener.
    pub token: Option<String>,
    /// Set while the edge takes calls.
    pub ready: Arc<AtomicBool>,
    /// The service.
    pub handle: Handle,
    /// One a shard.
    pub shards: Vec<Arc<Counters>>,
    /// The store's file.
    pub store: Option<PathBuf>,
    /// Calls under way, where they can be listed.
    pub calls: Option<LiveCalls>,
}

impl std::fmt::Debug for ApiContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiContext").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Serves until the runtime ends.
///
/// # Errors
/// The listener is not loopback and there is no token, or the listener fails.
pub async fn serve(listener: TcpListener, context: ApiContext) -> std::io::Result<()> {
    if context.token.is_none() && !listener.local_addr()?.ip().is_loopback() {
        let why = "an API listener that others can reach needs a token";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
    }
    axum::serve(listener, router(context)).await
}

struct Shared {
    context: ApiContext,
    queries: Semaphore,
}

fn router(context: ApiContext) -> Router {
    let shared = Arc::new(Shared { context, queries: Semaphore::new(QUERIES_MAX) });
    let closed = Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/calls", get(calls))
        .route("/v1/cdrs", get(cdrs))
        .route_layer(from_fn_with_state(Arc::clone(&shared), authorize));
    Router::new()
        .route("/healthz", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .route("/readyz", get(ready))
        .merge(closed)
        .fallback(|| async { refusal(StatusCode::NOT_FOUND, 40400, "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            refusal(StatusCode::METHOD_NOT_ALLOWED, 40003, "this method is not allowed here")
        })
        .with_state(shared)
}

fn refusal(status: StatusCode, code: u32, message: &str) -> Response {
    let body = serde_json::json!({"errorCode": code, "message": message, "reference": ""});
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = header::HeaderValue::from_static("Bearer realm=\"carrick\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

async fn authorize(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if let Some(token) = &shared.context.token {
        let value = request.headers().get(header::AUTHORIZATION);
        let given = value.and_then(|value| bearer(value.as_bytes()));
        if !given.is_some_and(|given| bool::from(given.ct_eq(token.as_bytes()))) {
            let why = "the operator's bearer token is missing or wrong";
            return refusal(StatusCode::UNAUTHORIZED, 40100, why);
        }
    }
    next.run(request).await
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let context = &shared.context;
    if !context.ready.load(Ordering::Relaxed) {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, 50300, "the edge takes no calls");
    }
    match tokio::time::timeout(FIGURES_MAX, context.handle.figures()).await {
        Ok(Some(_)) => Json(serde_json::json!({"status": "ready"})).into_response(),
        _ => refusal(StatusCode::SERVICE_UNAVAILABLE, 50300, "control does not answer"),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let context = &shared.context;
    let figures = tokio::time::timeout(FIGURES_MAX, context.handle.figures()).await;
    let Ok(Some((control, directory))) = figures else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, 50300, "control does not answer");
    };
    let body = text(&Scrape {
        shards: &context.shards,
        directory: &directory,
        control: &control,
        version: context.version,
        node: &context.node,
    });
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response()
}

async fn calls(State(shared): State<Arc<Shared>>) -> Response {
    match &shared.context.calls {
        Some(calls) => Json(serde_json::json!({"calls": calls()})).into_response(),
        None => refusal(StatusCode::NOT_IMPLEMENTED, 50000, "this edge cannot list its calls"),
    }
}

/// What `/v1/cdrs` may be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CdrQuery {
    since: Option<String>,
    until: Option<String>,
    trunk: Option<String>,
    number: Option<String>,
    call_id: Option<String>,
    result: Option<String>,
    limit: Option<u32>,
}

impl CdrQuery {
    fn filter(self) -> Result<CdrFilter, &'static str> {
        let time = |text: Option<String>, why| {
            text.map(|text| rfc3339::parse(&text).ok_or(why)).transpose()
        };
        let call_id = self.call_id.map(|text| CallId::parse(&text).ok_or("call_id is no call id"));
        let result = self.result.map(|word| {
            let known = Result_::parse(&word.to_ascii_uppercase());
            known.ok_or("result is ANSWERED, BUSY, NOANSWER, FAILED or N/A")
        });
        Ok(CdrFilter {
            since: time(self.since, "since is no RFC 3339 time or date")?,
            until: time(self.until, "until is no RFC 3339 time or date")?,
            trunk: self.trunk,
            number: self.number,
            call_id: call_id.transpose()?,
            result: result.transpose()?,
            limit: self.limit,
        })
    }
}

async fn cdrs(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<CdrQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let bad = |why: &str| refusal(StatusCode::BAD_REQUEST, 40001, why);
    let filter = match query {
        Ok(Query(query)) => match query.filter() {
            Ok(filter) => filter,
            Err(why) => return bad(why),
        },
        Err(why) => return bad(&why.body_text()),
    };
    let Some(path) = shared.context.store.clone() else {
        return refusal(StatusCode::NOT_IMPLEMENTED, 50000, "this edge keeps no records");
    };
    let Ok(_permit) = shared.queries.try_acquire() else {
        let why = "other queries are under way: try again";
        return refusal(StatusCode::SERVICE_UNAVAILABLE, 50300, why);
    };
    // A long query waits on the disk, so it does not run on control's own thread.
    let read = move || SqliteLedger::open_to_read(&path).and_then(|mut s| s.query(&filter));
    let rows = match tokio::task::spawn_blocking(read).await {
        Ok(Ok(rows)) => rows,
        Ok(Err(error)) => {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, 50000, &error.to_string());
        }
        Err(_) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, 50000, "the query broke"),
    };
    let csv = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/csv"));
    match csv {
        true => ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], as_csv(&rows)),
        false => ([(header::CONTENT_TYPE, "application/json")], as_json(&rows)),
    }
    .into_response()
}

/// Records with a header line (RFC 4180).
pub fn as_csv(rows: &[CdrRow]) -> String {
    let lines = rows.iter().map(CdrRow::csv);
    let mut text = String::new();
    for line in std::iter::once(csv_header()).chain(lines) {
        text.push_str(&line);
        text.push_str("\r\n");
    }
    text
}

/// Records as `{"cdrs": […]}`.
pub fn as_json(rows: &[CdrRow]) -> String {
    let rows: Vec<_> = rows.iter().map(CdrRow::json).collect();
    format!("{{\"cdrs\":[{}]}}", rows.join(","))
}

#[cfg(test)]
mod tests;
