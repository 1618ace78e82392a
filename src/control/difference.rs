//! What a reload changes: lines for the log, and settings that wait for a restart.

use std::fmt;

use crate::config::Config;
use crate::directory::{
    Application, Carrier, CredentialList, Directory, Inbound, Index, Number, Trunk,
};

/// What a reload changes, one line a thing, for the log. Secrets show only as "changed".
pub fn diff(old: &Directory, new: &Directory) -> Vec<String> {
    let mut lines = Vec::new();
    if old.host != new.host {
        lines.push(format!("edge.host changes from {} to {}", old.host, new.host));
    }
    let applications = |d: &Directory| named(&d.applications, |a| (a.key.to_string(), shown(a)));
    compare(&mut lines, "application", &applications(old), &applications(new));
    let trunks = |d: &Directory| named(&d.trunks, |t| (t.name.to_string(), trunk_facts(d, t)));
    compare(&mut lines, "trunk", &trunks(old), &trunks(new));
    let lists =
        |d: &Directory| named(&d.credential_lists, |list| (list.name.to_string(), users(list)));
    compare(&mut lines, "credential list", &lists(old), &lists(new));
    let carriers =
        |d: &Directory| named(&d.carriers, |c| (c.name.to_string(), carrier_facts(d, c)));
    compare(&mut lines, "carrier", &carriers(old), &carriers(new));
    let numbers = |d: &Directory| {
        let fact = |n: &Number| {
            let facts =
                vec![("application", n.application.to_string()), ("to", destination(&n.inbound))];
            (n.number.clone(), facts)
        };
        named(d.numbers.all(), fact)
    };
    compare(&mut lines, "number", &numbers(old), &numbers(new));
    let ranges = |d: &Directory| -> Vec<String> {
        d.access.entries().iter().map(ToString::to_string).collect()
    };
    let (before, after) = (ranges(old), ranges(new));
    for range in after.iter().filter(|range| !before.contains(range)) {
        lines.push(format!("access list {range} is added"));
    }
    for range in before.iter().filter(|range| !after.contains(range)) {
        lines.push(format!("access list {range} is removed"));
    }
    lines
}

/// What a thing is made of, by setting.
type Facts = Vec<(&'static str, String)>;

fn named<T>(all: &[T], facts: impl Fn(&T) -> (String, Facts)) -> Vec<(String, Facts)> {
    all.iter().map(facts).collect()
}

fn compare(lines: &mut Vec<String>, kind: &str, old: &[(String, Facts)], new: &[(String, Facts)]) {
    for (name, facts) in new {
        let Some((_, before)) = old.iter().find(|(earlier, _)| earlier == name) else {
            lines.push(format!("{kind} {name} is added"));
            continue;
        };
        for ((setting, after), (_, before)) in facts.iter().zip(before) {
            if after != before && is_secret(setting) {
                lines.push(format!("{kind} {name}: {setting} changes"));
            } else if after != before {
                lines.push(format!("{kind} {name}: {setting} changes from {before} to {after}"));
            }
        }
    }
    for (name, _) in old.iter().filter(|(name, _)| !new.iter().any(|(later, _)| later == name)) {
        lines.push(format!("{kind} {name} is removed"));
    }
}

fn is_secret(setting: &str) -> bool {
    matches!(setting, "secret" | "password" | "passwords")
}

fn debug(value: &impl fmt::Debug) -> String {
    format!("{value:?}")
}

fn or_none(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// By name: positions differ between snapshots.
fn access_lists(directory: &Directory, indices: &[Index]) -> String {
    let entries = directory.access.entries().iter();
    let of_these = entries.filter(|entry| indices.contains(&entry.list));
    let mut names: Vec<_> = of_these.map(|entry| entry.list_name.to_string()).collect();
    names.sort();
    names.dedup();
    debug(&names)
}

fn destination(inbound: &Inbound) -> String {
    match inbound {
        Inbound::Trunk(trunk) => format!("trunk:{trunk}"),
        Inbound::Application => "callback".to_owned(),
        Inbound::None => "none".to_owned(),
    }
}

fn shown(application: &Application) -> Facts {
    vec![
        ("secret", application.secret.clone()),
        ("callback.primary", or_none(application.callback_primary.as_ref())),
        ("callback.fallback", or_none(application.callback_fallback.as_ref())),
    ]
}

fn trunk_facts(directory: &Directory, trunk: &Trunk) -> Facts {
    let ways = trunk.origination.iter().map(|w| format!("{} {}/{}", w.uri, w.priority, w.weight));
    let credential_lists = trunk.credential_lists.iter().filter_map(|index| {
        let list = directory.credential_lists.get(usize::try_from(*index).ok()?)?;
        Some(list.name.to_string())
    });
    vec![
        ("application", trunk.application.to_string()),
        ("domain", trunk.domain.clone()),
        ("access_lists", access_lists(directory, &trunk.access_lists)),
        ("credential_lists", debug(&credential_lists.collect::<Vec<_>>())),
        ("application_credentials", debug(&trunk.application_credentials)),
        ("origination", debug(&ways.collect::<Vec<_>>())),
        ("max_calls", or_none(trunk.calls_max)),
        ("max_calls_per_second", or_none(trunk.calls_per_second_max)),
        ("allowed_destinations", debug(&trunk.allowed_destinations)),
        ("transports", debug(&trunk.transports)),
        ("media_security", debug(&trunk.media_security)),
        ("nat", debug(&trunk.nat)),
    ]
}

fn users(list: &CredentialList) -> Facts {
    let names: Vec<_> = list.credentials.iter().map(|c| c.username.to_string()).collect();
    let hashes: Vec<_> = list.credentials.iter().map(|c| c.ha1.sha256).collect();
    vec![("users", debug(&names)), ("passwords", debug(&hashes))]
}

fn carrier_facts(directory: &Directory, carrier: &Carrier) -> Facts {
    let uris: Vec<_> = carrier.uplinks.iter().map(|uplink| uplink.uri.as_str()).collect();
    let credentials = carrier.credentials.as_ref();
    vec![
        ("uris", debug(&uris)),
        ("prefixes", debug(&carrier.prefixes)),
        ("priority", debug(&carrier.priority)),
        ("weight", debug(&carrier.weight)),
        ("username", or_none(credentials.map(|c| &c.username))),
        ("password", or_none(credentials.map(|c| &c.password))),
        ("access_lists", access_lists(directory, &carrier.access)),
        ("nat", debug(&carrier.nat)),
    ]
}

/// Settings that differ and take effect only when the program is started again.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let differs = [
        ("edge.region", old.edge.region != new.edge.region),
        ("edge.host", old.edge.host != new.edge.host),
        ("edge.data_dir", old.edge.data_dir != new.edge.data_dir),
        ("edge.store", old.edge.store != new.edge.store),
        ("sip.listen", old.sip.listeners != new.sip.listeners),
        ("sip.t1_ms", old.sip.t1 != new.sip.t1),
        ("sip.t2_ms", old.sip.t2 != new.sip.t2),
        ("sip.t4_ms", old.sip.t4 != new.sip.t4),
        ("sip.digest", old.sip.digest != new.sip.digest),
        ("media.addresses", old.media.addresses != new.media.addresses),
        ("media.ports", ports(old) != ports(new)),
        ("media.quarantine_s", old.media.quarantine != new.media.quarantine),
        ("runtime.shards", old.runtime.shards != new.runtime.shards),
        ("runtime.pin", old.runtime.pin != new.runtime.pin),
        ("runtime.backend", old.runtime.backend != new.runtime.backend),
        ("runtime.spin_us", old.runtime.spin != new.runtime.spin),
        ("runtime.max_calls", old.runtime.calls_max != new.runtime.calls_max),
        ("api.listen", old.api.listen != new.api.listen),
        ("api.token", old.api.token != new.api.token),
        ("callbacks.budget_ms", old.callbacks.budget != new.callbacks.budget),
        ("callbacks.connect_ms", old.callbacks.connect != new.callbacks.connect),
        ("callbacks.allow_private", old.callbacks.allow_private != new.callbacks.allow_private),
        ("callbacks.allow_http", old.callbacks.allow_http != new.callbacks.allow_http),
        ("callbacks.ca_file", old.callbacks.ca_file != new.callbacks.ca_file),
        ("drain.deadline_s", old.drain.deadline != new.drain.deadline),
        ("log.level", old.log.level != new.log.level),
        ("log.format", old.log.format != new.log.format),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

fn ports(config: &Config) -> (u16, u16) {
    (config.media.port_first, config.media.port_last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::compile::tests::{SOURCE, directory, settings};

    #[test]
    fn a_reload_says_what_changes_and_no_secret() {
        let old = directory(SOURCE, None);
        assert!(diff(&old, &directory(SOURCE, None)).is_empty());
        let changed = SOURCE
            .replace("max_calls = 1", "max_calls = 9")
            .replace("\"first\"", "\"second\"")
            .replace("Hitch-1850", "Hitch-1851")
            .replace("198.51.100.0/24", "198.51.100.0/25")
            .replace("name = \"up\"", "name = \"down\"");
        let lines = diff(&old, &directory(&changed, Some(&old)));
        let expected = [
            "trunk office: max_calls changes from 1 to 9",
            "credential list users: passwords changes",
            "carrier down is added",
            "carrier up is removed",
            "access list office: 198.51.100.0/25 is added",
            "access list office: 198.51.100.0/24 is removed",
        ];
        assert_eq!(lines, expected);
        let secret = diff(&old, &directory(&SOURCE.replace("\"first\"", "\"second\""), None));
        assert_eq!(secret, ["carrier up: password changes"]);
    }

    #[test]
    fn settings_of_the_host_need_a_restart() {
        let old = settings(SOURCE);
        assert!(needs_restart(&old, &settings(SOURCE)).is_empty());
        let changed =
            SOURCE.replace("192.0.2.1", "192.0.2.2").replace("max_calls = 1", "nat = true");
        assert_eq!(needs_restart(&old, &settings(&changed)), ["sip.listen", "media.addresses"]);
    }
}
