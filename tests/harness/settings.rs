//! Settings for shards that are driven by hand: every host is a literal address.

use std::net::SocketAddr;
use std::sync::Arc;

use carrick::config::Config;
use carrick::control::compile::compile;
use carrick::directory::Snapshot;

/// What is provisioned: a trunk with callbacks, one without, one with limits, one with digest, and
/// carriers.
pub const SETTINGS: &str = r#"
[edge]
host = "edge.test"
[sip]
listen = ["udp://192.0.2.1:5060"]
[media]
addresses = ["192.0.2.2"]
[[application]]
key = "asked"
secret = "c2VjcmV0LXRoYXQtaXMtbmV2ZXItc2hvd24="
callback = { primary = "https://app.example.com/calls" }
[[application]]
key = "plain"
secret = "c2VjcmV0LXRoYXQtaXMtbmV2ZXItc2hvd24="
[[access_list]]
name = "asked-hosts"
ranges = ["198.51.100.1"]
[[access_list]]
name = "plain-hosts"
ranges = ["198.51.100.2"]
[[access_list]]
name = "limited-hosts"
ranges = ["198.51.100.3"]
[[access_list]]
name = "digest-hosts"
ranges = ["198.51.100.4"]
[[access_list]]
name = "north-hosts"
ranges = ["203.0.113.1"]
[[credential_list]]
name = "users"
users = [{ username = "pbx", password = "Cleat-Hitch-1849" }]
[[trunk]]
name = "asked"
application = "asked"
access_lists = ["asked-hosts"]
origination = [{ uri = "sip:{number}@198.51.100.1:5060" }]
[[trunk]]
name = "plain"
application = "plain"
access_lists = ["plain-hosts"]
[[trunk]]
name = "limited"
application = "plain"
access_lists = ["limited-hosts"]
max_calls = 2
max_calls_per_second = 5
[[trunk]]
name = "digest"
application = "asked"
access_lists = ["digest-hosts"]
credential_lists = ["users"]
[[number]]
number = "+46700000001"
application = "plain"
[[number]]
number = "+46700000002"
application = "asked"
to = "trunk:asked"
[[carrier]]
name = "north"
uris = ["sip:203.0.113.1:5060"]
prefixes = ["+49", "+44"]
access_lists = ["north-hosts"]
[[carrier]]
name = "backup"
uris = ["sip:203.0.113.2:5060"]
prefixes = ["+44"]
priority = 20
[[carrier]]
name = "south"
uris = ["sip:203.0.113.3:5060"]
prefixes = ["+33"]
username = "edge"
password = "Bowline-1850"
"#;

/// The directory of settings whose hosts are all literal addresses.
pub fn directory(settings: &str) -> Snapshot {
    let (config, _) =
        Config::parse(settings, "scenario.toml").unwrap_or_else(|errors| panic!("{errors}"));
    Arc::new(compile(&config, None, 1, &|host, port, _| {
        let address = host.parse().expect("a literal address");
        std::iter::once(SocketAddr::new(address, port.unwrap_or(5060))).collect()
    }))
}
