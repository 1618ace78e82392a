//! What tables say about each other: names that must exist, names that may exist once, and
//! settings that are sound alone but not together.

use std::collections::BTreeMap;

use super::model::{Edge, NumberTarget};
use super::provisioning::{Kind, Provisioned, Read, Reference};
use super::reader::{Sink, did_you_mean};

pub(super) fn check(sink: &mut Sink<'_>, all: &Provisioned, edge: &Edge) {
    unique(sink, "application", "key", &all.applications, |a| &a.key);
    unique(sink, "trunk", "name", &all.trunks, |t| &t.name);
    unique(sink, "access_list", "name", &all.access_lists, |l| &l.name);
    unique(sink, "credential_list", "name", &all.credential_lists, |l| &l.name);
    unique(sink, "number", "number", &all.numbers, |n| &n.number);
    unique(sink, "carrier", "name", &all.carriers, |c| &c.name);
    let references = all.trunks.iter().flat_map(|t| &t.references);
    let references = references.chain(all.numbers.iter().flat_map(|n| &n.references));
    for reference in references.chain(all.carriers.iter().flat_map(|c| &c.references)) {
        exists(sink, all, reference);
    }
    domains(sink, all, edge);
    shared_ranges(sink, all);
    unused(sink, all);
    for number in &all.numbers {
        foreign_trunk(sink, all, number);
    }
}

/// Each name once.
fn unique<T>(
    sink: &mut Sink<'_>,
    section: &str,
    key: &str,
    all: &[Read<T>],
    name: impl Fn(&T) -> &String,
) {
    let mut seen = BTreeMap::new();
    for read in all {
        let name = name(&read.value);
        if !name.is_empty() && seen.insert(name, ()).is_some() {
            let message = format!("{} `{name}` is there twice", section.replace('_', " "));
            let path = format!("{section}.{key}");
            let help = "rename one, or take it out";
            sink.error(&path, read.name.clone(), message, "expected another one", help);
        }
    }
}

fn exists(sink: &mut Sink<'_>, all: &Provisioned, reference: &Reference) {
    fn names<T>(all: &[Read<T>], name: fn(&T) -> &str) -> Vec<&str> {
        all.iter().map(|read| name(&read.value)).filter(|name| !name.is_empty()).collect()
    }
    let (kind, header, candidates) = match reference.kind {
        Kind::Application => {
            ("application", "[[application]]", names(&all.applications, |a| &a.key))
        }
        Kind::AccessList => {
            ("access list", "[[access_list]]", names(&all.access_lists, |l| &l.name))
        }
        Kind::CredentialList => {
            ("credential list", "[[credential_list]]", names(&all.credential_lists, |l| &l.name))
        }
        Kind::Trunk => ("trunk", "[[trunk]]", names(&all.trunks, |t| &t.name)),
    };
    let name = reference.at.value.as_str();
    if candidates.contains(&name) {
        return;
    }
    let help = match did_you_mean(name, &candidates) {
        help if !help.is_empty() => help,
        _ if candidates.is_empty() => format!("this file has no {header}; add one"),
        _ => format!("those of this file: {}", candidates.join(", ")),
    };
    let message = format!("there is no {kind} `{name}`");
    let expected = format!("expected the name of an {header}").replace("an [[t", "a [[t");
    let expected = expected.replace("an [[c", "a [[c");
    sink.error(reference.key, reference.at.span.clone(), message, expected, help);
}

/// The termination domain names the trunk, so it must name one only.
fn domains(sink: &mut Sink<'_>, all: &Provisioned, edge: &Edge) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for read in &all.trunks {
        let trunk = &read.value;
        if let Some(earlier) = seen.insert(&trunk.domain, &trunk.name)
            && earlier != trunk.name
        {
            let message = format!("trunk `{earlier}` has the domain `{}` too", trunk.domain);
            let help = "give each trunk a domain of its own";
            sink.error("trunk.domain", read.span.clone(), message, "on this trunk", help);
        }
        if trunk.domain == edge.host && all.trunks.len() > 1 {
            let message = format!("calls to `{}` all go by trunk `{}`", edge.host, trunk.name);
            let help = "with its own domain, other trunks are told apart by source address";
            sink.warn("trunk.domain", read.span.clone(), message, "it takes edge.host", help);
        }
    }
}

/// Where a request names no trunk the source address does, so two owners of one range are one too
/// many.
fn shared_ranges(sink: &mut Sink<'_>, all: &Provisioned) {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let trunks = all.trunks.iter().map(|t| ("trunk", &t.value.name, &t.value.access_lists));
    let carriers = all.carriers.iter().map(|c| ("carrier", &c.value.name, &c.value.access_lists));
    for (kind, name, lists) in trunks.chain(carriers) {
        let lists = all.access_lists.iter().filter(|list| lists.contains(&list.value.name));
        for range in lists.flat_map(|list| &list.value.ranges) {
            let owner = format!("{kind} `{name}`");
            let owners = owners.entry(range.to_string()).or_default();
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
    }
    for list in &all.access_lists {
        let shared = list.value.ranges.iter().find_map(|range| {
            let owners = owners.get(&range.to_string())?;
            (owners.len() > 1).then(|| (range, owners.join(" and ")))
        });
        if let Some((range, owners)) = shared {
            let message = format!("{range} stands for {owners}");
            let expected = "calls that name no trunk's domain go by the first";
            let help = "let callers use the trunk's domain, or give each its own ranges";
            sink.warn("access_list.ranges", list.name.clone(), message, expected, help);
        }
    }
}

/// Lists that nothing refers to are most often a slip of the pen.
fn unused(sink: &mut Sink<'_>, all: &Provisioned) {
    let used = |kind: Kind, name: &str| {
        let of_trunks = all.trunks.iter().flat_map(|t| &t.references);
        let of_carriers = all.carriers.iter().flat_map(|c| &c.references);
        of_trunks.chain(of_carriers).any(|r| r.kind == kind && r.at.value == name)
    };
    for list in &all.access_lists {
        if !used(Kind::AccessList, &list.value.name) {
            let message = format!("access list `{}` is not used", list.value.name);
            sink.warn("access_list.name", list.name.clone(), message, "no trunk names it", "");
        }
    }
    for list in &all.credential_lists {
        if !used(Kind::CredentialList, &list.value.name) {
            let message = format!("credential list `{}` is not used", list.value.name);
            sink.warn("credential_list.name", list.name.clone(), message, "no trunk names it", "");
        }
    }
}

/// A number goes to a trunk of its own application, and one that can be reached.
fn foreign_trunk(sink: &mut Sink<'_>, all: &Provisioned, number: &Read<super::model::Number>) {
    let NumberTarget::Trunk(name) = &number.value.to else { return };
    let Some(trunk) = all.trunks.iter().find(|trunk| trunk.value.name == *name) else { return };
    let reference = number.references.iter().find(|r| r.kind == Kind::Trunk);
    let place = reference.map_or_else(|| number.span.clone(), |r| r.at.span.clone());
    if trunk.value.origination.is_empty() {
        let message = format!("trunk `{name}` has no origination");
        let help = "add origination = [{ uri = \"sip:{number}@pbx.example.com\" }] to the trunk";
        sink.error("number.to", place.clone(), message, "calls could not go there", help);
    }
    if trunk.value.application != number.value.application {
        let message = format!("trunk `{name}` belongs to another application than the number");
        sink.error("number.to", place, message, "expected one of the same application", "");
    }
}
