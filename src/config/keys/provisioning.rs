//! Settings of the directory: who may call, and where to.

use super::{Key, Kind, Need, Section, key};

pub(super) const SECTIONS: &[Section] = &[
    Section {
        path: "application",
        repeated: true,
        doc: "A customer's program: its key and secret are digest credentials and sign callbacks.",
        keys: APPLICATION,
    },
    Section {
        path: "application.callback",
        repeated: false,
        doc: "Where an application is asked about its calls.",
        keys: CALLBACK,
    },
    Section {
        path: "access_list",
        repeated: true,
        doc: "Source addresses that trunks and carriers may call from.",
        keys: ACCESS_LIST,
    },
    Section {
        path: "credential_list",
        repeated: true,
        doc: "Users and passwords that trunks may call with.",
        keys: CREDENTIAL_LIST,
    },
    Section {
        path: "credential_list.users",
        repeated: true,
        doc: "A user of a credential list.",
        keys: USER,
    },
    Section {
        path: "trunk",
        repeated: true,
        doc: "A customer's interconnection. A caller must be on one of the access lists, if there \
              are any, and pass digest with one of the credential lists, if there are any.",
        keys: TRUNK,
    },
    Section {
        path: "trunk.origination",
        repeated: true,
        doc: "One way to reach the customer's equipment.",
        keys: ORIGINATION,
    },
    Section {
        path: "carrier",
        repeated: true,
        doc: "An upstream that calls to the telephone network are placed with. The longest prefix \
              wins, then the lowest priority, then weight.",
        keys: CARRIER,
    },
    Section {
        path: "number",
        repeated: true,
        doc: "A number of an application: callers may reach it, and it may be shown as caller ID.",
        keys: NUMBER,
    },
];

const PRIORITY: Key = Key::integer("priority", 0, 65_535, "", "10").doc("Lower is tried first.");
const WEIGHT: Key =
    Key::integer("weight", 1, 65_535, "", "10").doc("Share among those of equal priority.");
const NAT: Key = Key::boolean("nat", "false").doc(
    "Whether media may come from an address that was not signalled, because the peer stands \
     behind NAT.",
);
const PASSWORD: Key = Key::secret("password", "\"Cleat-Hitch-1849\"")
    .doc("Digest password: 12 characters or more, upper and lower case, and a digit.");
const PASSWORD_FILE: Key = Key::text("password_file", Need::Optional, "\"office.password\"")
    .doc("File whose first line is the password; a relative path starts at this file.");

const APPLICATION: &[Key] = &[
    Key::text("key", Need::Required, "\"669e367e-6bba-48ab-af15-266871c28135\"")
        .doc("Application key: digest user name, and the name in signatures."),
    Key::secret("secret", "\"BeIukql3pTKJ8RGL5zo0DA==\"").doc(
        "Application secret in base64, at least 16 bytes. This text is the digest password; what \
         it decodes to signs callbacks. `openssl rand -base64 32` makes one.",
    ),
    Key::text("secret_file", Need::Optional, "\"app.secret\"")
        .doc("File whose first line is the secret; a relative path starts at this file."),
    key(
        "callback",
        Kind::Tables("application.callback"),
        Need::Optional,
        r#"{ primary = "https://app.example.com/calls" }"#,
    )
    .doc("Who is asked about calls; without it calls go where their To says."),
];

const CALLBACK: &[Key] = &[
    Key::text("primary", Need::Required, "\"https://app.example.com/calls\"")
        .doc("URL that callbacks go to."),
    Key::text("fallback", Need::Optional, "\"https://backup.example.com/calls\"")
        .doc("URL that they go to when the primary fails."),
];

const ACCESS_LIST: &[Key] = &[
    Key::text("name", Need::Required, "\"office\"").doc("Name that trunks refer to."),
    Key::texts("ranges", Need::Required, r#"["192.0.2.0/24", "2001:db8::/32"]"#)
        .doc("Addresses and CIDR ranges, IPv4 and IPv6."),
];

const CREDENTIAL_LIST: &[Key] = &[
    Key::text("name", Need::Required, "\"office-users\"").doc("Name that trunks refer to."),
    key(
        "users",
        Kind::Tables("credential_list.users"),
        Need::Required,
        r#"[{ username = "pbx", password = "Cleat-Hitch-1849" }]"#,
    )
    .doc("Users, each with a password or a password_file."),
];

const USER: &[Key] = &[
    Key::text("username", Need::Required, "\"pbx\"").doc("Digest user name."),
    PASSWORD,
    PASSWORD_FILE,
];

const TRUNK: &[Key] = &[
    Key::text("name", Need::Required, "\"office\"").doc("Name of the trunk, shown everywhere."),
    Key::text("application", Need::Required, "\"669e367e-6bba-48ab-af15-266871c28135\"")
        .doc("Key of the application that its calls belong to."),
    Key::text("domain", Need::Optional, "\"office.sip.example.net\"").doc(
        "Termination domain: the host that the customer's Request-URIs name. Without it NAME.HOST \
         with edge.host.",
    ),
    Key::texts("access_lists", Need::Default("[]"), r#"["office"]"#)
        .doc("Access lists, any of which admits a source address."),
    Key::texts("credential_lists", Need::Default("[]"), r#"["office-users"]"#)
        .doc("Credential lists, any of which admits a user."),
    key("application_credentials", Kind::Boolean, Need::Optional, "true").doc(
        "Whether the application's own key and secret are accepted by digest. Without it: only \
         where the trunk names no list at all.",
    ),
    key(
        "origination",
        Kind::Tables("trunk.origination"),
        Need::Default("[]"),
        r#"[{ uri = "sip:{number}@pbx.example.com:5060;transport=tcp" }]"#,
    )
    .doc("Where calls to the customer's numbers go, each a table."),
    Key::limit("max_calls", 1_000_000, "30").doc("Most calls at one time; without it no limit."),
    Key::limit("max_calls_per_second", 100_000, "5")
        .doc("Most calls begun a second; without it no limit."),
    Key::texts("allowed_destinations", Need::Default("[]"), r#"["+1", "+44"]"#)
        .doc("Prefixes of numbers that its calls may go to; none: all numbers."),
    Key::texts("transports", Need::Default(r#"["udp", "tcp"]"#), r#"["udp", "tcp"]"#)
        .doc("Transports that its requests may use."),
    Key::choice("media_security", &["never", "allowed", "required"], "\"allowed\"").doc(
        "Whether media may be SRTP where the signalling is TLS. `required` is not available in \
         this build yet.",
    ),
    NAT,
];

const ORIGINATION: &[Key] = &[
    Key::text("uri", Need::Required, "\"sip:{number}@pbx.example.com:5060;transport=tcp\"")
        .doc("SIP URI; {number} stands for the called number."),
    PRIORITY,
    WEIGHT,
];

const CARRIER: &[Key] = &[
    Key::text("name", Need::Required, "\"upstream\"").doc("Name of the carrier."),
    Key::texts("uris", Need::Required, r#"["sip:203.0.113.7:5060;transport=udp"]"#)
        .doc("Where calls are sent, tried in order; the number becomes the user part. At most 8."),
    Key::texts("prefixes", Need::Default("[]"), r#"["+1"]"#)
        .doc("Prefixes of numbers that it takes; none: all."),
    PRIORITY,
    WEIGHT,
    Key::text("username", Need::Optional, "\"edge-7\"")
        .doc("Digest user name that the carrier's challenges are answered with."),
    Key::secret("password", "\"as the carrier gave it\"")
        .doc("Password that goes with username; any text."),
    PASSWORD_FILE,
    Key::texts("access_lists", Need::Default("[]"), r#"["upstream"]"#)
        .doc("Access lists that its own calls, those to our numbers, come from."),
    NAT,
];

const NUMBER: &[Key] = &[
    Key::text("number", Need::Required, "\"+442071838750\"").doc("The number, E.164 with +."),
    Key::text("application", Need::Required, "\"669e367e-6bba-48ab-af15-266871c28135\"")
        .doc("Key of the application that it belongs to."),
    Key::text("to", Need::Default("\"callback\""), "\"trunk:office\"").doc(
        "Where calls to it go: `trunk:NAME`, to that trunk's origination; `callback`, where the \
         application says; `none`, for a number that is only shown.",
    ),
];
