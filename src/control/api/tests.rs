use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::*;
use crate::base::rng::Rng;
use crate::base::time::WallTime;
use crate::control::desk::{Desk, DeskConfig};
use crate::control::dns::Dns;
use crate::control::service::{Clock, Service, Shards};
use crate::control::store::Entry;
use crate::control::webhook::{Webhook, WebhookConfig};
use crate::link::{Cdr, ToControl, ToShard};
use crate::sys::clock;

struct Silent;

impl Shards for Silent {
    fn poll_receive(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<ToControl>> {
        std::task::Poll::Pending
    }

    fn send(&mut self, _: crate::base::id::ShardId, _: ToShard) -> Result<(), ToShard> {
        Ok(())
    }

    fn count(&self) -> u16 {
        1
    }
}

struct Reply {
    status: u16,
    content_type: String,
    body: String,
}

async fn get(address: std::net::SocketAddr, path: &str, headers: &[(&str, &str)]) -> Reply {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut request = hyper::Request::get(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::default()).expect("a request");
    let reply = client.request(request).await.expect("a reply");
    let content_type = reply.headers().get("content-type").expect("a type");
    let content_type = content_type.to_str().expect("ASCII").to_owned();
    let status = reply.status().as_u16();
    let body = reply.into_body().collect().await.expect("a body").to_bytes();
    Reply { status, content_type, body: String::from_utf8(body.to_vec()).expect("UTF-8") }
}

fn with_api(token: Option<&str>, ready: bool, test: impl AsyncFnOnce(std::net::SocketAddr)) {
    let file = std::env::temp_dir().join(format!(
        "carrick-api-{}-{}-{ready}.db",
        std::process::id(),
        token.unwrap_or("open")
    ));
    let mut ledger = SqliteLedger::open(&file).expect("opens");
    let cdr = Cdr { invite_at: WallTime(1_795_466_426_123), ..Cdr::default() };
    let id = CallId::new(5, [0; 10]);
    let cdrs = vec![CdrRow::new(id, "edge-1", None, cdr)];
    ledger.commit(&[Entry::Ended { call_id: id, cdrs, outbox: None }]).expect("commits");
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("runtime").block_on(async {
        let dns = Arc::new(Dns::new(Rng::from_number(1)).0);
        let webhook = Webhook::new(&WebhookConfig::default(), Arc::clone(&dns)).expect("builds");
        let directory = Arc::default();
        let desk = Desk::new(DeskConfig::default(), Arc::clone(&directory), Rng::from_number(1));
        let clock: Clock = Box::new(|| (clock::now(), clock::wall()));
        let (service, handle) =
            Service::new(desk, directory, webhook, dns, ledger, clock).expect("starts");
        tokio::spawn(service.run(Silent));
        let context = ApiContext {
            node: "edge-1".to_owned(),
            version: "0.1.0",
            token: token.map(str::to_owned),
            ready: Arc::new(AtomicBool::new(ready)),
            handle,
            shards: vec![Counters::shared()],
            store: Some(file.clone()),
            calls: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        tokio::spawn(serve(listener, context));
        test(address).await;
    });
    std::fs::remove_file(file).expect("removes");
}

#[test]
fn probes_are_open_and_the_rest_asks_for_the_token() {
    with_api(Some("s3cret"), true, async |address| {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(get(address, path, &[]).await.status, 200, "{path}");
        }
        for path in ["/metrics", "/v1/calls", "/v1/cdrs"] {
            for wrong in ["", "Bearer s3cre", "Bearer s3crets", "Basic s3cret", "Bearer"] {
                let reply = get(address, path, &[("authorization", wrong)]).await;
                assert_eq!(reply.status, 401, "{path} {wrong}");
                let body: serde_json::Value = serde_json::from_str(&reply.body).expect("JSON");
                assert_eq!(body["errorCode"], 40100);
            }
        }
        let right = [("authorization", "bearer s3cret")];
        let reply = get(address, "/metrics", &right).await;
        assert_eq!((reply.status, reply.content_type.starts_with("text/plain")), (200, true));
        assert!(reply.body.contains("carrick_build_info{version=\"0.1.0\",node=\"edge-1\"} 1"));
        assert_eq!(get(address, "/v1/calls", &right).await.status, 501);
    });
}

#[test]
fn an_edge_that_takes_no_calls_is_not_ready() {
    with_api(None, false, async |address| {
        assert_eq!(get(address, "/readyz", &[]).await.status, 503);
        assert_eq!(get(address, "/healthz", &[]).await.status, 200);
    });
}

#[test]
fn records_as_json_and_csv() {
    with_api(None, true, async |address| {
        let path = "/v1/cdrs?since=2026-11-23&until=2026-11-24T00:00:00%2B01:00&limit=5";
        let reply = get(address, path, &[]).await;
        assert_eq!((reply.status, reply.content_type.as_str()), (200, "application/json"));
        let body: serde_json::Value = serde_json::from_str(&reply.body).expect("JSON");
        assert_eq!(body["cdrs"][0]["t_invite"], "2026-11-23T20:40:26.123Z");
        assert_eq!(body["cdrs"].as_array().map(Vec::len), Some(1));
        let reply = get(address, "/v1/cdrs", &[("accept", "text/csv")]).await;
        assert_eq!(reply.body.split("\r\n").count(), 3);
        let reply = get(address, "/v1/cdrs?result=busy", &[]).await;
        assert_eq!(reply.body, "{\"cdrs\":[]}");
    });
}

#[test]
fn every_error_is_json_with_a_message() {
    with_api(None, true, async |address| {
        for (path, status) in [
            ("/nothing", 404),
            ("/v1/cdrs?since=yesterday", 400),
            ("/v1/cdrs?result=perhaps", 400),
            ("/v1/cdrs?call_id=1", 400),
            ("/v1/cdrs?limit=-1", 400),
            ("/v1/cdrs?colour=red", 400),
        ] {
            let reply = get(address, path, &[]).await;
            assert_eq!(reply.status, status, "{path}");
            let body: serde_json::Value = serde_json::from_str(&reply.body).expect(path);
            assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
        }
    });
}

#[test]
fn a_public_listener_needs_a_token() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("runtime").block_on(async {
        let dns = Arc::new(Dns::new(Rng::from_number(1)).0);
        let webhook = Webhook::new(&WebhookConfig::default(), Arc::clone(&dns)).expect("builds");
        let desk = Desk::new(DeskConfig::default(), Arc::default(), Rng::from_number(1));
        let clock: Clock = Box::new(|| (clock::now(), clock::wall()));
        let ledger = crate::control::store::memory::MemoryLedger::default();
        let (_service, handle) =
            Service::new(desk, Arc::default(), webhook, dns, ledger, clock).expect("starts");
        let context = ApiContext {
            node: String::new(),
            version: "",
            token: None,
            ready: Arc::default(),
            handle,
            shards: Vec::new(),
            store: None,
            calls: None,
        };
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("binds");
        let error = serve(listener, context).await.expect_err("no token");
        assert!(error.to_string().contains("token"), "{error}");
    });
}
