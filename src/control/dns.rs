//! Names to addresses: for SIP hosts in the order of RFC 3263, for callbacks as they come.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::base::limits::TARGETS_MAX;
use crate::base::packet::Transport;
use crate::base::rng::Rng;
use crate::call::script::Host;
use crate::control::callback_url::is_localhost;

/// Answers with a shorter life are kept so long nevertheless.
const TTL_MIN: Duration = Duration::from_secs(5);
/// Answers with a longer life are asked again after so long.
const TTL_MAX: Duration = Duration::from_secs(3600);
/// That a name does not exist is believed so long at most.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(30);
/// One name server's time for one reply.
const REPLY_MAX: Duration = Duration::from_secs(2);
/// SRV records of one name that are looked at.
const SRV_MAX: usize = 32;

/// The resolver of this host's configuration, with a cache.
pub struct Dns {
    resolver: Option<TokioResolver>,
    rng: Mutex<Rng>,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").field("configured", &self.resolver.is_some()).finish_non_exhaustive()
    }
}

impl Dns {
    /// A resolver after `/etc/resolv.conf` and `/etc/hosts`. Without a usable configuration it
    /// knows addresses and `localhost` only, and says so in the second value.
    pub fn new(rng: Rng) -> (Self, Option<String>) {
        let built = TokioResolver::builder_tokio().and_then(|mut builder| {
            let options = builder.options_mut();
            options.timeout = REPLY_MAX;
            options.attempts = 2;
            options.positive_min_ttl = Some(TTL_MIN);
            options.positive_max_ttl = Some(TTL_MAX);
            options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
            builder.build()
        });
        let (resolver, why) = match built {
            Ok(resolver) => (Some(resolver), None),
            Err(error) => (None, Some(format!("no name resolution: {error}"))),
        };
        (Self { resolver, rng: Mutex::new(rng) }, why)
    }

    /// Socket addresses of a SIP host in the order to try (RFC 3263 §4), at most
    /// [`TARGETS_MAX`]; none where the name does not resolve.
    pub async fn sip(&self, host: &Host) -> Vec<SocketAddr> {
        let mut rng = match self.rng.lock() {
            Ok(mut rng) => rng.fork(),
            Err(poisoned) => poisoned.into_inner().fork(),
        };
        sip_targets(self, host, &mut rng).await
    }

    /// Addresses of a name, IPv4 first.
    pub async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        if let Ok(address) = name.parse() {
            return vec![address];
        }
        if is_localhost(name) {
            return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        let Some(resolver) = &self.resolver else {
            return Vec::new();
        };
        let mut addresses: Vec<IpAddr> = match resolver.lookup_ip(name).await {
            Ok(found) => found.iter().collect(),
            Err(_) => Vec::new(),
        };
        addresses.sort_by_key(IpAddr::is_ipv6);
        addresses
    }
}

/// One SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Service {
    priority: u16,
    weight: u16,
    port: u16,
    /// Without the dot at the end; empty: the service is decidedly not offered.
    target: String,
}

/// Where records come from.
trait Source {
    fn services(&self, name: &str) -> impl Future<Output = Vec<Service>> + Send;
    fn addresses(&self, name: &str) -> impl Future<Output = Vec<IpAddr>> + Send;
}

impl Source for Dns {
    async fn services(&self, name: &str) -> Vec<Service> {
        let Some(resolver) = &self.resolver else {
            return Vec::new();
        };
        let Ok(found) = resolver.lookup(format!("{name}."), RecordType::SRV).await else {
            return Vec::new();
        };
        let services = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_utf8().trim_end_matches('.').to_owned(),
            }),
            _ => None,
        });
        services.take(SRV_MAX).collect()
    }

    async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        Self::addresses(self, name).await
    }
}

async fn sip_targets(source: &impl Source, host: &Host, rng: &mut Rng) -> Vec<SocketAddr> {
    if let Some(address) = host.address() {
        return vec![address];
    }
    let with_port = |addresses: Vec<IpAddr>, port: u16| {
        addresses.into_iter().map(move |address| SocketAddr::new(address, port))
    };
    let mut targets: Vec<SocketAddr> = Vec::new();
    let services = match host.port {
        // A port says that the host itself is meant (RFC 3263 §4.2).
        Some(_) => Vec::new(),
        None if is_localhost(&host.name) => Vec::new(),
        None => source.services(&format!("{}.{}", service_name(host.transport), host.name)).await,
    };
    if services.is_empty() {
        targets.extend(with_port(source.addresses(&host.name).await, host.port_or_default()));
    }
    for service in ordered(services, rng) {
        if service.target.is_empty() || targets.len() >= TARGETS_MAX {
            continue;
        }
        targets.extend(with_port(source.addresses(&service.target).await, service.port));
    }
    targets.truncate(TARGETS_MAX);
    targets
}

const fn service_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    }
}

/// By priority; among equals drawn by weight, those without weight last in chance (RFC 2782).
fn ordered(mut services: Vec<Service>, rng: &mut Rng) -> Vec<Service> {
    services.sort_by_key(|service| (service.priority, service.weight));
    let mut out = Vec::with_capacity(services.len());
    while let Some(first) = services.first() {
        let priority = first.priority;
        let equals = services.iter().take_while(|service| service.priority == priority);
        let total: u64 = equals.map(|service| u64::from(service.weight)).sum();
        let drawn = rng.below(total + 1);
        let mut sum = 0;
        let chosen = services.iter().position(|service| {
            sum += u64::from(service.weight);
            sum >= drawn
        });
        out.push(services.remove(chosen.unwrap_or(0)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(Vec<Service>);

    impl Source for Fake {
        async fn services(&self, name: &str) -> Vec<Service> {
            if name == "_sip._udp.pbx.example" { self.0.clone() } else { Vec::new() }
        }

        async fn addresses(&self, name: &str) -> Vec<IpAddr> {
            match name {
                "pbx.example" => vec![[192, 0, 2, 1].into()],
                "a.example" => vec![[192, 0, 2, 2].into(), [192, 0, 2, 3].into()],
                "b.example" => vec![[192, 0, 2, 4].into()],
                _ => Vec::new(),
            }
        }
    }

    fn service(priority: u16, weight: u16, port: u16, target: &str) -> Service {
        Service { priority, weight, port, target: target.to_owned() }
    }

    fn host(name: &str, port: Option<u16>, transport: Transport) -> Host {
        Host { name: name.to_owned(), port, transport }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().expect("runtime").block_on(future)
    }

    fn targets(services: Vec<Service>, host: &Host) -> Vec<String> {
        let found = run(sip_targets(&Fake(services), host, &mut Rng::from_number(1)));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn services_decide_only_where_no_port_is_given() {
        let services = vec![service(20, 0, 5070, "b.example"), service(10, 0, 5080, "a.example")];
        let bare = host("pbx.example", None, Transport::Udp);
        let expected = ["192.0.2.2:5080", "192.0.2.3:5080", "192.0.2.4:5070"];
        assert_eq!(targets(services.clone(), &bare), expected);
        let port = host("pbx.example", Some(5090), Transport::Udp);
        assert_eq!(targets(services.clone(), &port), ["192.0.2.1:5090"]);
        let tls = host("pbx.example", None, Transport::Tls);
        assert_eq!(targets(services, &tls), ["192.0.2.1:5061"]);
        assert_eq!(targets(vec![service(0, 0, 0, "")], &bare), Vec::<String>::new());
        assert_eq!(
            targets(vec![], &host("no.example", None, Transport::Udp)),
            Vec::<String>::new()
        );
        let literal = host("192.0.2.9", None, Transport::Tcp);
        assert_eq!(targets(vec![], &literal), ["192.0.2.9:5060"]);
    }

    #[test]
    fn at_most_as_many_targets_as_a_leg_tries() {
        let services = (0..20).map(|n| service(n, 0, 5060 + n, "a.example")).collect();
        let found = targets(services, &host("pbx.example", None, Transport::Udp));
        assert_eq!(found.len(), TARGETS_MAX);
    }

    #[test]
    fn weights_share_the_first_place() {
        let mut rng = Rng::from_number(5);
        let services = [service(1, 30, 1, "a"), service(1, 10, 2, "b"), service(0, 0, 3, "c")];
        let mut heavy = 0;
        for _ in 0..4_000 {
            let order = ordered(services.to_vec(), &mut rng);
            assert_eq!((order.len(), order[0].port), (3, 3), "priority before weight");
            heavy += u32::from(order[1].port == 1);
        }
        assert!((2_800..=3_200).contains(&heavy), "{heavy} of 4000, about 3000 expected");
    }

    #[test]
    fn localhost_and_addresses_need_no_server() {
        let dns = Dns { resolver: None, rng: Mutex::new(Rng::from_number(1)) };
        let found = run(dns.sip(&host("localhost", None, Transport::Udp)));
        assert_eq!(found[0].to_string(), "127.0.0.1:5060");
        assert_eq!(run(dns.addresses("::1")), [IpAddr::from(Ipv6Addr::LOCALHOST)]);
        assert!(run(dns.addresses("pbx.example")).is_empty());
    }
}
