//! Settings -> the directory that shards read.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::bounded::clipped;
use crate::base::packet::Transport;
use crate::config::{self, Config};
use crate::crypto::digest::ha1;
use crate::directory::carrier::CarrierCredentials;
use crate::directory::{
    AccessEntry, AccessTrie, Application, Carrier, Credential, CredentialList, Directory, Inbound,
    Index, MediaSecurity, Name, Number, Numbers, OriginationUri, Resolved, Trunk, Uplink,
};

/// Finds the addresses of a host as of now: host, port where one is written, transport. Empty
/// where it does not resolve. It answers from what is known; it does not wait.
pub type Resolve<'r> = dyn Fn(&str, Option<u16>, Transport) -> Resolved + 'r;

/// The directory of these settings. Trunks keep the usage counters of their namesakes in
/// `previous`, so that calls under way go on counting.
pub fn compile(
    config: &Config,
    previous: Option<&Directory>,
    version: u64,
    resolve: &Resolve<'_>,
) -> Directory {
    let realm = config.edge.host.as_str();
    Directory {
        version,
        host: config.edge.host.clone(),
        applications: config.applications.iter().map(|a| application(a, realm)).collect(),
        trunks: config.trunks.iter().map(|t| trunk(config, t, previous, resolve)).collect(),
        credential_lists: config
            .credential_lists
            .iter()
            .map(|list| credential_list(list, realm))
            .collect(),
        access: access(config),
        numbers: Numbers::new(config.numbers.iter().map(number).collect()),
        carriers: config.carriers.iter().map(|c| carrier(config, c, resolve)).collect(),
    }
}

fn application(application: &config::Application, realm: &str) -> Application {
    let secret = application.secret.expose();
    Application {
        key: name(&application.key),
        secret: secret.to_owned(),
        ha1: ha1(&application.key, realm, secret),
        callback_primary: application.callback_primary.clone(),
        callback_fallback: application.callback_fallback.clone(),
    }
}

fn trunk(
    config: &Config,
    trunk: &config::Trunk,
    previous: Option<&Directory>,
    resolve: &Resolve<'_>,
) -> Trunk {
    let usage = previous.and_then(|directory| directory.trunk(&trunk.name));
    let lists = &config.credential_lists;
    let of_name = |name: &String| position(lists.iter().map(|list| &list.name), name);
    let origination = trunk.origination.iter().map(|way| OriginationUri {
        uri: way.uri.uri.clone(),
        priority: way.priority,
        weight: way.weight,
        transport: way.uri.transport,
        resolved: resolve(&way.uri.host, way.uri.port, way.uri.transport),
    });
    Trunk {
        name: name(&trunk.name),
        application: name(&trunk.application),
        domain: trunk.domain.clone(),
        access_lists: access_indices(config, &trunk.access_lists),
        credential_lists: trunk.credential_lists.iter().filter_map(of_name).collect(),
        application_credentials: trunk.application_credentials,
        origination: origination.collect(),
        calls_max: trunk.calls_max,
        calls_per_second_max: trunk.calls_per_second_max,
        allowed_destinations: trunk.allowed_destinations.clone(),
        transports: trunk.transports.clone(),
        media_security: match trunk.media_security {
            config::MediaSecurity::Never => MediaSecurity::Never,
            config::MediaSecurity::Allowed => MediaSecurity::Allowed,
        },
        nat: trunk.nat,
        usage: usage.map(|trunk| Arc::clone(&trunk.usage)).unwrap_or_default(),
    }
}

fn credential_list(list: &config::CredentialList, realm: &str) -> CredentialList {
    let credential = |user: &config::User| Credential {
        username: name(&user.username),
        ha1: ha1(&user.username, realm, user.password.expose()),
    };
    let mut credentials: Vec<_> = list.users.iter().map(credential).collect();
    credentials.sort_by_key(|credential| credential.username);
    CredentialList { name: name(&list.name), credentials }
}

fn carrier(config: &Config, carrier: &config::Carrier, resolve: &Resolve<'_>) -> Carrier {
    let uplinks = carrier.uris.iter().map(|uri| Uplink {
        uri: uri.uri.clone(),
        host: match uri.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => uri.host.clone(),
        },
        transport: uri.transport,
        resolved: resolve(&uri.host, uri.port, uri.transport),
    });
    let credentials = carrier.credentials.as_ref().map(|user| {
        let password = user.password.expose().to_owned();
        Arc::new(CarrierCredentials { username: user.username.clone(), password })
    });
    Carrier {
        name: name(&carrier.name),
        uplinks: uplinks.collect(),
        prefixes: carrier.prefixes.clone(),
        priority: carrier.priority,
        weight: carrier.weight,
        credentials,
        access: access_indices(config, &carrier.access_lists),
        nat: carrier.nat,
    }
}

fn number(number: &config::Number) -> Number {
    Number {
        number: number.number.clone(),
        application: name(&number.application),
        inbound: match &number.to {
            config::NumberTarget::Trunk(trunk) => Inbound::Trunk(name(trunk)),
            config::NumberTarget::Callback => Inbound::Application,
            config::NumberTarget::None => Inbound::None,
        },
    }
}

fn access(config: &Config) -> AccessTrie {
    let mut entries = Vec::new();
    for list in &config.access_lists {
        let index = position(config.access_lists.iter().map(|l| &l.name), &list.name);
        for range in &list.ranges {
            entries.extend(index.map(|index| AccessEntry {
                list: index,
                list_name: name(&list.name),
                network: range.network,
                prefix: range.prefix,
            }));
        }
    }
    AccessTrie::new(entries)
}

fn access_indices(config: &Config, names: &[String]) -> Vec<Index> {
    let of_name = |name| position(config.access_lists.iter().map(|list| &list.name), name);
    names.iter().filter_map(of_name).collect()
}

fn position<'n>(mut names: impl Iterator<Item = &'n String>, name: &String) -> Option<Index> {
    names.position(|candidate| candidate == name).and_then(|at| Index::try_from(at).ok())
}

/// Names fit: the settings are checked against the same bound.
fn name(text: &str) -> Name {
    clipped(text)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::time::Instant;
    use crate::directory::Identified;

    pub(in crate::control) const SOURCE: &str = r#"
[edge]
host = "sip.example.net"
[media]
addresses = ["192.0.2.1"]
[[application]]
key = "one"
secret = "c2VjcmV0LXRoYXQtaXMtbmV2ZXItc2hvd24="
[[access_list]]
name = "unused-first"
ranges = ["10.0.0.0/8"]
[[access_list]]
name = "office"
ranges = ["198.51.100.0/24"]
[[credential_list]]
name = "users"
users = [
    { username = "zoe", password = "Cleat-Hitch-1849" },
    { username = "adam", password = "Cleat-Hitch-1850" },
]
[[trunk]]
name = "office"
application = "one"
access_lists = ["office"]
credential_lists = ["users"]
origination = [{ uri = "sip:{number}@pbx.example:5070;transport=tcp" }]
max_calls = 1
[[carrier]]
name = "up"
uris = ["sip:[2001:db8::7]:5080"]
username = "edge"
password = "first"
[[number]]
number = "+442071838750"
application = "one"
to = "trunk:office"
"#;

    pub(in crate::control) fn settings(source: &str) -> Config {
        Config::parse(source, "f").unwrap_or_else(|errors| panic!("{errors}")).0
    }

    pub(in crate::control) fn directory(source: &str, previous: Option<&Directory>) -> Directory {
        compile(&settings(source), previous, 1, &|host, port, transport| {
            let address = if host.contains(':') { "2001:db8::7" } else { "203.0.113.9" };
            assert!(port.is_some() && transport != Transport::Tls);
            let address: IpAddr = address.parse().expect("an address");
            [(address, port.unwrap_or(0)).into()].into_iter().collect()
        })
    }

    #[test]
    fn compiles_what_is_provisioned() {
        let directory = directory(SOURCE, None);
        let source = "198.51.100.4".parse().expect("an address");
        let Identified::Trunk { trunk, entry } = directory.identify(source, "192.0.2.1") else {
            panic!("the source address names the trunk");
        };
        assert_eq!(trunk.name.as_str(), "office");
        assert_eq!(entry.map(|e| e.list_name.to_string()).as_deref(), Some("office"));
        assert!(trunk.needs_digest() && trunk.needs_access_list());
        assert_eq!(trunk.origination[0].resolved[0].to_string(), "203.0.113.9:5070");
        let list = &directory.credential_lists[0];
        let adam = list.find("adam").expect("sorted");
        assert_eq!(adam.ha1, ha1("adam", "sip.example.net", "Cleat-Hitch-1850"));
        assert!(list.find("zoe").is_some());
        assert_eq!(directory.carriers[0].uplinks[0].host, "[2001:db8::7]");
        let number = directory.numbers.find("+442071838750").expect("there");
        assert_eq!(number.inbound, Inbound::Trunk(name("office")));
        assert!(directory.trunk_by_domain("office.SIP.example.net").is_some());
    }

    #[test]
    fn calls_under_way_go_on_counting_over_a_reload() {
        let first = directory(SOURCE, None);
        assert!(first.trunks[0].usage.acquire(Instant::ZERO, Some(1), None).is_ok());
        let renamed = SOURCE.replace("\"office\"\napplication", "\"other\"\napplication");
        let renamed = renamed.replace("trunk:office", "trunk:other");
        let second = directory(SOURCE, Some(&first));
        assert_eq!(second.trunks[0].usage.calls(), 1);
        assert_eq!(directory(&renamed, Some(&second)).trunks[0].usage.calls(), 0);
    }
}
