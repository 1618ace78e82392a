//! The control thread: its own async runtime, with the service, the API, reloads and the drain.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::rings::{ShardEnds, Wakers};
use super::{Order, StartError};
use crate::base::counter::Counters;
use crate::base::packet::Transport;
use crate::base::rng::Rng;
use crate::base::time::Duration;
use crate::call::script::Host;
use crate::config::Config;
use crate::control::api::{self, ApiContext};
use crate::control::compile::compile;
use crate::control::desk::{Desk, DeskConfig};
use crate::control::difference;
use crate::control::dns::Dns;
use crate::control::event::Identity;
use crate::control::service::{Handle, Service};
use crate::control::store::Ledger as _;
use crate::control::store::sqlite::SqliteLedger;
use crate::control::webhook::{Webhook, WebhookConfig};
use crate::directory::{Directory, Resolved, Snapshot};
use crate::link::{ToControl, ToShard};
use crate::sys::log::{self, Level};
use crate::sys::{clock, wake::Sleeper};

/// How often host names in the directory are looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(60);

/// What the control thread is made from.
pub(super) struct ControlThread {
    pub(super) sleeper: Option<Sleeper>,
    pub(super) from: Vec<rtrb::Consumer<ToControl>>,
    pub(super) to: Vec<rtrb::Producer<ToShard>>,
    pub(super) wakers: Wakers,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) api: Option<TcpListener>,
    pub(super) counters: Vec<Arc<Counters>>,
    pub(super) directory: Snapshot,
    pub(super) rng: Rng,
    pub(super) quiet: bool,
    pub(super) config: Config,
}

impl ControlThread {
    /// Opens the store and starts the thread.
    pub(super) fn spawn(mut self) -> Result<JoinHandle<()>, StartError> {
        let sentence =
            |what: &str, error: &dyn std::fmt::Display| StartError(format!("{what}: {error}"));
        let path = &self.config.edge.store;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| sentence(&format!("making {}", folder.display()), &error))?;
        }
        let mut ledger = SqliteLedger::open(path)
            .map_err(|error| sentence(&format!("opening {}", path.display()), &error))?;
        let desk_config = self.desk_config();
        let identity =
            Identity { base_url: &desk_config.base_url, currency: &desk_config.currency };
        let recovered =
            ledger.recover(identity).map_err(|error| sentence("recovering records", &error))?;
        if recovered.calls > 0 {
            self.log(&format!("{} calls of a crash were recorded", recovered.calls));
        }
        let (dns, why) = Dns::new(self.rng.fork());
        if let Some(why) = why {
            self.log(&why);
        }
        let dns = Arc::new(dns);
        let webhook = Webhook::new(&self.webhook_config(), Arc::clone(&dns))
            .map_err(|error| sentence("preparing callbacks", &error))?;
        let desk = Desk::new(desk_config, Arc::clone(&self.directory), self.rng.fork());
        let clock = Box::new(|| (clock::now(), clock::wall()));
        let directory = Arc::clone(&self.directory);
        let (service, handle) =
            Service::new(desk, directory, webhook, Arc::clone(&dns), ledger, clock)
                .map_err(|error| sentence("starting the store", &error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| sentence("starting the async runtime", &error))?;
        std::thread::Builder::new()
            .name("carrick-control".into())
            .spawn(move || runtime.block_on(self.run(service, handle, dns)))
            .map_err(|error| sentence("starting the control thread", &error))
    }

    fn desk_config(&self) -> DeskConfig {
        let callbacks = &self.config.callbacks;
        DeskConfig {
            budget: callbacks.budget,
            connect: callbacks.connect,
            base_url: format!("http://{}", self.config.api.listen),
            node: self.config.edge.host.clone(),
            ..DeskConfig::default()
        }
    }

    fn webhook_config(&self) -> WebhookConfig {
        let callbacks = &self.config.callbacks;
        WebhookConfig {
            allow_private: callbacks.allow_private,
            extra_ca: callbacks.ca_file.clone(),
            connect: callbacks.connect,
        }
    }

    async fn run(mut self, service: Service, handle: Handle, dns: Arc<Dns>) {
        let Some(sleeper) = self.sleeper.take() else { return };
        let from = std::mem::take(&mut self.from);
        let to = std::mem::take(&mut self.to);
        let ends = match ShardEnds::new(sleeper, from, to, Arc::clone(&self.wakers)) {
            Ok(ends) => ends,
            Err(error) => return self.log(&format!("control cannot wait for shards: {error}")),
        };
        let ready = Arc::new(AtomicBool::new(true));
        let api = self.serve_api(&handle, &ready);
        let mut service = tokio::spawn(service.run(ends));
        let mut resolve = tokio::time::interval(RESOLVE_EVERY);
        resolve.tick().await;
        let mut version = self.directory.version;
        loop {
            tokio::select! {
                _ = &mut service => break,
                _ = resolve.tick() => {
                    if names(&self.config).iter().any(|name| name.0.parse::<std::net::IpAddr>().is_err()) {
                        version += 1;
                        self.publish(&handle, &dns, version).await;
                    }
                }
                order = self.orders.recv() => match order {
                    Some(Order::Reload(config)) => {
                        for key in difference::needs_restart(&self.config, &config) {
                            self.log(&format!("{key} changed: in force after a restart"));
                        }
                        self.config = *config;
                        version += 1;
                        self.publish(&handle, &dns, version).await;
                    }
                    Some(Order::Drain(deadline)) => {
                        ready.store(false, Ordering::Release);
                        self.drain(&handle, deadline).await;
                        handle.stop().await;
                    }
                    None => handle.stop().await,
                },
            }
        }
        if let Some(api) = api {
            api.abort();
        }
    }

    fn serve_api(
        &mut self,
        handle: &Handle,
        ready: &Arc<AtomicBool>,
    ) -> Option<tokio::task::JoinHandle<()>> {
        let listener = self.api.take()?;
        let context = ApiContext {
            node: self.config.edge.host.clone(),
            version: env!("CARGO_PKG_VERSION"),
            token: self.config.api.token.as_ref().map(|token| token.expose().to_owned()),
            ready: Arc::clone(ready),
            handle: handle.clone(),
            shards: self.counters.clone(),
            store: Some(self.config.edge.store.clone()),
            calls: None,
        };
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(listener));
        let quiet = self.quiet;
        match listener {
            Ok(listener) => Some(tokio::spawn(async move {
                if let Err(error) = api::serve(listener, context).await
                    && !quiet
                {
                    log::line(Level::Error, &format!("the API ended: {error}"));
                }
            })),
            Err(error) => {
                self.log(&format!("the API cannot be served: {error}"));
                None
            }
        }
    }

    /// Live calls go on until the deadline, then they are ended and recorded.
    async fn drain(&self, handle: &Handle, deadline: Duration) {
        self.log("draining: no new calls");
        let drained = tokio::time::timeout(deadline, handle.drain()).await;
        if drained.is_err() {
            self.log("the drain's deadline has come: calls are ended");
            handle.end_all().await;
            // What a peer does not acknowledge is left to its own timers.
            let _ = tokio::time::timeout(Duration::from_secs(3), handle.drain()).await;
        }
        self.log("drained");
    }

    async fn publish(&mut self, handle: &Handle, dns: &Dns, version: u64) {
        let resolved = look_up(&self.config, dns).await;
        let directory = Arc::new(compile(
            &self.config,
            Some(&self.directory),
            version,
            &|host, port, transport| answer(&resolved, host, port, transport),
        ));
        for line in difference::diff(&self.directory, &directory) {
            self.log(&format!("reload: {line}"));
        }
        self.directory = Arc::clone(&directory);
        handle.publish(directory).await;
    }

    fn log(&self, line: &str) {
        if !self.quiet {
            log::line(Level::Info, line);
        }
    }
}

/// A name to look up: host, port where one is written, transport.
type HostKey = (String, Option<u16>, Transport);

/// All hosts that the directory names.
fn names(config: &Config) -> Vec<HostKey> {
    let trunks = config.trunks.iter().flat_map(|t| t.origination.iter().map(|o| &o.uri));
    let carriers = config.carriers.iter().flat_map(|c| c.uris.iter());
    trunks.chain(carriers).map(|uri| (uri.host.clone(), uri.port, uri.transport)).collect()
}

async fn look_up(config: &Config, dns: &Dns) -> BTreeMap<HostKey, Vec<SocketAddr>> {
    let mut resolved = BTreeMap::new();
    for key in names(config) {
        if let std::collections::btree_map::Entry::Vacant(place) = resolved.entry(key) {
            let (name, port, transport) = place.key().clone();
            let addresses = dns.sip(&Host { name, port, transport }).await;
            place.insert(addresses);
        }
    }
    resolved
}

fn answer(
    resolved: &BTreeMap<HostKey, Vec<SocketAddr>>,
    host: &str,
    port: Option<u16>,
    transport: Transport,
) -> Resolved {
    let found = resolved.get(&(host.to_owned(), port, transport));
    found.into_iter().flatten().copied().take(crate::base::limits::TARGETS_MAX).collect()
}

/// The first snapshot: names are looked up before the edge takes calls.
pub(super) fn resolve_and_compile(
    config: &Config,
    previous: Option<&Directory>,
    version: u64,
    rng: &mut Rng,
) -> Snapshot {
    let (dns, _) = Dns::new(rng.fork());
    let resolved = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map(|runtime| runtime.block_on(look_up(config, &dns)))
        .unwrap_or_default();
    Arc::new(compile(config, previous, version, &|host, port, transport| {
        answer(&resolved, host, port, transport)
    }))
}
