//! The session level of a description, and the walk over its lines.

use std::net::IpAddr;

use super::Fault;
use super::media::{Direction, Media, address};
use crate::base::bounded::List;
use crate::base::limits::{SDP_ATTRIBUTES_MAX, SDP_BYTES_MAX, SDP_MEDIA_MAX};

/// The `o=` line. An unchanged origin says that the description is unchanged (RFC 3264 §8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Who made it.
    pub username: &'a str,
    /// Session id, as written: its numbers may be longer than any integer.
    pub id: &'a str,
    /// Session version, as written.
    pub version: &'a str,
    /// Address or name of the maker's host, as written.
    pub address: &'a str,
}

/// A session description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// Who made it, and which version it is.
    pub origin: Origin<'a>,
    /// Session name.
    pub name: &'a str,
    /// The session's address, for media lines without their own.
    pub connection: Option<IpAddr>,
    /// The session's direction, for media lines without their own.
    pub direction: Direction,
    /// Media lines, in order.
    pub media: List<Media<'a>, SDP_MEDIA_MAX>,
}

impl<'a> Session<'a> {
    /// Reads a description. Line breaks may be CRLF or LF (RFC 8866 §5).
    ///
    /// # Errors
    /// It is no UTF-8, passes a limit, lacks `v=`, `o=` or an address for a media line in use, has
    /// one of these twice, or holds a media line, address, format or attribute that has no
    /// reading. Offsets count from the start of `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        if bytes.len() > SDP_BYTES_MAX {
            return Err(Fault { at: SDP_BYTES_MAX, what: "description too long" });
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Fault { at: error.valid_up_to(), what: "not UTF-8" })?;
        let mut walk = Walk::default();
        let mut at = 0;
        for line in text.split('\n') {
            let body = line.strip_suffix('\r').unwrap_or(line);
            walk.line(body).map_err(|fault| Fault { at: at + fault.at, what: fault.what })?;
            at += line.len() + 1;
        }
        let origin = walk.end().map_err(|what| Fault { at: bytes.len(), what })?;
        // Moved once, because media lines with all their formats are large.
        Ok(Session {
            origin,
            name: walk.name.unwrap_or(""),
            connection: walk.connection,
            direction: walk.direction.unwrap_or_default(),
            media: walk.media,
        })
    }

    /// The first audio line, and its place among the media lines.
    pub fn audio(&self) -> Option<(usize, &Media<'a>)> {
        self.media.iter().enumerate().find(|(_, media)| media.is_audio())
    }
}

/// What has been read so far.
#[derive(Default)]
struct Walk<'a> {
    has_version: bool,
    origin: Option<Origin<'a>>,
    name: Option<&'a str>,
    connection: Option<IpAddr>,
    direction: Option<Direction>,
    media: List<Media<'a>, SDP_MEDIA_MAX>,
    attributes: usize,
    has_ended: bool,
}

impl<'a> Walk<'a> {
    fn line(&mut self, line: &'a str) -> Result<(), Fault> {
        let at = |what| Fault { at: 0, what };
        if line.is_empty() {
            // Only at the end: the piece behind the last line break, or stray empty lines there.
            self.has_ended = true;
            return Ok(());
        }
        if let Some(at) = line.bytes().position(|byte| matches!(byte, 0 | b'\r')) {
            return Err(Fault { at, what: "control byte in a line" });
        }
        let (kind, value) = match line.as_bytes() {
            [kind @ b'a'..=b'z', b'=', ..] if !self.has_ended => (*kind, &line[2..]),
            _ => return Err(at("line is not letter=value")),
        };
        if !self.has_version {
            return match (kind, value) {
                (b'v', "0") => {
                    self.has_version = true;
                    Ok(())
                }
                _ => Err(at("does not begin with v=0")),
            };
        }
        let behind = |fault: Fault| Fault { at: fault.at + 2, what: fault.what };
        match kind {
            b'v' => Err(at("v= twice")),
            b'o' if self.origin.is_some() => Err(at("o= twice")),
            b'o' => {
                self.origin = Some(origin(value).ok_or_else(|| at("o= line has not six fields"))?);
                Ok(())
            }
            b's' if self.name.is_some() => Err(at("s= twice")),
            b's' => {
                self.name = Some(value);
                Ok(())
            }
            b'c' => self.connection(value).map_err(at),
            b'm' => {
                let media = Media::parse(value).map_err(behind)?;
                self.media.try_push(media).map_err(|_| at("too many media lines"))
            }
            b'a' => self.attribute(value).map_err(at),
            _ => Ok(()),
        }
    }

    fn connection(&mut self, value: &str) -> Result<(), &'static str> {
        let slot = match self.media.last_mut() {
            Some(media) => &mut media.connection,
            None => &mut self.connection,
        };
        if slot.is_some() {
            return Err("c= twice");
        }
        *slot = Some(address(value).ok_or("c= is not a unicast IP address")?);
        Ok(())
    }

    fn attribute(&mut self, value: &'a str) -> Result<(), &'static str> {
        self.attributes += 1;
        if self.attributes > SDP_ATTRIBUTES_MAX {
            return Err("too many attributes");
        }
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        if name.is_empty() {
            return Err("attribute without a name");
        }
        match self.media.last_mut() {
            Some(media) => media.attribute(name, value),
            None => {
                self.direction = Direction::parse(name).or(self.direction);
                Ok(())
            }
        }
    }

    /// Hands what the session says down to the media lines; who made it.
    fn end(&mut self) -> Result<Origin<'a>, &'static str> {
        let origin = self.origin.ok_or("no o= line")?;
        let direction = self.direction.unwrap_or_default();
        for line in &mut self.media {
            line.connection = line.connection.or(self.connection);
            line.direction = line.own_direction.unwrap_or(direction);
            if line.is_active() && line.connection.is_none() {
                return Err("no c= line for a media line");
            }
        }
        Ok(origin)
    }
}

fn origin(value: &str) -> Option<Origin<'_>> {
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    let mut word = || words.next();
    let (username, id, version) = (word()?, word()?, word()?);
    let (_network, _family, address) = (word()?, word()?, word()?);
    word().is_none().then_some(Origin { username, id, version, address })
}
