//! Sends callbacks: pooled HTTP/1.1 over TLS, byte for byte as the desk signed them.
//!
//! A name is resolved, its addresses are judged, and the connection goes to one of those that
//! were judged, so that a name that changes in between gains nothing. Redirects are not followed.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tower_service::Service;

use super::callback_url::{is_localhost, is_public};
use super::desk::{Post, PostFailure, PostOutcome};
use super::dns::Dns;
use crate::call::script::SCRIPT_BYTES_MAX;

/// Idle connections are closed before most servers do.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// Idle connections to one backend.
const IDLE_PER_HOST_MAX: usize = 32;

/// How callbacks are sent.
#[derive(Clone, Debug, Default)]
pub struct WebhookConfig {
    /// Whether names may lead to private addresses. A URL that names an address or `localhost`
    /// means what it says and may always.
    pub allow_private: bool,
    /// A PEM file of further authorities to trust.
    pub extra_ca: Option<PathBuf>,
    /// Time for a TCP connection to come about; TLS is within the whole post's deadline.
    pub connect: Duration,
}

/// A client for all applications.
#[derive(Clone, Debug)]
pub struct Webhook {
    client: Client<HttpsConnector<HttpConnector<Resolve>>, Full<Bytes>>,
}

impl Webhook {
    /// A client with this host's trusted authorities.
    ///
    /// # Errors
    /// The extra authorities cannot be read, as a sentence.
    pub fn new(config: &WebhookConfig, dns: Arc<Dns>) -> Result<Self, String> {
        let mut http =
            HttpConnector::new_with_resolver(Resolve { dns, allow_private: config.allow_private });
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(config.connect));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config(config)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .build(https);
        Ok(Self { client })
    }

    /// Sends a callback and waits for the whole reply, at most for `left`.
    pub async fn post(&self, post: Post, left: Duration) -> PostOutcome {
        let sent = tokio::time::timeout(left, self.exchange(post)).await;
        sent.unwrap_or(Err(PostFailure::Timeout)).unwrap_or_else(|why| PostOutcome::Failed { why })
    }

    async fn exchange(&self, post: Post) -> Result<PostOutcome, PostFailure> {
        let broken = |error: &dyn std::error::Error| PostFailure::Broken(chain(error));
        let mut request = Request::post(&post.url).header("accept", "application/json");
        for (name, value) in &post.headers {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::from_owner(post.body));
        let request = request.body(body).map_err(|error| broken(&error))?;
        let reply =
            self.client.request(request).await.map_err(|error| match forbidden(&error) {
                Some(why) => PostFailure::Forbidden(why),
                None if error.is_connect() => PostFailure::Connect(chain(&error)),
                None => broken(&error),
            })?;
        let status = reply.status().as_u16();
        let body = Limited::new(reply.into_body(), SCRIPT_BYTES_MAX).collect().await;
        match body {
            Ok(body) => Ok(PostOutcome::Replied { status, body: body.to_bytes().to_vec() }),
            Err(error) if error.is::<LengthLimitError>() => Err(PostFailure::TooLarge),
            Err(error) => Err(broken(&*error)),
        }
    }
}

fn tls_config(config: &WebhookConfig) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    // What cannot be read of the host's store is left out: https to such servers then fails
    // with its own clear error.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &config.extra_ca {
        let sentence = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let read = CertificateDer::pem_file_iter(path).map_err(|error| sentence(&error))?;
        let mut count = 0;
        for certificate in read {
            let certificate = certificate.map_err(|error| sentence(&error))?;
            roots.add(certificate).map_err(|error| sentence(&error))?;
            count += 1;
        }
        if count == 0 {
            return Err(sentence(&"no certificate in this file"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Error and causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let why = next.to_string();
        if !text.ends_with(&why) {
            text.push_str(": ");
            text.push_str(&why);
        }
        cause = next.source();
    }
    text
}

fn forbidden(error: &dyn std::error::Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(next) = cause {
        if let Some(Forbidden(name)) = next.downcast_ref::<Forbidden>() {
            return Some(format!("{name} leads only to private addresses"));
        }
        // An `io::Error` hides its inner error from `source` and shows that one's causes instead.
        let inner = next.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(Forbidden(name)) = inner.and_then(|inner| inner.downcast_ref()) {
            return Some(format!("{name} leads only to private addresses"));
        }
        cause = next.source();
    }
    None
}

/// A name has addresses, but none where callbacks go.
#[derive(Debug)]
struct Forbidden(String);

impl std::fmt::Display for Forbidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} leads only to private addresses", self.0)
    }
}

impl std::error::Error for Forbidden {}

/// Resolves and judges. Addresses written in a URL do not come here.
#[derive(Clone, Debug)]
struct Resolve {
    dns: Arc<Dns>,
    allow_private: bool,
}

impl Service<Name> for Resolve {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { dns, allow_private } = self.clone();
        Box::pin(async move {
            let found = dns.addresses(name.as_str()).await;
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name does not resolve"));
            }
            let any = allow_private || is_localhost(name.as_str());
            let judged: Vec<_> = found
                .into_iter()
                .filter(|address| any || is_public(*address))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if judged.is_empty() {
                let error = Forbidden(name.to_string());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, error));
            }
            Ok(judged.into_iter())
        })
    }
}

#[cfg(test)]
mod tests;
