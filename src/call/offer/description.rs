//! What a peer said about its media, owned and bounded: one audio line in full, of the others
//! only what refusing them takes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::OfferError;
use super::codec::same_codec;
use crate::base::bounded::{List, Text};
use crate::base::limits::{SDP_FORMATS_MAX, SDP_MEDIA_MAX};
use crate::wire::sdp::Direction;

/// Bytes of all names, parameters and foreign media lines of one description. A format that does
/// not fit is left out, as if its peer had not offered it.
const TEXT_BYTES_MAX: usize = 768;

/// Transport protocol of the audio line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `RTP/AVP`: what is bridged.
    Avp,
    /// `RTP/SAVP` or `RTP/SAVPF`: SRTP, by keys in the description or by DTLS.
    Savp,
    /// Any other.
    Other,
}

/// One format, borrowed from its description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatView<'d> {
    /// RTP payload type.
    pub payload_type: u8,
    /// Encoding name.
    pub name: &'d str,
    /// Clock rate in Hz.
    pub clock: u32,
    /// Channels, at least one.
    pub channels: u8,
    /// Format parameters; empty where there are none.
    pub fmtp: &'d str,
}

/// Place of a piece of text in the description's arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u16,
    length: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    payload_type: u8,
    channels: u8,
    clock: u32,
    name: Span,
    fmtp: Span,
}

/// What a peer said.
#[derive(Clone, Debug)]
pub struct Description {
    /// Session id and version of the o= line; zero where they are no 64-bit numbers.
    pub origin: (u64, u64),
    /// Address of the audio line.
    pub address: IpAddr,
    /// RTP port; zero: the line is refused or switched off.
    pub rtp_port: u16,
    /// What `a=rtcp` says, if anything (RFC 3605).
    pub rtcp: Option<SocketAddr>,
    /// Whether RTCP may come and go on the RTP port.
    pub mux: bool,
    /// Milliseconds of audio in a packet, where the peer wishes it.
    pub ptime: Option<u16>,
    /// The most milliseconds of audio in a packet.
    pub maxptime: Option<u16>,
    /// Transport protocol of the audio line.
    pub protocol: Protocol,
    /// Direction as written; see [`Description::direction`].
    pub(super) stated: Direction,
    formats: List<Format, SDP_FORMATS_MAX>,
    /// All media lines in order: kind, protocol and first format, as one text.
    lines: List<Span, SDP_MEDIA_MAX>,
    /// Which of them is the audio line.
    pub(super) audio: u8,
    text: Text<TEXT_BYTES_MAX>,
}

// A call keeps one of each peer, and a few more while an exchange is under way.
const _: () = assert!(size_of::<Description>() <= 1536);

impl Default for Description {
    fn default() -> Self {
        Self {
            origin: (0, 0),
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            rtp_port: 0,
            rtcp: None,
            mux: false,
            ptime: None,
            maxptime: None,
            protocol: Protocol::Other,
            stated: Direction::SendRecv,
            formats: List::new(),
            lines: List::new(),
            audio: 0,
            text: Text::new(),
        }
    }
}

impl Description {
    /// Adds a format. `false`: there is no room for it.
    pub(super) fn push_format(&mut self, format: &FormatView<'_>) -> bool {
        if self.formats.is_full() {
            return false;
        }
        let length = self.text.len();
        let (Some(name), Some(fmtp)) = (self.keep(&[format.name]), self.keep(&[format.fmtp]))
        else {
            self.text.truncate(length);
            return false;
        };
        let FormatView { payload_type, channels, clock, .. } = *format;
        self.formats.push(Format { payload_type, channels, clock, name, fmtp });
        true
    }

    /// Adds a media line; its three texts have no blanks. `false`: there is no room for it.
    pub(super) fn push_line(&mut self, kind: &str, protocol: &str, format: &str) -> bool {
        if self.lines.is_full() {
            return false;
        }
        let line = self.keep(&[kind, " ", protocol, " ", format]);
        line.map(|line| self.lines.push(line)).is_some()
    }

    /// The audio line's formats, in order of preference.
    pub fn formats(&self) -> impl ExactSizeIterator<Item = FormatView<'_>> + Clone {
        self.formats.iter().map(|format| self.view(format))
    }

    /// The format at a place in the order.
    pub fn format(&self, place: usize) -> Option<FormatView<'_>> {
        self.formats.get(place).map(|format| self.view(format))
    }

    /// Kind, protocol and first format of the media lines in order, with `true` at the audio line.
    pub(super) fn lines(&self) -> impl Iterator<Item = ([&str; 3], bool)> {
        let audio = usize::from(self.audio);
        self.lines.iter().enumerate().map(move |(i, line)| {
            let mut words = self.piece(*line).splitn(3, ' ');
            let texts = std::array::from_fn(|_| words.next().unwrap_or(""));
            (texts, i == audio)
        })
    }

    /// Who sends, seen from the peer. An unspecified address (`c=IN IP4 0.0.0.0`) is the older
    /// way to say that the peer receives nothing (RFC 3264 §8.4).
    pub fn direction(&self) -> Direction {
        let receives = self.stated.receives() && !self.address.is_unspecified();
        Direction::of(self.stated.sends(), receives)
    }

    /// Whether the peer has the other side on hold: it takes no media.
    pub fn is_hold(&self) -> bool {
        !self.direction().receives()
    }

    /// Where the peer takes RTP.
    pub const fn rtp_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.rtp_port)
    }

    /// Whether both say the same about media, whatever their o= lines say: a session refresh.
    pub fn same_media(&self, other: &Self) -> bool {
        let transport = |d: &Self| (d.address, d.rtp_port, d.rtcp, d.mux, d.protocol);
        let manner = |d: &Self| (d.stated, d.ptime, d.maxptime, d.audio);
        transport(self) == transport(other)
            && manner(self) == manner(other)
            && self.formats().eq(other.formats())
            && self.lines().eq(other.lines())
    }

    /// That the description has a live audio line in plain RTP.
    pub fn require_plain_audio(&self) -> Result<(), OfferError> {
        if self.protocol != Protocol::Avp {
            return Err(OfferError::not_acceptable(302, "only RTP/AVP is bridged"));
        }
        if self.rtp_port == 0 {
            return Err(OfferError::not_acceptable(304, "the audio line is refused"));
        }
        Ok(())
    }

    /// Place of the first format that is the same codec as `format` and that `free` admits.
    pub(super) fn find(
        &self,
        format: &FormatView<'_>,
        free: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut places = self.formats().enumerate();
        places.find(|(place, other)| free(*place) && same_codec(other, format)).map(|(i, _)| i)
    }

    fn view(&self, format: &Format) -> FormatView<'_> {
        FormatView {
            payload_type: format.payload_type,
            name: self.piece(format.name),
            clock: format.clock,
            channels: format.channels,
            fmtp: self.piece(format.fmtp),
        }
    }

    fn piece(&self, span: Span) -> &str {
        let start = usize::from(span.start);
        self.text.get(start..start + usize::from(span.length)).unwrap_or("")
    }

    fn keep(&mut self, parts: &[&str]) -> Option<Span> {
        let start = self.text.len();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > self.text.remaining_capacity() {
            return None;
        }
        parts.iter().for_each(|part| self.text.push_str(part));
        Some(Span { start: u16::try_from(start).ok()?, length: u16::try_from(length).ok()? })
    }
}
