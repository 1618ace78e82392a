//! The commented file that `carrick init` writes, made from the table of settings.

use std::net::IpAddr;

use super::keys::{self, Key, Kind, Need, Section, wrapped};

const INTRODUCTION: &str = "\
# Carrick's settings. `carrick check --config FILE` says whether the file is sound, `carrick explain
# KEY` says more about a setting. Lines that begin with # and a blank are words; those that begin
# with # alone are settings with their default, or an example.
";

/// The file for an edge of that host name and media address. It passes [`super::Config::parse`]
/// as it is, and also with every setting uncommented that fits the host.
pub fn template(host: &str, media: IpAddr) -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in keys::sections().filter(|section| section.is_top()) {
        text.push_str(&format!("\n# {}\n", wrapped(section.doc, "# ")));
        let comment = if section.repeated { "#" } else { "" };
        text.push_str(&format!("{comment}{}\n", section.header()));
        for key in section.keys {
            setting(&mut text, section, key, host, media);
        }
    }
    text
}

fn setting(text: &mut String, section: &Section, key: &Key, host: &str, media: IpAddr) {
    let need = match key.need {
        Need::Required => " Required.".to_owned(),
        Need::Optional => String::new(),
        Need::Default(value) => format!(" Default: {value}."),
    };
    let form = match key.kind {
        Kind::Integer { .. } | Kind::Choice(_) => format!(" {}.", capitalised(key.kind)),
        _ => String::new(),
    };
    let words = format!("{}{form}{need}", key.doc);
    text.push_str(&format!("# {}\n", wrapped(&words, "# ")));
    let chosen = match (section.path, key.name) {
        ("edge", "host") => Some(format!("{host:?}")),
        ("media", "addresses") => Some(format!("[\"{media}\"]")),
        ("sip", "listen") => Some(listen(media)),
        ("media", "ports") => Some("\"10000-20000\"".to_owned()),
        _ => None,
    };
    match chosen {
        Some(value) => text.push_str(&format!("{} = {value}\n", key.name)),
        None => {
            let value = match key.need {
                Need::Default(value) if !section.repeated => value,
                _ => key.example,
            };
            text.push_str(&format!("#{} = {value}\n", key.name));
        }
    }
}

fn listen(media: IpAddr) -> String {
    let any = if media.is_ipv4() { "0.0.0.0" } else { "[::]" };
    format!("[\"udp://{any}:5060\", \"tcp://{any}:5060\"]")
}

fn capitalised(kind: Kind) -> String {
    let words = kind.to_string();
    let mut characters = words.chars();
    let first = characters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
