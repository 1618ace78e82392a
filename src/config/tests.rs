//! The settings file, read as an operator writes it, well and badly.

use std::collections::BTreeMap;

use super::*;
use crate::base::packet::Transport;
use crate::base::time::Duration;

/// Files and variables that exist in the tests.
struct Known(BTreeMap<&'static str, &'static str>);

impl Surroundings for Known {
    fn read(&self, path: &str) -> std::io::Result<String> {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        self.0.get(path).map(|text| (*text).to_owned()).ok_or_else(missing)
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|text| (*text).to_owned())
    }

    fn path(&self, path: &str) -> PathBuf {
        Path::new("/etc/carrick").join(path)
    }
}

fn parse(source: &str) -> Result<(Config, Vec<Warning>), Errors> {
    let known = [("app.secret", "c2l4dGVlbi1vci1tb3JlLWJ5dGVz\n"), ("TOKEN", "0123456789abcdef")];
    Config::parse_with(source, "carrick.toml", &Known(known.into()))
}

fn sound(source: &str) -> Config {
    match parse(source) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{errors}"),
    }
}

fn errors(source: &str) -> Errors {
    parse(source).expect_err("refused")
}

/// The only error's message.
fn error(source: &str) -> String {
    let errors = errors(source);
    let mut only = errors.problems.iter().filter(|p| p.severity == Severity::Error);
    let first = only.next().expect("an error");
    assert!(only.next().is_none(), "{errors}");
    format!("{}; {}; {}", first.message, first.expected, first.help)
}

const HOST: &str = "[edge]\nhost = \"SIP.example.net\"\n[media]\naddresses = [\"192.0.2.1\"]\n";
const SECRET: &str = "c2VjcmV0LXRoYXQtaXMtbmV2ZXItc2hvd24=";

fn with(rest: &str) -> String {
    format!("{HOST}{rest}")
}

fn full() -> String {
    with(&format!(
        r#"
[sip]
listen = ["udp://0.0.0.0:5060", "tcp://192.0.2.9:5060", "udp://[::]:5060"]
t1_ms = 250
[api]
listen = "0.0.0.0:8080"
token_env = "TOKEN"
[[application]]
key = "one"
secret = "{SECRET}"
callback = {{ primary = "https://app.example.com/calls" }}
[[application]]
key = "two"
secret_file = "app.secret"
[[access_list]]
name = "office"
ranges = ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7", "::ffff:203.0.113.0/120"]
[[access_list]]
name = "upstream"
ranges = ["203.0.113.7"]
[[credential_list]]
name = "users"
users = [{{ username = "pbx", password = "Cleat-Hitch-1849" }}]
[[trunk]]
name = "Office"
application = "one"
access_lists = ["office"]
credential_lists = ["users"]
origination = [{{ uri = "sip:{{number}}@pbx.example:5070;transport=tcp", priority = 1 }}]
max_calls = 30
max_calls_per_second = 5
allowed_destinations = ["+1", "+44"]
transports = ["udp"]
nat = true
[[trunk]]
name = "plain"
application = "two"
domain = "Plain.Example.Net"
[[number]]
number = "+442071838750"
application = "one"
to = "trunk:Office"
[[number]]
number = "+442071838751"
application = "two"
[[carrier]]
name = "up"
uris = ["sip:203.0.113.7", "sip:[2001:db8::7]:5080;transport=tcp"]
prefixes = ["+1"]
username = "edge"
password = "x"
access_lists = ["upstream"]
"#
    ))
}

#[test]
fn reads_all_there_is() {
    let config = sound(&full());
    assert_eq!(config.edge.host, "sip.example.net");
    assert_eq!(config.edge.store, Path::new("/var/lib/carrick/carrick.sqlite"));
    let advertised: Vec<_> =
        config.sip.listeners.iter().map(|l| l.advertised_host.as_str()).collect();
    assert_eq!(advertised, ["192.0.2.1", "192.0.2.9", "sip.example.net"]);
    assert_eq!(config.sip.t1, Duration::from_millis(250));
    assert_eq!(config.sip.t2, Duration::from_secs(4));
    assert_eq!((config.media.port_first, config.media.port_last), (10_000, 19_999));
    assert_eq!(config.media.pairs(), 5000);
    assert_eq!(config.api.token.as_ref().map(Secret::expose), Some("0123456789abcdef"));
    assert_eq!(config.runtime.shards, None);
    assert_eq!(config.applications[0].secret.expose(), SECRET);
    assert_eq!(config.applications[1].secret.expose(), "c2l4dGVlbi1vci1tb3JlLWJ5dGVz");
    let ranges: Vec<_> = config.access_lists[0].ranges.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32", "203.0.113.0/24"]);
    let trunk = &config.trunks[0];
    assert_eq!(trunk.domain, "office.sip.example.net");
    assert!(!trunk.application_credentials && trunk.nat);
    assert_eq!(trunk.transports, [Transport::Udp]);
    assert_eq!(trunk.allowed_destinations, ["1", "44"]);
    assert_eq!((trunk.calls_max, trunk.calls_per_second_max), (Some(30), Some(5)));
    let way = &trunk.origination[0];
    assert_eq!((way.uri.host.as_str(), way.uri.port), ("pbx.example", Some(5070)));
    assert_eq!((way.uri.transport, way.priority, way.weight), (Transport::Tcp, 1, 10));
    assert!(config.trunks[1].application_credentials);
    assert_eq!(config.trunks[1].domain, "plain.example.net");
    assert_eq!(config.numbers[0].to, NumberTarget::Trunk("Office".to_owned()));
    assert_eq!(config.numbers[1].to, NumberTarget::Callback);
    assert_eq!(config.carriers[0].uris[1].host, "2001:db8::7");
}

#[test]
fn all_errors_are_reported_at_once_in_the_order_of_the_file() {
    let source = "\
[edge]
hots = \"sip.example.net\"
[media]
addresses = [\"192.0.2.300\"]
ports = 10000
[sip]
listen = [\"tls://0.0.0.0:5061\"]
t1_ms = 5
[runtime]
backend = \"xdp\"
pin = \"yes\"
[trunkk]
[[number]]
number = \"0044\"
application = \"nobody\"
";
    let errors = errors(source);
    let found: Vec<_> = errors.problems.iter().map(|p| (p.line, p.message.as_str())).collect();
    let expected = [
        (1, "[edge] has no `host`"),
        (2, "`hots` is not a setting of [edge]"),
        (4, "`192.0.2.300` is no IP address"),
        (5, "`ports` is a number"),
        (7, "`tls://0.0.0.0:5061` asks for TLS, which is not available in this build yet"),
        (8, "`t1_ms` is out of range"),
        (10, "the AF_XDP backend is not available in this build yet"),
        (11, "`pin` is a string"),
        (12, "`trunkk` is no table of this file"),
        (14, "`0044` is no E.164 number"),
        (15, "there is no application `nobody`"),
    ];
    assert_eq!(found, expected, "{errors}");
    assert_eq!(errors.problems[1].help, "did you mean `host`?");
    assert_eq!(errors.problems[8].help, "did you mean `trunk`?");
    assert!(errors.to_string().ends_with("carrick.toml: 11 errors"));
}

#[test]
fn a_report_has_place_line_caret_expectation_and_help() {
    let text = errors(&with("\tports = \"20000-10000\"\n")).to_string();
    let expected = "\
error: `20000-10000` holds no pair of ports
 --> carrick.toml:5:10
  |
5 |  ports = \"20000-10000\"
  |          ^^^^^^^^^^^^^ expected FIRST-LAST, from 1024 to 65535
  = help: the first port comes first, and a call needs two pairs

carrick.toml: 1 error";
    assert_eq!(text, expected);
}

#[test]
fn the_machine_gets_the_same() {
    let errors = errors(&with("ports = 1\n"));
    let json = to_json(&errors.file, &errors.problems);
    assert_eq!(json["ok"], false);
    assert_eq!(json["problems"][0]["line"], 5);
    assert_eq!(json["problems"][0]["key"], "media.ports");
    assert_eq!(json["problems"][0]["severity"], "error");
}

#[test]
fn names_that_refer_to_nothing_are_found_and_the_nearest_is_offered() {
    let source = full().replace("access_lists = [\"office\"]", "access_lists = [\"offcie\"]");
    assert!(error(&source).contains("did you mean `office`?"));
    let source = full().replace("trunk:Office", "trunk:office");
    assert!(error(&source).starts_with("there is no trunk `office`"));
    let source = full().replace("application = \"two\"", "application = \"three\"");
    assert_eq!(errors(&source).counts().0, 2);
}

#[test]
fn what_may_be_there_once_is_there_once() {
    let again = |block: &str| error(&format!("{}{block}", full()));
    let number = "[[number]]\nnumber = \"+442071838750\"\napplication = \"one\"\n";
    assert!(again(number).starts_with("number `+442071838750` is there twice"));
    let trunk =
        "[[trunk]]\nname = \"other\"\napplication = \"one\"\ndomain = \"PLAIN.example.net\"\n";
    assert!(again(trunk).starts_with("trunk `plain` has the domain"));
    let application = format!("[[application]]\nkey = \"one\"\nsecret = \"{SECRET}\"\n");
    assert!(again(&application).starts_with("application `one` is there twice"));
    let user = "password = \"Cleat-Hitch-1849\" }";
    let twice = full().replace(user, &format!("{user}, {{ username = \"pbx\", {user}"));
    assert!(error(&twice).starts_with("user `pbx` is there twice"));
}

#[test]
fn a_trunk_without_any_scheme_is_refused() {
    let source = with(&format!(
        "[[application]]\nkey = \"one\"\nsecret = \"{SECRET}\"\n\
         [[trunk]]\nname = \"t\"\napplication = \"one\"\napplication_credentials = false\n"
    ));
    assert!(error(&source).starts_with("a trunk needs at least one authentication scheme"));
    assert!(
        error(&source.replace("application_credentials = false", "access_lists = []"))
            .starts_with("a trunk needs at least one authentication scheme")
    );
}

#[test]
fn secrets_are_never_shown() {
    let mut shown = String::new();
    let list = "[[credential_list]]\nname = \"l\"\n";
    // Wrong in many ways, each with a value that must not be seen.
    for source in [
        with("[[application]]\nkey = 7\nsecret = \"hunter2-hunter2\"\n"),
        with("[[application]]\nkey = \"a\"\nsecrett = \"hunter2-hunter2\"\n"),
        with("[[application]]\nkey = \"a\"\nsecret = \"\"\"\nhunter2\"\"\"\n"),
        with(&format!("{list}users = [{{ username = \"a b\", password = \"hunter2\" }}]\n")),
        with(&format!("{list}users = [{{ usernam = \"a\", passwd = \"hunter2\" }}]\n")),
        with("[api]\ntoken = \"hunter2\"\n"),
        with("token = \"hunter2\"\n"),
        "applicaton.secret = \"hunter2\"\napplication.secret = \"hunter2\"\n".to_owned(),
        with("[[application]]\nkey = \"a\"\nsecret.x = \"hunter2\"\nfoo.bar = \"hunter2\"\n"),
        with("application = \"hunter2\"\nhost = \"hunter2\"\n"),
        with("[[credential_list]]\nname = \"l\"\nusers = \"a:hunter2\"\n"),
        full().replace("https://app", "https://me:hunter2@app"),
        with("hunter = { hunter2 = \"hunter2\" }\n").replace("hunter =", "api ="),
        // No TOML at all.
        with("[[application]]\nsecret = hunter2\n"),
        with("[[application]]\nsecret = \"hunter2\n"),
        with("[[application]]\nsecret = \"\"\"\nhunter2 \\q\n\"\"\"\n"),
        with("users = [{ username = \"a\", password = 'hunter2\" }]\n"),
        with("[api]\ntoken \"hunter2\"\n"),
    ] {
        let errors = errors(&source);
        shown.push_str(&errors.to_string().replace("{ hunter2 =", ""));
        shown.push_str(&format!("{errors:?}{}", to_json("f", &errors.problems)));
    }
    assert!(shown.contains("***"));
    let leak = shown.lines().find(|line| line.contains("hunter2"));
    assert!(leak.is_none(), "{leak:?}\nin\n{shown}");
    let config = sound(&full());
    let debug = format!("{config:?}");
    assert!(!debug.contains(SECRET) && !debug.contains("Cleat") && debug.contains("Secret(***)"));
}

#[test]
fn the_caret_stands_under_what_follows_a_masked_value() {
    let list = "[[credential_list]]\nname = \"l\"\n";
    let source = with(&format!("{list}users = [{{ password = \"Aa1-long\", extra = 1 }}]\n"));
    let text = errors(&source).to_string();
    let mut lines = text.lines().skip_while(|line| !line.contains("`extra`"));
    let shown = lines.find(|line| line.starts_with("7 |")).expect("the line");
    let caret = lines.next().expect("the caret");
    assert_eq!(shown.find("extra"), caret.find('^'), "{text}");
}

#[test]
fn syntax_errors_have_a_place_too() {
    let untidy = errors("[edge]\nhost = \"a\nregion = = 1\n");
    let lines: Vec<_> = untidy.problems.iter().map(|p| p.line).collect();
    assert_eq!(lines, [2, 3], "{untidy}");
    let twice = errors("[edge]\nhost = \"a\"\nhost = \"b\"\n");
    assert_eq!(twice.problems[0].line, 3);
    assert!(twice.to_string().contains("duplicate key"), "{twice}");
    let table = errors("[edge]\n[edge]\n");
    assert_eq!(table.problems[0].line, 2, "{table}");
}

#[test]
fn an_empty_file_says_what_it_lacks() {
    let errors = errors("");
    let missing: Vec<_> = errors.problems.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(missing, ["edge.host", "media.addresses"], "{errors}");
}

#[test]
fn refusals_of_the_host() {
    let refused = |rest: &str, why: &str| {
        let error = error(&with(rest));
        assert!(error.contains(why), "{rest}: {error}");
    };
    refused("[sip]\nlisten = []\n", "0 listeners");
    refused("[sip]\nlisten = [\"udp://pbx:5060\"]\n", "an address, not a name");
    refused("[sip]\nlisten = [\"udp://0.0.0.0:0\"]\n", "port 0");
    refused("[sip]\nlisten = [\"udp://0.0.0.0:10500\"]\n", "also a media port");
    refused("[sip]\nlisten = [\"udp://0.0.0.0:5060\", \"udp://0.0.0.0:5060\"]\n", "twice");
    refused("[sip]\nlisten = [5060]\n", "a number among its strings");
    refused("[sip]\nt1_ms = 2000\nt2_ms = 1000\n", "T2 is shorter");
    refused("[runtime]\nshards = 65\n", "from 0 to 64");
    refused("[runtime]\nspin_us = 0.5\n", "a number with a fraction");
    refused("[api]\nlisten = \"[::]:8080\"\n", "open to everyone");
    refused("[api]\ntoken_env = \"ABSENT\"\n", "it is not set");
    refused("[api]\ntoken_env = \"TOKEN\"\ntoken_file = \"x\"\n", "both given");
    refused("[callbacks]\nbudget_ms = 500\nconnect_ms = 900\n", "whole budget");
    refused("[log]\nlevel = \"inof\"\n", "did you mean `info`?");
    refused("[[log]]\n", "the wrong form");
    refused("[runtime]\nlisten = \"x\"\n", "belongs in [sip]");
    let wildcard = HOST.replace("192.0.2.1", "0.0.0.0");
    assert!(error(&wildcard).contains("wildcard"));
    let advertised = wildcard.replace("[media]", "advertised_media = \"198.51.100.7\"\n[media]");
    let config = sound(&advertised);
    assert_eq!(config.media.addresses[0].advertised.to_string(), "198.51.100.7");
    assert_eq!(config.sip.listeners[0].advertised_host, "198.51.100.7");
    let pair =
        HOST.replace("\"192.0.2.1\"", "{ bind = \"10.0.0.5\", advertised = \"2001:db8::1\" }");
    assert!(error(&pair).contains("different families"));
}

#[test]
fn refusals_of_what_is_provisioned() {
    let refused = |from: &str, to: &str, why: &str| {
        assert!(full().contains(from), "{from}");
        let error = error(&full().replace(from, to));
        assert!(error.contains(why), "{to}: {error}");
    };
    refused("2001:db8::/32", "2001:db8::/129", "no such prefix length");
    refused("198.51.100.7", "198.51.100", "no IP address");
    refused("Cleat-Hitch-1849", "Cleat-1849", "too short");
    refused("Cleat-Hitch-1849", "cleat-hitch-1849", "one case");
    refused("Cleat-Hitch-1849", "Cleat-Hitch-Bend", "no digit");
    refused("https://app", "http://app", "allow_http");
    refused("https://app.example.com", "https://10.0.0.1", "allow_private");
    refused("https://app", "https://user:pw@app", "user name or password");
    refused(SECRET, "short", "the secret is");
    refused("secret_file = \"app.secret\"", "secret_file = \"gone\"", "cannot be read");
    refused("secret_file = \"app.secret\"", "", "neither `secret` nor `secret_file`");
    refused("transport=tcp\", priority", "transport=tls\", priority", "TLS");
    refused("sip:{number}@pbx", "sip:{did}@pbx", "unknown placeholder");
    refused("sip:{number}@pbx", "tel:{number}@pbx", "no SIP URI");
    refused("[\"+1\", \"+44\"]", "[\"1\"]", "no prefix");
    refused("password = \"x\"\n", "", "only go together");
    refused("trunk:Office", "office", "nowhere a call can go");
    let way = "[{ uri = \"sip:{number}@pbx.example:5070;transport=tcp\", priority = 1 }]";
    refused(way, "[]", "no origination; calls");
    refused("Office\"\napplication = \"one\"", "Office\"\napplication = \"two\"", "another app");
    refused("transports = [\"udp\"]", "media_security = \"required\"", "SRTP needs TLS");
    refused("name = \"plain\"", "name = \"a b\"", "is no name");
    refused("max_calls = 30", "max_calls = 0", "out of range");
}

#[test]
fn warnings_leave_the_file_usable() {
    let warned = |source: &str| -> Vec<String> {
        let (_, warnings) = parse(source).expect("sound");
        warnings.iter().map(|warning| warning.message.clone()).collect()
    };
    assert!(warned(&full()).is_empty());
    let wide = full().replace("\"198.51.100.7\"", "\"198.51.100.7/24\", \"0.0.0.0/0\"");
    let wide = warned(&wide);
    assert_eq!(wide[0], "`198.51.100.7/24` is taken as 198.51.100.0/24");
    assert_eq!(wide[1], "`0.0.0.0/0` admits the whole world");
    let both = full().replace("\"198.51.100.7\"", "\"203.0.113.7\"");
    let both = warned(&both);
    assert_eq!(both[0], "203.0.113.7/32 stands for trunk `Office` and carrier `up`");
    let room = format!("{HOST}[runtime]\nmax_calls = 2501\n");
    assert_eq!(warned(&room), ["media.ports has room for 2500 calls only"]);
}

#[test]
fn the_template_is_sound_as_it_is_and_uncommented() {
    for media in ["192.0.2.1", "2001:db8::1"] {
        let text = template("sip.example.net", media.parse().expect("address"));
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        let (_, warnings) = parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(warnings.is_empty(), "{warnings:?}");
        let uncomment = |line: &str| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting.to_owned(),
            _ => line.to_owned(),
        };
        let all: Vec<_> = text.lines().map(uncomment).collect();
        let problems = match Config::parse_with(&all.join("\n"), "f", &Known(BTreeMap::new())) {
            Ok((_, warnings)) => warnings,
            Err(errors) => errors.problems,
        };
        // What cannot stand together, or is not on this host.
        let unwanted = problems.iter().filter(|p| {
            !p.message.contains("both given")
                && p.key != "carrier.access_lists"
                && !p.message.contains("families")
        });
        let unwanted: Vec<_> = unwanted.map(ToString::to_string).collect();
        assert!(unwanted.is_empty(), "{}", unwanted.join("\n"));
    }
}

#[test]
fn lines_end_as_they_like() {
    let source = full().replace('\n', "\r\n");
    sound(&source);
    let source = source.replace("max_calls = 30", "max_calls = \"é\"");
    let text = errors(&source).to_string();
    assert!(text.contains("| max_calls = \"é\"\n"), "{text:?}");
}
