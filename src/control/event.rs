//! Bodies of callbacks: JSON member for member as the official clients parse it.

use serde::Serialize;

use crate::base::id::CallId;
use crate::base::time::WallTime;
use crate::call::script::ScriptError;
use crate::link::ask::Dialled;
use crate::link::{Dice, Evidence, Ice};

/// `setCookie` values of one call, in order.
pub type Cookies = Vec<(String, String)>;

/// What all events of one edge say about it.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'d> {
    /// `https://host[:port]` of the REST interface, without a slash at the end.
    pub base_url: &'d str,
    /// ISO 4217 code of `userRate` and `debit`.
    pub currency: &'d str,
}

/// Kinds of callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum EventKind {
    /// Incoming call.
    Ice,
    /// Answered call.
    Ace,
    /// Disconnected call.
    Dice,
    /// Anything else that the customer is told.
    Notify,
}

impl EventKind {
    /// All kinds, in order.
    pub const ALL: [Self; 4] = [Self::Ice, Self::Ace, Self::Dice, Self::Notify];

    /// The `event` member's value.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ice => "ice",
            Self::Ace => "ace",
            Self::Dice => "dice",
            Self::Notify => "notify",
        }
    }
}

/// Body of ICE.
pub fn ice(
    identity: Identity<'_>,
    id: CallId,
    at: WallTime,
    application: &str,
    ice: &Ice,
    cookies: &Cookies,
) -> Vec<u8> {
    let callid = id.text();
    let (kind, endpoint) = match &ice.to {
        Dialled::Number(number) => ("number", number),
        Dialled::Did(number) => ("did", number),
    };
    bytes(&IceBody {
        event: EventKind::Ice.word(),
        callid: &callid,
        call_resource_url: format!("{}/calling/v1/calls/id/{callid}", identity.base_url),
        timestamp: at.to_rfc3339_seconds(),
        version: 1,
        custom: "",
        user_rate: Money::none(identity.currency),
        cli: ice.cli.trim_start_matches('+'),
        to: Endpoint { kind, endpoint },
        domain: "pstn",
        application_key: application,
        origination_type: "PSTN",
        rdnis: ice.rdnis.trim_start_matches('+'),
        call_headers: pairs(ice.headers.iter()),
        cookies: cookie_pairs(cookies),
        sip: Sip::of(&ice.evidence),
    })
}

/// Body of ACE.
pub fn ace(id: CallId, at: WallTime, application: &str, cookies: &Cookies) -> Vec<u8> {
    bytes(&AceBody {
        event: EventKind::Ace.word(),
        callid: &id.text(),
        timestamp: at.to_rfc3339_seconds(),
        version: 1,
        custom: "",
        application_key: application,
        cookies: cookie_pairs(cookies),
    })
}

/// Body of DiCE.
pub fn dice(identity: Identity<'_>, id: CallId, dice: &Dice, cookies: &Cookies) -> Vec<u8> {
    let (kind, endpoint) = match &dice.to {
        Dialled::Number(number) => ("number", number.trim_start_matches('+')),
        Dialled::Did(number) => ("did", number.as_str()),
    };
    bytes(&DiceBody {
        event: EventKind::Dice.word(),
        callid: &id.text(),
        timestamp: dice.at.to_rfc3339_seconds(),
        reason: dice.reason.word(),
        result: dice.result.word(),
        version: 1,
        custom: "",
        debit: Money::none(identity.currency),
        user_rate: Money::none(identity.currency),
        to: Endpoint { kind, endpoint },
        application_key: &dice.application,
        duration: dice.duration,
        from: dice.from.trim_start_matches('+'),
        cookies: cookie_pairs(cookies),
    })
}

/// Body of the notification that an answer was no legal SVAML.
pub fn illegal_svaml(id: CallId, application: &str, error: &ScriptError) -> Vec<u8> {
    bytes(&NotifyBody {
        event: EventKind::Notify.word(),
        callid: &id.text(),
        version: 1,
        custom: "",
        application_key: application,
        kind: "callingerror",
        error_code: 40001,
        error_msg: format!("Illegal SVAML: {error}"),
    })
}

fn bytes(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("bodies are structs of strings and numbers")
}

fn pairs<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> Vec<Pair<'p>> {
    pairs.map(|(key, value)| Pair { key, value }).collect()
}

fn cookie_pairs(cookies: &Cookies) -> Vec<Pair<'_>> {
    pairs(cookies.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

#[derive(Serialize)]
struct Pair<'d> {
    key: &'d str,
    value: &'d str,
}

#[derive(Serialize)]
struct Endpoint<'d> {
    #[serde(rename = "type")]
    kind: &'d str,
    endpoint: &'d str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Money<'d> {
    currency_id: &'d str,
    amount: f64,
}

impl<'d> Money<'d> {
    /// The edge does not rate calls; the members are there because clients expect them.
    fn none(currency_id: &'d str) -> Self {
        Self { currency_id, amount: 0.0 }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IceBody<'d> {
    event: &'d str,
    callid: &'d str,
    call_resource_url: String,
    timestamp: String,
    version: u8,
    custom: &'d str,
    user_rate: Money<'d>,
    cli: &'d str,
    to: Endpoint<'d>,
    domain: &'d str,
    application_key: &'d str,
    origination_type: &'d str,
    rdnis: &'d str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    call_headers: Vec<Pair<'d>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<Pair<'d>>,
    sip: Sip<'d>,
}

/// What the edge saw of the caller; not part of the service's schema, ignored by its clients.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sip<'d> {
    source_ip: String,
    source_port: u16,
    transport: &'d str,
    trunk: &'d str,
    #[serde(skip_serializing_if = "str::is_empty")]
    access_list: &'d str,
    #[serde(skip_serializing_if = "str::is_empty")]
    digest_user: &'d str,
    from: &'d str,
    request_uri: &'d str,
    call_id: &'d str,
}

impl<'d> Sip<'d> {
    fn of(evidence: &'d Evidence) -> Self {
        Self {
            source_ip: evidence.source.ip().to_canonical().to_string(),
            source_port: evidence.source.port(),
            transport: evidence.transport.name(),
            trunk: &evidence.trunk,
            access_list: &evidence.access_entry,
            digest_user: &evidence.digest_user,
            from: &evidence.from,
            request_uri: &evidence.request_uri,
            call_id: &evidence.sip_call_id,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AceBody<'d> {
    event: &'d str,
    callid: &'d str,
    timestamp: String,
    version: u8,
    custom: &'d str,
    application_key: &'d str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<Pair<'d>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiceBody<'d> {
    event: &'d str,
    callid: &'d str,
    timestamp: String,
    reason: &'d str,
    result: &'d str,
    version: u8,
    custom: &'d str,
    debit: Money<'d>,
    user_rate: Money<'d>,
    to: Endpoint<'d>,
    application_key: &'d str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u32>,
    from: &'d str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<Pair<'d>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotifyBody<'d> {
    event: &'d str,
    callid: &'d str,
    version: u8,
    custom: &'d str,
    application_key: &'d str,
    #[serde(rename = "type")]
    kind: &'d str,
    error_code: u32,
    error_msg: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::bounded::Text;
    use crate::directory::Name;
    use crate::link::PrivateHeaders;
    use crate::link::cdr::{Reason, Result_};

    const IDENTITY: Identity<'_> = Identity { base_url: "https://edge.example", currency: "USD" };

    fn id() -> CallId {
        CallId::new(1_795_466_426_123, [7; 10])
    }

    fn evidence() -> Evidence {
        Evidence {
            source: "[::ffff:192.0.2.7]:5062".parse().expect("address"),
            transport: crate::base::packet::Transport::Tcp,
            trunk: Name::from("office").expect("fits"),
            access_entry: Text::from("hq: 192.0.2.0/24").expect("fits"),
            digest_user: Name::new(),
            from: Text::from("sip:+12015555555@pbx.example").expect("fits"),
            request_uri: Text::from("sip:+12017777777@office.example").expect("fits"),
            sip_call_id: Text::from("a\"b@pbx").expect("fits"),
        }
    }

    #[test]
    fn ice_member_for_member() {
        let mut headers = PrivateHeaders::default();
        headers.push("X-a", "1").expect("fits");
        let event = Ice {
            cli: Text::from("+12015555555").expect("fits"),
            to: Dialled::Did(Text::from("+12017777777").expect("fits")),
            rdnis: Text::new(),
            headers,
            evidence: evidence(),
        };
        let body = ice(IDENTITY, id(), WallTime(1_795_466_426_123), "key-1", &event, &vec![]);
        let callid = id().text();
        let expected = format!(
            concat!(
                r#"{{"event":"ice","callid":"{0}","#,
                r#""callResourceUrl":"https://edge.example/calling/v1/calls/id/{0}","#,
                r#""timestamp":"2026-11-23T20:40:26Z","version":1,"custom":"","#,
                r#""userRate":{{"currencyId":"USD","amount":0.0}},"cli":"12015555555","#,
                r#""to":{{"type":"did","endpoint":"+12017777777"}},"domain":"pstn","#,
                r#""applicationKey":"key-1","originationType":"PSTN","rdnis":"","#,
                r#""callHeaders":[{{"key":"X-a","value":"1"}}],"#,
                r#""sip":{{"sourceIp":"192.0.2.7","sourcePort":5062,"transport":"TCP","#,
                r#""trunk":"office","accessList":"hq: 192.0.2.0/24","#,
                r#""from":"sip:+12015555555@pbx.example","#,
                r#""requestUri":"sip:+12017777777@office.example","callId":"a\"b@pbx"}}}}"#
            ),
            callid
        );
        assert_eq!(String::from_utf8(body).expect("UTF-8"), expected);
    }

    #[test]
    fn dice_and_ace_member_for_member() {
        let mut event = Dice {
            application: Name::from("key-1").expect("fits"),
            from: Text::from("private").expect("fits"),
            to: Dialled::Number(Text::from("+12017777777").expect("fits")),
            result: Result_::Answered,
            reason: Reason::ManagerHangup,
            duration: Some(12),
            at: WallTime(1_795_466_426_123),
        };
        let cookies = vec![("a".to_owned(), "b".to_owned())];
        let body = String::from_utf8(dice(IDENTITY, id(), &event, &cookies)).expect("UTF-8");
        let expected = format!(
            concat!(
                r#"{{"event":"dice","callid":"{}","timestamp":"2026-11-23T20:40:26Z","#,
                r#""reason":"MANAGERHANGUP","result":"ANSWERED","version":1,"custom":"","#,
                r#""debit":{{"currencyId":"USD","amount":0.0}},"#,
                r#""userRate":{{"currencyId":"USD","amount":0.0}},"#,
                r#""to":{{"type":"number","endpoint":"12017777777"}},"applicationKey":"key-1","#,
                r#""duration":12,"from":"private","cookies":[{{"key":"a","value":"b"}}]}}"#
            ),
            id().text()
        );
        assert_eq!(body, expected);
        event.duration = None;
        let body = String::from_utf8(dice(IDENTITY, id(), &event, &vec![])).expect("UTF-8");
        assert!(!body.contains("duration") && !body.contains("cookies"));
        let body = String::from_utf8(ace(id(), event.at, "key-1", &vec![])).expect("UTF-8");
        let expected = format!(
            concat!(
                r#"{{"event":"ace","callid":"{}","timestamp":"2026-11-23T20:40:26Z","#,
                r#""version":1,"custom":"","applicationKey":"key-1"}}"#
            ),
            id().text()
        );
        assert_eq!(body, expected);
    }
}
