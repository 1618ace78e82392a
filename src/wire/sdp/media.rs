//! One media line and the attributes under it.

use std::net::IpAddr;

use super::Fault;
use super::format::Format;
use crate::base::bounded::List;
use crate::base::limits::SDP_FORMATS_MAX;

/// Most `a=crypto` lines of one media line.
pub const CRYPTO_MAX: usize = 8;
/// Most bytes of a media kind's name.
const KIND_BYTES_MAX: usize = 32;

/// Who sends (RFC 3264 §5.1), seen from the describing side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both sides send; what is meant where nothing is said.
    #[default]
    SendRecv,
    /// Only the describing side sends.
    SendOnly,
    /// Only the other side sends.
    RecvOnly,
    /// Nobody sends.
    Inactive,
}

impl Direction {
    /// The attribute's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| direction.name() == name)
    }

    /// Whether the describing side sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the describing side receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same stream seen from the other side.
    pub const fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            same => same,
        }
    }

    /// The direction in which the describing side sends and receives as told.
    pub const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }
}

/// The transport of a media line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol<'a> {
    /// `RTP/AVP`
    RtpAvp,
    /// `RTP/AVPF`
    RtpAvpf,
    /// `RTP/SAVP`
    RtpSavp,
    /// `RTP/SAVPF`
    RtpSavpf,
    /// Any other, as written.
    Other(&'a str),
}

impl<'a> Protocol<'a> {
    /// Reads a protocol field.
    pub fn parse(text: &'a str) -> Self {
        [Self::RtpAvp, Self::RtpAvpf, Self::RtpSavp, Self::RtpSavpf]
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(text))
            .unwrap_or(Self::Other(text))
    }

    /// The field, as on the wire.
    pub const fn name(self) -> &'a str {
        match self {
            Self::RtpAvp => "RTP/AVP",
            Self::RtpAvpf => "RTP/AVPF",
            Self::RtpSavp => "RTP/SAVP",
            Self::RtpSavpf => "RTP/SAVPF",
            Self::Other(name) => name,
        }
    }

    /// Whether this is one of the four RTP profiles that Carrick speaks.
    pub const fn is_rtp(self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Whether media is encrypted with keys from `a=crypto` lines.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::RtpSavp | Self::RtpSavpf)
    }
}

/// A media line and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// `audio`, `video`, `image` ...
    pub kind: &'a str,
    /// Port; 0 rejects the line in an answer, and offers nothing in an offer.
    pub port: u16,
    /// Consecutive port pairs; 1 where nothing is said.
    pub port_count: u16,
    /// Transport.
    pub protocol: Protocol<'a>,
    /// The formats as written, also of a protocol that is not RTP.
    pub format_text: &'a str,
    /// The formats of an RTP line, most wanted first; empty for other protocols.
    pub formats: List<Format<'a>, SDP_FORMATS_MAX>,
    /// Where media goes: the line's own address, else the session's.
    pub connection: Option<IpAddr>,
    /// The line's own direction, else the session's.
    pub direction: Direction,
    /// Port and address for RTCP, where they are not the usual ones (RFC 3605).
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    /// Whether RTP and RTCP may share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Milliseconds of media in a packet, as asked.
    pub ptime: Option<u16>,
    /// Most milliseconds of media in a packet.
    pub maxptime: Option<u16>,
    /// `a=crypto` values, as written (RFC 4568).
    pub crypto: List<&'a str, CRYPTO_MAX>,
    pub(super) own_direction: Option<Direction>,
}

impl<'a> Media<'a> {
    /// Reads the value of an `m=` line.
    pub(super) fn parse(value: &'a str) -> Result<Self, Fault> {
        let mut words = value.splitn(4, ' ');
        let mut word = || words.next().filter(|word| !word.is_empty());
        let (Some(kind), Some(port), Some(protocol), Some(format_text)) =
            (word(), word(), word(), word())
        else {
            return Err(Fault { at: 0, what: "m= line is not kind, port, protocol, formats" });
        };
        if kind.len() > KIND_BYTES_MAX || !kind.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Fault { at: 0, what: "bad media kind" });
        }
        let bad_port = Fault { at: kind.len() + 1, what: "bad port" };
        let (port, count) = port.split_once('/').unwrap_or((port, "1"));
        let port = number(port).ok_or(bad_port)?;
        let port_count = number(count).filter(|count| *count > 0).ok_or(bad_port)?;
        let protocol = Protocol::parse(protocol);
        let formats_at = value.len() - format_text.len();
        let formats = match protocol.is_rtp() {
            true => formats(format_text).map_err(|what| Fault { at: formats_at, what })?,
            false => List::new(),
        };
        Ok(Self {
            kind,
            port,
            port_count,
            protocol,
            format_text,
            formats,
            connection: None,
            direction: Direction::SendRecv,
            rtcp: None,
            rtcp_mux: false,
            ptime: None,
            maxptime: None,
            crypto: List::new(),
            own_direction: None,
        })
    }

    /// Reads an attribute under this line. Those that mean nothing to Carrick are passed over.
    pub(super) fn attribute(&mut self, name: &'a str, value: &'a str) -> Result<(), &'static str> {
        match name {
            "rtpmap" => self.rtpmap(value),
            "fmtp" => {
                let (kind, text) = value.split_once(' ').ok_or("bad fmtp")?;
                if let Some(format) = self.format_of(kind)
                    && format.fmtp.is_empty()
                {
                    format.fmtp = text.trim();
                }
                Ok(())
            }
            "ptime" => milliseconds(value).map(|time| self.ptime = time),
            "maxptime" => milliseconds(value).map(|time| self.maxptime = time),
            "rtcp" => {
                self.rtcp = Some(rtcp(value).ok_or("bad rtcp")?);
                Ok(())
            }
            "rtcp-mux" => {
                self.rtcp_mux = true;
                Ok(())
            }
            "crypto" => self.crypto.try_push(value).map_err(|_| "too many crypto lines"),
            _ => {
                if let Some(direction) = Direction::parse(name) {
                    self.own_direction = Some(direction);
                }
                Ok(())
            }
        }
    }

    fn rtpmap(&mut self, value: &'a str) -> Result<(), &'static str> {
        let (kind, map) = value.split_once(' ').ok_or("bad rtpmap")?;
        let Some(format) = self.format_of(kind) else { return Ok(()) };
        let mut parts = map.trim().split('/');
        let encoding = parts.next().filter(|name| !name.is_empty()).ok_or("bad rtpmap")?;
        // A format without a clock (RFC 4475's own `LPC`) is one that cannot be chosen.
        let clock = match parts.next() {
            Some(clock) => clock.parse().ok().filter(|clock| *clock > 0).ok_or("bad clock rate")?,
            None => 0,
        };
        let channels = match parts.next() {
            Some(count) => count.parse().ok().filter(|count| *count > 0).ok_or("bad channels")?,
            None => 1,
        };
        (format.encoding, format.clock, format.channels) = (encoding, clock, channels);
        Ok(())
    }

    fn format_of(&mut self, payload_type: &str) -> Option<&mut Format<'a>> {
        let payload_type: u8 = number(payload_type)?.try_into().ok()?;
        self.formats.iter_mut().find(|format| format.payload_type == payload_type)
    }

    /// The format with this payload type.
    pub fn format(&self, payload_type: u8) -> Option<&Format<'a>> {
        self.formats.iter().find(|format| format.payload_type == payload_type)
    }

    /// Whether this is an audio line.
    pub fn is_audio(&self) -> bool {
        self.kind == "audio"
    }

    /// Whether the line is in use: its port is not 0.
    pub const fn is_active(&self) -> bool {
        self.port != 0
    }

    /// Whether the address is `0.0.0.0` (or `::`), which in old equipment means hold.
    pub fn is_address_hold(&self) -> bool {
        self.connection.is_some_and(|address| address.is_unspecified())
    }

    /// The direction with the old form of hold counted in: a side with no address receives
    /// nothing (RFC 3264 §8.4).
    pub fn effective_direction(&self) -> Direction {
        let receives = self.direction.receives() && !self.is_address_hold();
        Direction::of(self.direction.sends(), receives)
    }

    /// Where RTCP goes: as said, else the RTP port when shared, else the port above it (RFC 3550
    /// §11). `None` where there is no address, or no such port.
    pub fn rtcp_target(&self) -> Option<(IpAddr, u16)> {
        let address = self.connection?;
        match self.rtcp {
            _ if self.rtcp_mux => Some((address, self.port)),
            Some((port, own)) => Some((own.unwrap_or(address), port)),
            None => Some((address, self.port.checked_add(1)?)),
        }
    }
}

fn formats(text: &str) -> Result<List<Format<'_>, SDP_FORMATS_MAX>, &'static str> {
    let mut formats: List<Format<'_>, SDP_FORMATS_MAX> = List::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let payload_type = number(word).and_then(|number| u8::try_from(number).ok());
        let payload_type = payload_type.filter(|kind| *kind < 128).ok_or("bad payload type")?;
        if formats.iter().any(|format| format.payload_type == payload_type) {
            return Err("payload type twice");
        }
        formats.try_push(Format::of_type(payload_type)).map_err(|_| "too many formats")?;
    }
    if formats.is_empty() { Err("no formats") } else { Ok(formats) }
}

fn rtcp(value: &str) -> Option<(u16, Option<IpAddr>)> {
    let mut words = value.splitn(2, ' ');
    let port = number(words.next()?).filter(|port| *port > 0)?;
    let address = match words.next() {
        Some(connection) => Some(address(connection)?),
        None => None,
    };
    Some((port, address))
}

/// A time in milliseconds: digits, perhaps with a fraction, which is dropped.
fn milliseconds(value: &str) -> Result<Option<u16>, &'static str> {
    let whole = value.trim().split('.').next().unwrap_or("");
    match number(whole) {
        Some(0) => Err("packet time of zero"),
        time => Ok(time),
    }
}

/// Digits only: no sign, no white space.
pub(super) fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `IN IP4 address` or `IN IP6 address`; an address and no name, and no multicast scope.
pub(super) fn address(value: &str) -> Option<IpAddr> {
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    let (network, family, address) = (words.next()?, words.next()?, words.next()?);
    let address: IpAddr = address.parse().ok()?;
    let family_fits = match address {
        IpAddr::V4(_) => family == "IP4",
        IpAddr::V6(_) => family == "IP6",
    };
    (network == "IN" && family_fits && words.next().is_none()).then_some(address)
}
