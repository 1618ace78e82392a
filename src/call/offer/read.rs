//! From the bytes of a session description (RFC 8866) to the model. Strict about structure, since
//! a description that two readers read differently is a way past one of them; indifferent to
//! lines that bridging audio does not need.

use std::net::{IpAddr, SocketAddr};

use super::OfferError;
use super::codec::static_format;
use super::description::{Description, Direction, FormatView, Protocol};
use crate::base::bounded::List;
use crate::base::limits::{SDP_ATTRIBUTES_MAX, SDP_BYTES_MAX, SDP_FORMATS_MAX, SDP_MEDIA_MAX};

const fn malformed(text: &'static str) -> OfferError {
    OfferError { status: 400, warning: 399, text }
}

impl Description {
    /// Reads the body of a request or response. `content_type` is the header's value; bodies of
    /// other types than `application/sdp` are 415. 400 where the text breaks its grammar, 488
    /// where it is well-formed but exceeds a bound or has no audio that could be bridged. A
    /// description with SRTP only, or with a refused audio line, is read all the same:
    /// [`Description::require_plain_audio`] tells.
    pub fn parse(body: &[u8], content_type: &str) -> Result<Self, OfferError> {
        let media_type = content_type.split_once(';').map_or(content_type, |(value, _)| value);
        if !media_type.trim().eq_ignore_ascii_case("application/sdp") {
            let text = "only application/sdp is read";
            return Err(OfferError { status: 415, warning: 399, text });
        }
        let text = checked(body)?;
        let (session, media) = text.split_at(text.find("\nm=").map_or(text.len(), |at| at + 1));
        let mut description = Self::default();
        description.origin = origin(session)?;
        let (section, line) = choose(media, &mut description)?;
        description.protocol = line.protocol();
        description.rtp_port = line.port;
        description.read_transport(session, section)?;
        description.read_formats(section, line.formats)?;
        Ok(description)
    }

    fn read_transport(&mut self, session: &str, section: &str) -> Result<(), OfferError> {
        let connection = first(section, 'c').or_else(|| first(session, 'c'));
        match connection {
            Some(value) => self.address = address(value)?,
            None if self.rtp_port == 0 => {}
            None => return Err(malformed("the audio line has no c= line")),
        }
        let direction = direction(section).or_else(|| direction(session));
        self.stated = direction.unwrap_or_default();
        self.mux = attributes(section).any(|attribute| attribute == ("rtcp-mux", ""));
        if let Some((_, value)) = attributes(section).find(|(name, _)| *name == "rtcp") {
            self.rtcp = Some(rtcp(value, self.address)?);
        }
        let milliseconds = |wanted| {
            let (_, value) = attributes(section).find(|(name, _)| *name == wanted)?;
            // A wish that makes no sense is none.
            value.trim().parse().ok().filter(|ms| (1..=1000).contains(ms))
        };
        (self.ptime, self.maxptime) = (milliseconds("ptime"), milliseconds("maxptime"));
        Ok(())
    }

    fn read_formats(&mut self, section: &str, list: &str) -> Result<(), OfferError> {
        let mut seen: u128 = 0;
        for (count, number) in list.split_ascii_whitespace().enumerate() {
            if count == SDP_FORMATS_MAX {
                return Err(OfferError::not_acceptable(305, "too many formats"));
            }
            let payload_type: u8 = match number.parse() {
                Ok(n @ 0..=127) => n,
                _ if self.protocol == Protocol::Other => return Ok(()),
                _ => return Err(malformed("a payload type is no number up to 127")),
            };
            if seen & 1 << payload_type != 0 {
                continue;
            }
            seen |= 1 << payload_type;
            let (name, clock, channels) = match of_format(section, "rtpmap", payload_type) {
                Some(value) => rtpmap(value)?,
                None => match static_format(payload_type) {
                    Some(format) => format,
                    // A number that nobody explains means nothing.
                    None => continue,
                },
            };
            let fmtp = of_format(section, "fmtp", payload_type).unwrap_or("");
            // What exceeds the model's room is as good as not offered.
            let _ = self.push_format(&FormatView { payload_type, name, clock, channels, fmtp });
        }
        Ok(())
    }
}

/// The text, with the structure that all lines share: CRLF or LF, `x=value`, no control
/// characters, within the bounds.
fn checked(body: &[u8]) -> Result<&str, OfferError> {
    if body.len() > SDP_BYTES_MAX {
        return Err(OfferError::not_acceptable(399, "the description is too long"));
    }
    let text = str::from_utf8(body).map_err(|_| malformed("the description is not UTF-8"))?;
    let mut attributes = 0;
    for (i, line) in text.strip_suffix('\n').unwrap_or(text).split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (kind, value) = line.split_once('=').unwrap_or(("", ""));
        if kind.len() != 1 || !kind.as_bytes()[0].is_ascii_lowercase() {
            return Err(malformed("a line is not of the form x=value"));
        }
        if i == 0 && line != "v=0" {
            return Err(malformed("the first line is not v=0"));
        }
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(malformed("a line has a control character"));
        }
        attributes += usize::from(kind == "a");
    }
    if attributes > SDP_ATTRIBUTES_MAX {
        return Err(OfferError::not_acceptable(399, "too many attributes"));
    }
    Ok(text)
}

/// A media line.
#[derive(Clone, Copy)]
struct MediaLine<'a> {
    kind: &'a str,
    port: u16,
    protocol: &'a str,
    formats: &'a str,
}

impl<'a> MediaLine<'a> {
    fn parse(value: &'a str) -> Result<Self, OfferError> {
        let wrong = malformed("a media line has not kind, port, protocol and formats");
        let mut parts = value.splitn(4, ' ');
        let mut part = || parts.next().filter(|part| !part.is_empty()).ok_or(wrong);
        let (kind, port, protocol, formats) = (part()?, part()?, part()?, part()?);
        if port.contains('/') {
            return Err(OfferError::not_acceptable(399, "a media line has several ports"));
        }
        let port = number(port).ok_or(malformed("a media port is no number up to 65535"))?;
        let slashes = |text: &str| text.split('/').all(is_token);
        if !is_token(kind) || !slashes(protocol) {
            return Err(wrong);
        }
        Ok(Self { kind, port, protocol, formats })
    }

    fn protocol(&self) -> Protocol {
        match self.protocol {
            p if p.eq_ignore_ascii_case("RTP/AVP") => Protocol::Avp,
            p if p.eq_ignore_ascii_case("RTP/SAVP") => Protocol::Savp,
            p if p.eq_ignore_ascii_case("RTP/SAVPF") => Protocol::Savp,
            p if p.eq_ignore_ascii_case("UDP/TLS/RTP/SAVP") => Protocol::Savp,
            p if p.eq_ignore_ascii_case("UDP/TLS/RTP/SAVPF") => Protocol::Savp,
            _ => Protocol::Other,
        }
    }

    /// How much the line recommends itself as the one to bridge; zero: not audio.
    fn merit(&self) -> u8 {
        match (self.kind, self.port, self.protocol()) {
            ("audio", 1.., Protocol::Avp) => 4,
            ("audio", 1.., Protocol::Savp) => 3,
            ("audio", 1.., Protocol::Other) => 2,
            ("audio", 0, _) => 1,
            _ => 0,
        }
    }
}

/// Notes all media lines and picks the one to bridge, with its section. The first of the best.
fn choose<'a>(
    media: &'a str,
    description: &mut Description,
) -> Result<(&'a str, MediaLine<'a>), OfferError> {
    let mut starts: List<usize, SDP_MEDIA_MAX> = List::new();
    let mut at = 0;
    for line in media.split_inclusive('\n') {
        if line.starts_with("m=") && starts.try_push(at).is_err() {
            return Err(OfferError::not_acceptable(304, "too many media lines"));
        }
        at += line.len();
    }
    let mut best: Option<(&str, MediaLine<'_>)> = None;
    for (place, start) in (0u8..).zip(&starts) {
        let end = starts.get(usize::from(place) + 1).copied().unwrap_or(media.len());
        let section = media.get(*start..end).unwrap_or("");
        let line = MediaLine::parse(first(section, 'm').unwrap_or(""))?;
        let format = line.formats.split_ascii_whitespace().next().filter(|f| is_token(f));
        let format = format.ok_or(malformed("a media line has no format"))?;
        if !description.push_line(line.kind, line.protocol, format) {
            return Err(OfferError::not_acceptable(304, "the media lines are too long"));
        }
        if line.merit() > best.map_or(0, |(_, line)| line.merit()) {
            best = Some((section, line));
            description.audio = place;
        }
    }
    best.ok_or(OfferError::not_acceptable(304, "there is no audio line"))
}

/// Values of all lines of one kind.
fn values(section: &str, kind: char) -> impl Iterator<Item = &str> {
    section.lines().filter_map(move |line| line.strip_prefix(kind)?.strip_prefix('='))
}

fn first(section: &str, kind: char) -> Option<&str> {
    values(section, kind).next()
}

/// Names and values of all attributes.
fn attributes(section: &str) -> impl Iterator<Item = (&str, &str)> {
    values(section, 'a').map(|value| value.split_once(':').unwrap_or((value, "")))
}

/// The value of `a=name:payload value`.
fn of_format<'a>(section: &'a str, wanted: &str, payload_type: u8) -> Option<&'a str> {
    attributes(section).find_map(|(name, value)| {
        let (format, rest) = value.split_once(' ').filter(|_| name == wanted)?;
        (format.parse() == Ok(payload_type)).then(|| rest.trim())
    })
}

/// Session id and version: `username id version IN IP4 address`.
fn origin(session: &str) -> Result<(u64, u64), OfferError> {
    let value = first(session, 'o').ok_or(malformed("there is no o= line"))?;
    let mut words = value.split_ascii_whitespace().skip(1);
    let (Some(id), Some(version)) = (words.next(), words.next()) else {
        return Err(malformed("the o= line is incomplete"));
    };
    // Some peers write ids that are no 64-bit numbers; nothing depends on them.
    Ok((id.parse().unwrap_or(0), version.parse().unwrap_or(0)))
}

fn direction(section: &str) -> Option<Direction> {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    let all = [SendRecv, SendOnly, RecvOnly, Inactive];
    attributes(section).find_map(|(name, _)| all.into_iter().find(|d| d.word() == name))
}

/// `IN IP4 192.0.2.1`. Names are refused: whoever controls the name server would move the media
/// after it was judged.
fn address(value: &str) -> Result<IpAddr, OfferError> {
    let mut words = value.split_ascii_whitespace();
    let (Some("IN"), Some(family), Some(host), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(OfferError::not_acceptable(300, "a c= line is not of the Internet"));
    };
    match (family, host.parse()) {
        ("IP4", Ok(address @ IpAddr::V4(_))) | ("IP6", Ok(address @ IpAddr::V6(_))) => Ok(address),
        _ => Err(OfferError::not_acceptable(301, "a media address is no address of its family")),
    }
}

/// `port`, or `port IN IP4 address` (RFC 3605).
fn rtcp(value: &str, address_of_rtp: IpAddr) -> Result<SocketAddr, OfferError> {
    let (port, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    let port = number(port).filter(|port| *port != 0);
    let port = port.ok_or(malformed("an a=rtcp line has no port"))?;
    let address = if rest.is_empty() { address_of_rtp } else { address(rest)? };
    Ok(SocketAddr::new(address, port))
}

/// `name/clock` or `name/clock/channels`.
fn rtpmap(value: &str) -> Result<(&str, u32, u8), OfferError> {
    let wrong = malformed("an a=rtpmap line has not name and clock rate");
    let mut parts = value.split('/');
    let (Some(name), Some(clock)) = (parts.next(), parts.next()) else { return Err(wrong) };
    let channels = parts.next().unwrap_or("1");
    let clock = number(clock).filter(|clock| (1..=192_000).contains(clock));
    let channels = number(channels).filter(|channels| *channels > 0);
    match (clock, channels, parts.next()) {
        (Some(clock), Some(channels), None) if is_token(name) => Ok((name, clock, channels)),
        _ => Err(wrong),
    }
}

/// Digits only: no sign, no white space.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `token` of RFC 8866 §9.
fn is_token(text: &str) -> bool {
    let other = |byte| b"!#$%&'*+-.^_`{|}~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || other(byte))
}
