//! Settings of the host itself.

use super::{Key, Kind, Need, Section, key};
use crate::base::limits::SHARDS_MAX;

pub(super) const SECTIONS: &[Section] = &[
    Section { path: "edge", repeated: false, doc: "Who this edge is.", keys: EDGE },
    Section { path: "sip", repeated: false, doc: "Where SIP is heard, and its timers.", keys: SIP },
    Section { path: "media", repeated: false, doc: "Addresses and ports for RTP.", keys: MEDIA },
    Section {
        path: "media.addresses",
        repeated: true,
        doc: "A media address behind 1:1 NAT.",
        keys: MEDIA_ADDRESS,
    },
    Section {
        path: "runtime",
        repeated: false,
        doc: "Shards: one core's world each. Changes here need a restart.",
        keys: RUNTIME,
    },
    Section { path: "api", repeated: false, doc: "REST and the operator's page.", keys: API },
    Section {
        path: "callbacks",
        repeated: false,
        doc: "How applications are reached.",
        keys: CALLBACKS,
    },
    Section { path: "drain", repeated: false, doc: "Leaving service.", keys: DRAIN },
    Section { path: "log", repeated: false, doc: "What is logged to standard error.", keys: LOG },
];

const EDGE: &[Key] = &[
    Key::text("region", Need::Default("\"local\""), "\"euc1\"")
        .doc("Free text that callbacks and CDRs carry."),
    Key::text("host", Need::Required, "\"sip.example.net\"").doc(
        "Host name of the edge: its SIP domain and its digest realm. Password hashes depend on \
         it.",
    ),
    Key::text("advertised_sip", Need::Optional, "\"198.51.100.7\"").doc(
        "Host or address for Via and Contact where the edge stands behind 1:1 NAT; without it \
         the address that is bound.",
    ),
    Key::text("advertised_media", Need::Optional, "\"198.51.100.7\"").doc(
        "Address for session descriptions where the edge stands behind 1:1 NAT; without it the \
         address that is bound.",
    ),
    Key::text("data_dir", Need::Default("\"/var/lib/carrick\""), "\"/var/lib/carrick\"")
        .doc("Directory that the edge keeps its own files in."),
    Key::text("store", Need::Default("\"carrick.sqlite\""), "\"carrick.sqlite\"")
        .doc("Database file; a relative path starts at data_dir."),
];

const SIP: &[Key] = &[
    Key::texts(
        "listen",
        Need::Default(r#"["udp://0.0.0.0:5060", "tcp://0.0.0.0:5060"]"#),
        r#"["udp://0.0.0.0:5060", "tcp://0.0.0.0:5060", "udp://[::]:5060"]"#,
    )
    .doc("Listeners, each `udp://ADDRESS:PORT` or `tcp://ADDRESS:PORT`; at most 16."),
    Key::integer("t1_ms", 100, 2000, "milliseconds", "500")
        .doc("T1 of RFC 3261 §17: estimate of the round trip, first retransmission."),
    Key::integer("t2_ms", 1000, 16_000, "milliseconds", "4000")
        .doc("T2 of RFC 3261 §17: longest pause between retransmissions."),
    Key::integer("t4_ms", 1000, 16_000, "milliseconds", "5000")
        .doc("T4 of RFC 3261 §17: how long a message may stay in the network."),
    Key::choice("digest", &["both", "sha-256", "md5"], "\"both\"").doc(
        "Digest algorithms that are offered and taken. `both` offers SHA-256 first; `md5` serves \
         equipment that gives up when it reads SHA-256.",
    ),
];

const MEDIA: &[Key] = &[
    key("addresses", Kind::Texts, Need::Required, r#"["192.0.2.1"]"#).doc(
        "Addresses that RTP is received on and sent from, at most 8; a table \
         `{ bind = \"10.0.0.5\", advertised = \"198.51.100.7\" }` where one stands behind 1:1 \
         NAT.",
    ),
    Key::text("ports", Need::Default("\"10000-20000\""), "\"10000-20000\"").doc(
        "Range of UDP ports for RTP (even) and RTCP (the odd one above), `FIRST-LAST`; each call \
         takes two pairs.",
    ),
    Key::integer("quarantine_s", 0, 600, "seconds", "30").doc(
        "How long a port rests after a call, so that late packets of one call never reach \
         another.",
    ),
];

const MEDIA_ADDRESS: &[Key] = &[
    Key::text("bind", Need::Required, "\"10.0.0.5\"").doc("Address that is bound."),
    Key::text("advertised", Need::Optional, "\"198.51.100.7\"")
        .doc("Address that session descriptions name."),
];

#[expect(clippy::cast_possible_wrap, reason = "a bound of a few dozen")]
const RUNTIME: &[Key] = &[
    Key::integer("shards", 0, SHARDS_MAX as i64, "", "0")
        .doc("Shards; 0 stands for one a processor."),
    Key::boolean("pin", "true").doc("Whether each shard's thread stays on one processor."),
    Key::choice("backend", &["auto", "io_uring", "epoll", "xdp"], "\"auto\"").doc(
        "Packet backend. `auto` takes io_uring where the kernel lets it, else epoll. `xdp` is \
         not available in this build yet.",
    ),
    Key::integer("spin_us", 0, 1_000_000, "microseconds", "0")
        .doc("How long an idle shard looks for packets before it sleeps; 0 sleeps at once."),
    Key::limit("max_calls", 10_000_000, "2000").doc(
        "Most calls at one time over all shards; without it as many as the media ports allow.",
    ),
];

const API: &[Key] = &[
    Key::text("listen", Need::Default("\"127.0.0.1:8080\""), "\"127.0.0.1:8080\"")
        .doc("`ADDRESS:PORT` that REST and the page are served on."),
    Key::secret("token", "\"9f2c1e7a4b5d6c8e9f2c1e7a4b5d6c8e\"").doc(
        "Bearer token of the operator's API, 16 characters or more. Required, here or by \
         token_file or token_env, unless listen is a loopback address.",
    ),
    Key::text("token_file", Need::Optional, "\"/etc/carrick/api.token\"")
        .doc("File whose first line is the token; a relative path starts at this file."),
    Key::text("token_env", Need::Optional, "\"CARRICK_API_TOKEN\"")
        .doc("Environment variable that holds the token."),
];

const CALLBACKS: &[Key] = &[
    Key::integer("budget_ms", 100, 60_000, "milliseconds", "5000")
        .doc("Time for one question, over primary and fallback; then the call is refused."),
    Key::integer("connect_ms", 50, 30_000, "milliseconds", "1000")
        .doc("Time for one connection to be made."),
    Key::boolean("allow_private", "false").doc(
        "Whether callback URLs may lead to private, loopback and link-local addresses. Leave it \
         off where strangers may set URLs.",
    ),
    Key::boolean("allow_http", "false")
        .doc("Whether callback URLs may be http://. What a call is about then travels in clear."),
    Key::text("ca_file", Need::Optional, "\"/etc/carrick/ca.pem\"").doc(
        "PEM certificates to trust besides the system's; a relative path starts at this file.",
    ),
];

const DRAIN: &[Key] = &[Key::integer("deadline_s", 0, 86_400, "seconds", "60")
    .doc("How long calls may go on after a stop is asked for; then they are hung up.")];

const LOG: &[Key] = &[
    Key::choice("level", &["error", "warn", "info", "debug", "trace"], "\"info\"")
        .doc("How much is logged."),
    Key::choice("format", &["text", "json"], "\"text\"")
        .doc("Lines for people, or one JSON object a line."),
];
