//! Reads what is provisioned: `[[application]]` to `[[number]]`, one at a time. What they say
//! about each other is checked in [`super::references`].

use std::ops::Range as Span;

use super::Root;
use super::host::parsed;
use super::model::{
    AccessList, AddressRange, Application, Callbacks, Carrier, CredentialList, Edge, MediaSecurity,
    Number, NumberTarget, Origination, PeerUri, Trunk, User,
};
use super::reader::{At, Section, Sink};
use super::secret::Secret;
use super::value;
use crate::base::limits::TARGETS_MAX;
use crate::base::packet::Transport;

/// Something read, and where its settings stand.
pub(super) struct Read<T> {
    pub(super) value: T,
    /// Where the table begins.
    pub(super) span: Span<usize>,
    /// Where the name stands.
    pub(super) name: Span<usize>,
    /// References to other tables, each with its place.
    pub(super) references: Vec<Reference>,
}

/// A name that must stand for something.
pub(super) struct Reference {
    pub(super) kind: Kind,
    pub(super) key: &'static str,
    pub(super) at: At<String>,
}

/// What a reference is to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Application,
    AccessList,
    CredentialList,
    Trunk,
}

/// Everything provisioned.
pub(super) struct Provisioned {
    pub(super) applications: Vec<Read<Application>>,
    pub(super) trunks: Vec<Read<Trunk>>,
    pub(super) access_lists: Vec<Read<AccessList>>,
    pub(super) credential_lists: Vec<Read<CredentialList>>,
    pub(super) numbers: Vec<Read<Number>>,
    pub(super) carriers: Vec<Read<Carrier>>,
}

pub(super) fn read(
    sink: &mut Sink<'_>,
    root: &Root<'_>,
    edge: &Edge,
    callbacks: &Callbacks,
) -> Provisioned {
    fn each<T>(
        sink: &mut Sink<'_>,
        root: &Root<'_>,
        path: &'static str,
        mut read: impl FnMut(&mut Sink<'_>, &Section<'_>) -> Read<T>,
    ) -> Vec<Read<T>> {
        let sections = root.many(sink, path);
        sections.iter().map(|section| read(sink, section)).collect()
    }
    Provisioned {
        applications: each(sink, root, "application", |sink, section| {
            application(sink, section, callbacks)
        }),
        trunks: each(sink, root, "trunk", |sink, section| trunk(sink, section, edge)),
        access_lists: each(sink, root, "access_list", access_list),
        credential_lists: each(sink, root, "credential_list", credential_list),
        numbers: each(sink, root, "number", number),
        carriers: each(sink, root, "carrier", carrier),
    }
}

fn application(
    sink: &mut Sink<'_>,
    section: &Section<'_>,
    callbacks: &Callbacks,
) -> Read<Application> {
    let key = section.text(sink, "key");
    if let Some(key) = &key {
        parsed(sink, "application.key", key, value::username);
    }
    let secret = section.secret(sink, "secret");
    if let Some(secret) = &secret {
        check_secret(sink, "application.secret", secret, value::application_secret);
    } else if !section.has("secret") && !section.has("secret_file") {
        let message = "[[application]] has neither `secret` nor `secret_file`";
        let help = "add secret_file = \"app.secret\"; `openssl rand -base64 32` makes a secret";
        sink.error("application.secret", section.span.clone(), message, "needed here", help);
    }
    let (mut primary, mut fallback) = (None, None);
    for callback in section.tables(sink, "callback") {
        let mut url = |name| {
            let text = callback.text(sink, name)?;
            let (http, private) = (callbacks.allow_http, callbacks.allow_private);
            let path = callback.path(name);
            if text.value.contains('@') {
                callback.hide(sink, name);
            }
            parsed(sink, &path, &text, |text| value::callback_url(text, http, private))?;
            Some(text.value)
        };
        (primary, fallback) = (url("primary"), url("fallback"));
    }
    let name = section.place("key");
    let value = Application {
        key: or_empty(key),
        secret: exposed(secret),
        callback_primary: primary,
        callback_fallback: fallback,
    };
    Read { value, span: section.span.clone(), name, references: Vec::new() }
}

fn trunk(sink: &mut Sink<'_>, section: &Section<'_>, edge: &Edge) -> Read<Trunk> {
    let mut references = Vec::new();
    let name = named(sink, section);
    let application = refer_one(sink, section, &mut references);
    let domain = section.text(sink, "domain");
    if let Some(domain) = &domain {
        parsed(sink, "trunk.domain", domain, value::host);
    }
    let access = ("access_lists", "trunk.access_lists", Kind::AccessList);
    let access_lists = refer(sink, section, access, &mut references);
    let credential = ("credential_lists", "trunk.credential_lists", Kind::CredentialList);
    let credential_lists = refer(sink, section, credential, &mut references);
    let lists = section.has("access_lists") || section.has("credential_lists");
    let no_list = access_lists.is_empty() && credential_lists.is_empty();
    let application_credentials =
        section.boolean(sink, "application_credentials").unwrap_or(!lists);
    if no_list && !application_credentials {
        let message = "a trunk needs at least one authentication scheme";
        let help = "name access_lists or credential_lists, or set application_credentials = true";
        sink.error("trunk", section.span.clone(), message, "nobody could be told apart", help);
    }
    let choice = section.choice(sink, "media_security");
    let media_security = match choice.as_ref().map(|word| word.value) {
        Some("never") => MediaSecurity::Never,
        Some("required") => {
            let message = "SRTP needs TLS, which is not available in this build yet";
            let expected = "expected \"never\" or \"allowed\"";
            let place = section.place("media_security");
            sink.error("trunk.media_security", place, message, expected, "");
            MediaSecurity::Allowed
        }
        _ => MediaSecurity::Allowed,
    };
    let in_host = |name: &String| format!("{name}.{}", edge.host);
    let domain = domain.map(|domain| domain.value).unwrap_or_else(|| in_host(&name));
    let value = Trunk {
        name,
        application,
        domain: domain.to_ascii_lowercase(),
        access_lists,
        credential_lists,
        application_credentials,
        origination: origination(sink, section),
        calls_max: section.number(sink, "max_calls"),
        calls_per_second_max: section.number(sink, "max_calls_per_second"),
        allowed_destinations: prefixes(sink, section, "allowed_destinations"),
        transports: transports(sink, section),
        media_security,
        nat: section.boolean(sink, "nat").unwrap_or(false),
    };
    Read { value, span: section.span.clone(), name: section.place("name"), references }
}

fn transports(sink: &mut Sink<'_>, section: &Section<'_>) -> Vec<Transport> {
    let texts = section.texts(sink, "transports");
    if texts.is_empty() && section.has("transports") {
        let message = "no transport is left";
        let place = section.place("transports");
        sink.error("trunk.transports", place, message, "expected \"udp\" or \"tcp\"", "");
    }
    let mut transports = Vec::new();
    for text in &texts {
        let transport = parsed(sink, "trunk.transports", text, value::transport);
        transports.extend(transport.filter(|transport| !transports.contains(transport)));
    }
    transports
}

fn origination(sink: &mut Sink<'_>, section: &Section<'_>) -> Vec<Origination> {
    let mut all = Vec::new();
    for one in section.tables(sink, "origination") {
        let text = one.text(sink, "uri");
        let uri = text.and_then(|t| parsed(sink, "trunk.origination.uri", &t, value::peer_uri));
        let uri = uri.unwrap_or_else(|| PeerUri {
            uri: String::new(),
            host: String::new(),
            port: None,
            transport: Transport::Udp,
        });
        let priority = one.number(sink, "priority").unwrap_or(10);
        let weight = one.number(sink, "weight").unwrap_or(10);
        all.push(Origination { uri, priority, weight });
    }
    if all.len() > TARGETS_MAX {
        let message = format!("{} URIs are given", all.len());
        let place = section.place("origination");
        sink.error("trunk.origination", place, message, "expected at most 8", "");
    }
    all
}

fn access_list(sink: &mut Sink<'_>, section: &Section<'_>) -> Read<AccessList> {
    const PATH: &str = "access_list.ranges";
    let name = named(sink, section);
    let texts = section.texts(sink, "ranges");
    if texts.is_empty() && section.raw("ranges").is_some_and(toml::de::DeValue::is_array) {
        let message = "the list holds no range and admits nobody";
        sink.error(PATH, section.place("ranges"), message, "expected a range", "");
    }
    let mut ranges: Vec<AddressRange> = Vec::new();
    for text in &texts {
        let Some((range, cleared)) = parsed(sink, PATH, text, value::range) else { continue };
        if cleared {
            let message = format!("`{}` is taken as {range}", text.value);
            sink.warn(PATH, text.span.clone(), message, "it has bits below the prefix", "");
        }
        if range.prefix == 0 {
            let message = format!("`{}` admits the whole world", text.value);
            let help = "a trunk with this list and no digest is open to toll fraud";
            sink.warn(PATH, text.span.clone(), message, "every address matches", help);
        }
        if ranges.contains(&range) {
            let message = format!("{range} is there twice");
            sink.warn(PATH, text.span.clone(), message, "expected each range once", "");
            continue;
        }
        ranges.push(range);
    }
    let value = AccessList { name, ranges };
    let span = section.span.clone();
    Read { value, span, name: section.place("name"), references: Vec::new() }
}

fn credential_list(sink: &mut Sink<'_>, section: &Section<'_>) -> Read<CredentialList> {
    const PATH: &str = "credential_list.users";
    let name = named(sink, section);
    let tables = section.tables(sink, "users");
    let array = section.raw("users").and_then(|users| users.as_array());
    if array.is_some_and(|users| users.is_empty()) {
        let message = "the list holds no user and admits nobody";
        sink.error(PATH, section.place("users"), message, "expected a user", "");
    }
    let mut users: Vec<User> = Vec::new();
    for table in &tables {
        let Some(user) = user(sink, table) else { continue };
        if users.iter().any(|earlier| earlier.username == user.username) {
            let message = format!("user `{}` is there twice", user.username);
            let place = table.place("username");
            sink.error("credential_list.users.username", place, message, "expected once", "");
        }
        users.push(user);
    }
    let value = CredentialList { name, users };
    let span = section.span.clone();
    Read { value, span, name: section.place("name"), references: Vec::new() }
}

fn user(sink: &mut Sink<'_>, section: &Section<'_>) -> Option<User> {
    let username = section.text(sink, "username");
    if let Some(username) = &username {
        parsed(sink, "credential_list.users.username", username, value::username);
    }
    let password = section.secret(sink, "password");
    if let Some(password) = &password {
        check_secret(sink, "credential_list.users.password", password, value::password);
    } else if !section.has("password") && !section.has("password_file") {
        let message = "the user has neither `password` nor `password_file`";
        let place = section.span.clone();
        sink.error("credential_list.users.password", place, message, "needed here", "");
    }
    Some(User { username: username?.value, password: exposed(password) })
}

fn number(sink: &mut Sink<'_>, section: &Section<'_>) -> Read<Number> {
    let mut references = Vec::new();
    let number = section.text(sink, "number");
    if let Some(number) = &number {
        parsed(sink, "number.number", number, value::number);
    }
    let application = refer_one(sink, section, &mut references);
    let to = section.text(sink, "to");
    let target = to.as_ref().and_then(|text| parsed(sink, "number.to", text, value::target));
    if let (Some(NumberTarget::Trunk(trunk)), Some(to)) = (&target, to) {
        let at = At { value: trunk.clone(), span: to.span };
        references.push(Reference { kind: Kind::Trunk, key: "number.to", at });
    }
    let value =
        Number { number: or_empty(number), application, to: target.unwrap_or(NumberTarget::None) };
    Read { value, span: section.span.clone(), name: section.place("number"), references }
}

fn carrier(sink: &mut Sink<'_>, section: &Section<'_>) -> Read<Carrier> {
    let mut references = Vec::new();
    let name = named(sink, section);
    let texts = section.texts(sink, "uris");
    let read = |text| parsed(sink, "carrier.uris", text, value::peer_uri);
    let uris: Vec<PeerUri> = texts.iter().filter_map(read).collect();
    let is_array = section.raw("uris").is_some_and(toml::de::DeValue::is_array);
    if is_array && texts.is_empty() || texts.len() > TARGETS_MAX {
        let message = format!("{} URIs are given", texts.len());
        sink.error("carrier.uris", section.place("uris"), message, "expected 1 to 8", "");
    }
    let username = section.text(sink, "username");
    let password = section.secret(sink, "password");
    let has_password = section.has("password") || section.has("password_file");
    if username.is_some() != has_password {
        let message = "`username` and `password` only go together";
        let place = section.place(if has_password { "password" } else { "username" });
        let help = "add the other one, or take this one out";
        sink.error("carrier.username", place, message, "expected both or none", help);
    }
    let access = ("access_lists", "carrier.access_lists", Kind::AccessList);
    let access_lists = refer(sink, section, access, &mut references);
    let value = Carrier {
        name,
        uris,
        prefixes: prefixes(sink, section, "prefixes"),
        priority: section.number(sink, "priority").unwrap_or(10),
        weight: section.number(sink, "weight").unwrap_or(10),
        credentials: username.zip(password).map(|(username, password)| User {
            username: username.value,
            password: password.value,
        }),
        access_lists,
        nat: section.boolean(sink, "nat").unwrap_or(false),
    };
    Read { value, span: section.span.clone(), name: section.place("name"), references }
}

fn named(sink: &mut Sink<'_>, section: &Section<'_>) -> String {
    let name = section.text(sink, "name");
    if let Some(name) = &name {
        parsed(sink, &section.path("name"), name, value::name);
    }
    or_empty(name)
}

fn prefixes(sink: &mut Sink<'_>, section: &Section<'_>, name: &str) -> Vec<String> {
    let path = section.path(name);
    let texts = section.texts(sink, name);
    texts.iter().filter_map(|text| parsed(sink, &path, text, value::prefix)).collect()
}

/// The application that a trunk or number belongs to.
fn refer_one(
    sink: &mut Sink<'_>,
    section: &Section<'_>,
    references: &mut Vec<Reference>,
) -> String {
    let text = section.text(sink, "application");
    let value = text.as_ref().map(|text| text.value.clone()).unwrap_or_default();
    let key = if section.has("number") { "number.application" } else { "trunk.application" };
    references.extend(text.map(|at| Reference { kind: Kind::Application, key, at }));
    value
}

/// The names in a list of references, each once.
fn refer(
    sink: &mut Sink<'_>,
    section: &Section<'_>,
    (name, key, kind): (&str, &'static str, Kind),
    references: &mut Vec<Reference>,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for at in section.texts(sink, name) {
        if names.contains(&at.value) {
            let message = format!("`{}` is there twice", at.value);
            sink.warn(key, at.span.clone(), message, "expected each name once", "");
            continue;
        }
        names.push(at.value.clone());
        references.push(Reference { kind, key, at });
    }
    names
}

fn check_secret(
    sink: &mut Sink<'_>,
    path: &str,
    secret: &At<Secret>,
    rule: impl FnOnce(&str) -> Result<(), value::Bad>,
) {
    if let Err(bad) = rule(secret.value.expose()) {
        sink.error(path, secret.span.clone(), bad.message, bad.expected, bad.help);
    }
}

fn or_empty(text: Option<At<String>>) -> String {
    text.map(|text| text.value).unwrap_or_default()
}

fn exposed(secret: Option<At<Secret>>) -> Secret {
    secret.map_or_else(|| Secret::new(""), |secret| secret.value)
}
