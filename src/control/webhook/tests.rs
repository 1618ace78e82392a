use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes as Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Redirect;
use axum::routing::post;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::control::desk::ErrandId;
use crate::control::event::EventKind;

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("runtime").block_on(future)
}

fn webhook(allow_private: bool) -> Webhook {
    let (dns, _) = Dns::new(Rng::from_number(1));
    let connect = Duration::from_millis(500);
    let config = WebhookConfig { allow_private, extra_ca: None, connect };
    Webhook::new(&config, Arc::new(dns)).expect("builds")
}

fn errand(url: String, body: &str) -> Post {
    Post {
        id: ErrandId::for_test(1),
        kind: EventKind::Ice,
        application: crate::directory::Name::new(),
        url,
        headers: [
            ("content-type", "application/json".to_owned()),
            ("x-timestamp", "2026-11-23T20:40:26.123Z".to_owned()),
            ("authorization", "application key:signature=".to_owned()),
        ],
        body: body.as_bytes().into(),
        connect: Duration::from_millis(500),
        deadline: Instant::FAR,
    }
}

const LONG: Duration = Duration::from_secs(5);

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn status_of(outcome: &PostOutcome) -> u16 {
    match outcome {
        PostOutcome::Replied { status, .. } => *status,
        PostOutcome::Failed { why } => panic!("{why}"),
    }
}

fn failure(outcome: PostOutcome) -> PostFailure {
    match outcome {
        PostOutcome::Failed { why } => why,
        PostOutcome::Replied { status, .. } => panic!("replied {status}"),
    }
}

#[test]
fn bytes_and_headers_travel_as_they_were_signed() {
    run(async {
        let echo = |headers: HeaderMap, body: Body| async move {
            let value = |name: &str| {
                headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned())
            };
            assert_eq!(value("content-type").as_deref(), Some("application/json"));
            assert_eq!(value("x-timestamp").as_deref(), Some("2026-11-23T20:40:26.123Z"));
            assert_eq!(value("authorization").as_deref(), Some("application key:signature="));
            assert_eq!(value("content-length"), Some(body.len().to_string()));
            assert_eq!(value("expect"), None);
            body
        };
        let address = serve(Router::new().route("/sinch/ice", post(echo))).await;
        let body = "{ \"gr\u{fc}\u{df}e\" : \"\u{7535}\"  }";
        let sent = errand(format!("http://{address}/sinch/ice"), body);
        match webhook(false).post(sent, LONG).await {
            PostOutcome::Replied { status: 200, body: echoed } => {
                assert_eq!(echoed, body.as_bytes());
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn statuses_come_back_and_redirects_are_not_followed() {
    run(async {
        let followed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&followed);
        let target = move || async move { counter.fetch_add(1, Ordering::Relaxed).to_string() };
        let router = Router::new()
            .route("/busy", post(|| async { StatusCode::SERVICE_UNAVAILABLE }))
            .route("/moved", post(|| async { Redirect::temporary("/target") }))
            .route("/target", post(target));
        let address = serve(router).await;
        let client = webhook(false);
        for (path, status) in [("busy", 503), ("moved", 307), ("absent", 404)] {
            let sent = errand(format!("http://{address}/{path}"), "{}");
            assert_eq!(status_of(&client.post(sent, LONG).await), status);
        }
        assert_eq!(followed.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn slow_backends_end_with_the_deadline() {
    run(async {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = silent.local_addr().expect("has an address");
        let left = Duration::from_millis(200);
        // Accepted by the kernel, never answered.
        let sent = errand(format!("http://{address}/"), "{}");
        assert_eq!(failure(webhook(false).post(sent, left).await), PostFailure::Timeout);
        // A head, then one byte of body at a time, for ever.
        tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = silent.accept().await else { return };
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    let _ = stream.read(&mut buffer).await;
                    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
                    let _ = stream.write_all(head).await;
                    while stream.write_all(b" ").await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                });
            }
        });
        let sent = errand(format!("http://{address}/"), "{}");
        assert_eq!(failure(webhook(false).post(sent, left).await), PostFailure::Timeout);
    });
}

#[test]
fn dead_backends_are_told_from_broken_ones() {
    run(async {
        let gone = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = gone.local_addr().expect("has an address");
        drop(gone);
        let sent = errand(format!("http://{address}/"), "{}");
        let why = failure(webhook(false).post(sent, LONG).await);
        assert!(matches!(&why, PostFailure::Connect(why) if why.contains("refused")), "{why}");
        let rude = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = rude.local_addr().expect("has an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = rude.accept().await {
                let _ = stream.write_all(b"SIP/2.0 200 OK\r\n\r\n").await;
            }
        });
        let sent = errand(format!("http://{address}/"), "{}");
        let why = failure(webhook(false).post(sent, LONG).await);
        assert!(matches!(why, PostFailure::Broken(_)), "{why}");
    });
}

#[test]
fn huge_replies_are_cut_off() {
    run(async {
        let router = Router::new()
            .route("/fits", post(|| async { vec![b' '; SCRIPT_BYTES_MAX] }))
            .route("/huge", post(|| async { vec![b' '; SCRIPT_BYTES_MAX + 1] }));
        let address = serve(router).await;
        let sent = errand(format!("http://{address}/fits"), "{}");
        assert_eq!(status_of(&webhook(false).post(sent, LONG).await), 200);
        let sent = errand(format!("http://{address}/huge"), "{}");
        assert_eq!(failure(webhook(false).post(sent, LONG).await), PostFailure::TooLarge);
    });
}

#[test]
fn names_that_lead_inside_are_refused() {
    run(async {
        // Whatever this machine calls itself in its hosts file leads inside.
        let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        let name = name.trim();
        let (dns, _) = Dns::new(Rng::from_number(1));
        let found = tokio::time::timeout(LONG, dns.addresses(name)).await.unwrap_or_default();
        if name.is_empty() || name == "localhost" || found.is_empty() {
            println!("skipped: this machine's name does not resolve");
            return;
        }
        if found.iter().any(|address| is_public(*address)) {
            println!("skipped: this machine's name leads outside");
            return;
        }
        let sent = errand(format!("http://{name}:9/"), "{}");
        let why = failure(webhook(false).post(sent, LONG).await);
        assert!(matches!(why, PostFailure::Forbidden(_)), "{why}");
        let sent = errand(format!("http://{name}:9/"), "{}");
        let why = failure(webhook(true).post(sent, LONG).await);
        assert!(!matches!(why, PostFailure::Forbidden(_)), "{why}");
    });
}

#[test]
fn localhost_may_be_private() {
    run(async {
        let address = serve(Router::new().route("/", post(|| async { "{}" }))).await;
        let sent = errand(format!("http://localhost:{}/", address.port()), "{}");
        assert_eq!(status_of(&webhook(false).post(sent, LONG).await), 200);
    });
}

#[test]
fn authorities_that_cannot_be_read_are_named() {
    let (dns, _) = Dns::new(Rng::from_number(1));
    let config = WebhookConfig { extra_ca: Some("/no/such.pem".into()), ..Default::default() };
    let why = Webhook::new(&config, Arc::new(dns)).expect_err("no file");
    assert!(why.starts_with("/no/such.pem: "), "{why}");
}
