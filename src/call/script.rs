//! SVAML: what a backend answers, read from JSON and checked in full before a shard sees it.
//!
//! Everything that may be wrong is found here: shapes, names, limits, what is allowed where, and
//! what this build does not carry out (refused by name, never ignored). A [`ScriptError`] points
//! at the place with a JSON pointer (RFC 6901), so that the customer finds it.

mod json;
mod sip_endpoint;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::base::bounded::{List, Text, text};
use crate::base::limits::{CALL_SECONDS_MAX, INSTRUCTIONS_MAX};
use crate::base::packet::Transport;
use crate::link::PrivateHeaders;
use crate::link::svaml::{
    Action, Cli, ConnectOptions, ConnectPstn, ConnectSip, HangUpCause, Script,
};
use json::{Json, Object};

pub use sip_endpoint::Host;

/// Bytes of one answer; callers stop reading there.
pub const SCRIPT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of all cookies of one call, keys and values.
pub const COOKIES_BYTES_MAX: usize = 1024;

/// Which event is answered: decides what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Incoming call.
    Ice,
    /// The callee answered.
    Ace,
}

impl Event {
    /// As in callbacks, upper case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ice => "ICE",
            Self::Ace => "ACE",
        }
    }
}

/// A checked answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What the shard carries out.
    pub script: Script,
    /// `setCookie` instructions, in order.
    pub cookies: Vec<(String, String)>,
    /// The host of `connectSip` that is to be resolved; `None` where there is none, or where it
    /// is an address and the script has its target already.
    pub resolve: Option<Host>,
}

/// Why an answer is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// JSON pointer to the culprit; empty: the document as a whole.
    pub pointer: String,
    /// A sentence for the customer.
    pub why: Cow<'static, str>,
}

impl std::fmt::Display for ScriptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = if self.pointer.is_empty() { "document" } else { &self.pointer };
        write!(f, "{at}: {}", self.why)
    }
}

impl std::error::Error for ScriptError {}

fn error(pointer: impl Into<String>, why: impl Into<Cow<'static, str>>) -> ScriptError {
    ScriptError { pointer: pointer.into(), why: why.into() }
}

/// Whether this build carries a name out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Support {
    Done,
    Missing,
}

struct Known {
    name: &'static str,
    ice: bool,
    ace: bool,
    support: Support,
}

const fn known(name: &'static str, ice: bool, ace: bool, support: Support) -> Known {
    Known { name, ice, ace, support }
}

/// What SVAML allows where.
const ACTIONS: &[Known] = &[
    known("hangup", true, true, Support::Done),
    known("continue", false, true, Support::Done),
    known("connectPstn", true, false, Support::Done),
    known("connectSip", true, false, Support::Done),
    known("connectMxp", true, false, Support::Missing),
    known("connectConf", true, true, Support::Missing),
    known("connectStream", true, false, Support::Missing),
    known("runMenu", true, true, Support::Missing),
    known("park", true, false, Support::Missing),
];

const INSTRUCTIONS: &[Known] = &[
    known("setCookie", true, true, Support::Done),
    known("playFiles", true, true, Support::Missing),
    known("say", true, true, Support::Missing),
    known("sendDtmf", true, false, Support::Missing),
    known("answer", true, false, Support::Missing),
    known("startRecording", true, true, Support::Missing),
    known("stopRecording", true, true, Support::Missing),
];

/// Reads and checks an answer to `event`.
pub fn parse(bytes: &[u8], event: Event) -> Result<Parsed, ScriptError> {
    if bytes.len() > SCRIPT_BYTES_MAX {
        return Err(error("", "an answer has at most 256 KiB"));
    }
    let document = json::parse(bytes).map_err(|why| error("", why))?;
    let Json::Object(document) = &document else {
        return Err(error("", "an answer is a JSON object with an action"));
    };
    let cookies = instructions(document, event)?;
    let action = match document.get("action") {
        Some(Json::Object(action)) => action,
        Some(_) => return Err(error("/action", "an action is one JSON object")),
        None => return Err(error("", "there is no action: exactly one is needed")),
    };
    let name = allowed(ACTIONS, "action", "/action", action, event)?;
    let (action, resolve) = match name {
        "hangup" => (Action::HangUp(hang_up_cause(action)?), None),
        "continue" => (Action::Continue, None),
        "connectPstn" => (Action::ConnectPstn(connect_pstn(action)?), None),
        _ => {
            let (connect, resolve) = connect_sip(action)?;
            (Action::ConnectSip(connect), resolve)
        }
    };
    Ok(Parsed { script: Script { action }, cookies, resolve })
}

fn instructions(document: &Object, event: Event) -> Result<Vec<(String, String)>, ScriptError> {
    let list = match document.get("instructions") {
        None => return Ok(Vec::new()),
        Some(Json::Array(list)) => list,
        Some(_) => return Err(error("/instructions", "instructions are an array")),
    };
    if list.len() > INSTRUCTIONS_MAX {
        let why = format!("an answer has at most {INSTRUCTIONS_MAX} instructions");
        return Err(error("/instructions", why));
    }
    let mut cookies = Vec::new();
    for (index, instruction) in list.iter().enumerate() {
        let at = format!("/instructions/{index}");
        let Json::Object(instruction) = instruction else {
            return Err(error(at, "an instruction is a JSON object"));
        };
        // `setCookie` is the only instruction carried out today; the table refuses the others.
        allowed(INSTRUCTIONS, "instruction", &at, instruction, event)?;
        let key = required(instruction, &at, "key")?;
        let value = required(instruction, &at, "value")?;
        cookies.push((key.to_owned(), value.to_owned()));
    }
    if cookies.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > COOKIES_BYTES_MAX
    {
        return Err(error("/instructions", "cookies have at most 1024 bytes in all"));
    }
    Ok(cookies)
}

/// The canonical name of an action or instruction, once it is known, allowed here and carried out.
fn allowed(
    table: &'static [Known],
    kind: &str,
    at: &str,
    object: &Object,
    event: Event,
) -> Result<&'static str, ScriptError> {
    let name = required(object, at, "name")?;
    let at = format!("{at}/name");
    let Some(known) = table.iter().find(|known| known.name.eq_ignore_ascii_case(name)) else {
        let shown: String = name.chars().take(64).collect();
        return Err(error(at, format!("{shown:?} is no {kind} of SVAML")));
    };
    let permitted = match event {
        Event::Ice => known.ice,
        Event::Ace => known.ace,
    };
    if !permitted {
        let why = format!("{} is not allowed in the answer to {}", known.name, event.name());
        return Err(error(at, why));
    }
    if known.support == Support::Missing {
        return Err(error(at, format!("{} is not carried out by this version", known.name)));
    }
    Ok(known.name)
}

fn hang_up_cause(action: &Object) -> Result<HangUpCause, ScriptError> {
    let at = "/action/hangupCause";
    match whole_number(action, at, "hangupcause")? {
        None | Some(0) => Ok(HangUpCause::Normal),
        Some(1) => Ok(HangUpCause::Busy),
        Some(2) => Ok(HangUpCause::Congestion),
        Some(_) => Err(error(at, "hangupCause is 0 (normal), 1 (busy) or 2 (congestion)")),
    }
}

fn connect_pstn(action: &Object) -> Result<ConnectPstn, ScriptError> {
    for (key, name) in [("amd", "amd"), ("dtmf", "dtmf")] {
        refuse_unless_off(action, key, name)?;
    }
    let number = match string(action, "/action/number", "number")? {
        None | Some("") => None,
        Some(number) => {
            let why = "a number is E.164: an optional +, then 5 to 15 digits, the first not 0";
            Some(e164(number).ok_or_else(|| error("/action/number", why))?)
        }
    };
    Ok(ConnectPstn { number, options: connect_options(action)? })
}

fn connect_sip(action: &Object) -> Result<(ConnectSip, Option<Host>), ScriptError> {
    let destination = match action.get("destination") {
        Some(Json::Object(destination)) => destination,
        Some(_) => return Err(error("/action/destination", "a destination is an object")),
        None => return Err(error("/action", "connectSip needs a destination")),
    };
    let kind = string(destination, "/action/destination/type", "type")?.unwrap_or("sip");
    if !kind.eq_ignore_ascii_case("sip") {
        return Err(error("/action/destination/type", "the type of a destination is \"sip\""));
    }
    let asked = match string(action, "/action/transport", "transport")? {
        None | Some("") => None,
        Some(word) => Some(
            Transport::parse(word)
                .ok_or_else(|| error("/action/transport", "transport is UDP, TCP or TLS"))?,
        ),
    };
    let endpoint = required(destination, "/action/destination", "endpoint")?;
    let parsed = sip_endpoint::parse(endpoint, asked)
        .map_err(|why| error("/action/destination/endpoint", why))?;
    let mut targets = List::new();
    let resolve = match parsed.host.address() {
        Some(address) => {
            targets.push(address);
            None
        }
        None => Some(parsed.host),
    };
    let connect = ConnectSip {
        uri: parsed.uri,
        transport: parsed.transport,
        targets,
        headers: call_headers(action)?,
        options: connect_options(action)?,
    };
    Ok((connect, resolve))
}

fn call_headers(action: &Object) -> Result<PrivateHeaders, ScriptError> {
    let mut headers = PrivateHeaders::default();
    let at = "/action/callHeaders";
    let list = match action.get("callheaders") {
        None => return Ok(headers),
        Some(Json::Array(list)) => list,
        Some(_) => return Err(error(at, "callHeaders is an array of keys and values")),
    };
    for (index, header) in list.iter().enumerate() {
        let at = format!("{at}/{index}");
        let Json::Object(header) = header else {
            return Err(error(at, "a header is an object with key and value"));
        };
        let key = required(header, &at, "key")?;
        let value = string(header, &format!("{at}/value"), "value")?.unwrap_or("");
        headers.push(key, value).map_err(|why| error(at, why.to_string()))?;
    }
    Ok(headers)
}

fn connect_options(action: &Object) -> Result<ConnectOptions, ScriptError> {
    refuse_unless_off(action, "record", "record")?;
    let seconds = |key: &str, name: &str| {
        let at = format!("/action/{name}");
        match whole_number(action, &at, key)? {
            None => Ok(None),
            Some(seconds @ 1..) => match u32::try_from(seconds) {
                Ok(seconds) if seconds <= CALL_SECONDS_MAX => Ok(Some(seconds)),
                _ => Err(error(at, format!("at most {CALL_SECONDS_MAX} seconds"))),
            },
            Some(_) => Err(error(at, "at least one second")),
        }
    };
    let suppress_callbacks = match action.get("suppresscallbacks") {
        None => false,
        Some(Json::Bool(value)) => *value,
        Some(_) => return Err(error("/action/suppressCallbacks", "true or false")),
    };
    Ok(ConnectOptions {
        cli: cli(action)?,
        max_duration: seconds("maxduration", "maxDuration")?,
        dial_timeout: seconds("dialtimeout", "dialTimeout")?,
        suppress_callbacks,
    })
}

fn cli(action: &Object) -> Result<Cli, ScriptError> {
    let at = "/action/cli";
    match string(action, at, "cli")? {
        None | Some("") => Ok(Cli::Caller),
        Some(word) if word.eq_ignore_ascii_case("private") => Ok(Cli::Private),
        // Older clients write `incoming` for the caller's own number.
        Some(word) if word.eq_ignore_ascii_case("incoming") => Ok(Cli::Caller),
        Some(number) => match e164(number) {
            Some(number) => Ok(Cli::Number(number)),
            None => Err(error(at, "cli is a number in E.164, \"private\" or absent")),
        },
    }
}

/// What would change the call in a way that this build cannot, and must therefore not swallow.
fn refuse_unless_off(action: &Object, key: &str, name: &str) -> Result<(), ScriptError> {
    let off = match action.get(key) {
        None | Some(Json::Bool(false)) => true,
        Some(Json::String(text)) => text.is_empty() || text.eq_ignore_ascii_case("false"),
        Some(Json::Object(object)) => {
            matches!(object.get("enabled"), None | Some(Json::Bool(false)))
        }
        Some(_) => false,
    };
    if off {
        return Ok(());
    }
    Err(error(format!("/action/{name}"), format!("{name} is not carried out by this version")))
}

/// `+` and digits of an E.164 number written with or without `+`.
fn e164(number: &str) -> Option<Text<32>> {
    let digits = number.strip_prefix('+').unwrap_or(number);
    let fits = (5..=15).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    if !fits {
        return None;
    }
    let mut out = text::<32>("+")?;
    out.try_push_str(digits).ok()?;
    Some(out)
}

fn required<'j>(object: &'j Object, at: &str, key: &'static str) -> Result<&'j str, ScriptError> {
    let pointer = format!("{at}/{key}");
    match string(object, &pointer, key)? {
        Some(value) if !value.is_empty() => Ok(value),
        Some(_) => Err(error(pointer, format!("{key} is empty"))),
        None => Err(error(at, format!("{key} is missing"))),
    }
}

fn string<'j>(object: &'j Object, at: &str, key: &str) -> Result<Option<&'j str>, ScriptError> {
    match object.get(key) {
        None => Ok(None),
        Some(Json::String(value)) => Ok(Some(value)),
        Some(_) => Err(error(at, "a string is needed")),
    }
}

fn whole_number(object: &Object, at: &str, key: &str) -> Result<Option<i64>, ScriptError> {
    match object.get(key) {
        None => Ok(None),
        Some(Json::Number(number)) => match number.as_i64() {
            Some(number) => Ok(Some(number)),
            None => Err(error(at, "a whole number is needed")),
        },
        Some(_) => Err(error(at, "a number is needed")),
    }
}
