//! Writing session descriptions into a lent buffer.

use std::fmt;
use std::net::IpAddr;

use super::format::Format;
use super::media::{Direction, Media, Protocol};
use crate::wire::sink::{Sink, WriteError};

/// Writes one description: session lines first, then media lines, each followed by its attributes.
#[derive(Debug)]
pub struct Writer<'b> {
    sink: Sink<'b>,
}

impl<'b> Writer<'b> {
    /// Begins a description: `v= o= s= c= t=`. `version` goes up by one with each change (RFC 3264
    /// §8).
    pub fn new(buffer: &'b mut [u8], id: u64, version: u64, address: IpAddr) -> Self {
        let mut writer = Self { sink: Sink::new(buffer) };
        let family = family(address);
        writer.line(format_args!("v=0"));
        writer.line(format_args!("o=- {id} {version} IN {family} {address}"));
        writer.line(format_args!("s=-"));
        writer.line(format_args!("c=IN {family} {address}"));
        writer.line(format_args!("t=0 0"));
        writer
    }

    /// An `m=` line with its formats, their `rtpmap` and `fmtp` lines. What follows is said of it.
    pub fn media(
        &mut self,
        kind: &str,
        port: u16,
        protocol: Protocol<'_>,
        formats: &[Format<'_>],
    ) -> &mut Self {
        if formats.is_empty() || [kind, protocol.name()].iter().any(|word| !is_word(word)) {
            self.sink.fail(WriteError::Unsafe);
        }
        self.sink.put_fmt(format_args!("m={kind} {port} {}", protocol.name()));
        for format in formats {
            self.sink.put_fmt(format_args!(" {}", format.payload_type));
        }
        self.sink.put(b"\r\n");
        for format in formats {
            self.format(format);
        }
        self
    }

    /// An audio line.
    pub fn audio(
        &mut self,
        port: u16,
        protocol: Protocol<'_>,
        formats: &[Format<'_>],
    ) -> &mut Self {
        self.media("audio", port, protocol, formats)
    }

    /// A line of the offer, rejected: the same kind, protocol and formats, with port 0 (RFC 3264
    /// §6).
    pub fn reject(&mut self, offered: &Media<'_>) -> &mut Self {
        self.rejected(offered.kind, offered.protocol.name(), offered.format_text)
    }

    /// A rejected line from its three texts, for offers that are kept in another form.
    pub fn rejected(&mut self, kind: &str, protocol: &str, formats: &str) -> &mut Self {
        self.line(format_args!("m={kind} 0 {protocol} {formats}"))
    }

    /// An address of the media line's own.
    pub fn connection(&mut self, address: IpAddr) -> &mut Self {
        self.line(format_args!("c=IN {} {address}", family(address)))
    }

    /// Milliseconds of media in a packet.
    pub fn ptime(&mut self, milliseconds: u16) -> &mut Self {
        self.line(format_args!("a=ptime:{milliseconds}"))
    }

    /// Most milliseconds of media in a packet.
    pub fn maxptime(&mut self, milliseconds: u16) -> &mut Self {
        self.line(format_args!("a=maxptime:{milliseconds}"))
    }

    /// Who sends.
    pub fn direction(&mut self, direction: Direction) -> &mut Self {
        self.line(format_args!("a={}", direction.name()))
    }

    /// Port for RTCP, and its address where it is another (RFC 3605).
    pub fn rtcp(&mut self, port: u16, address: Option<IpAddr>) -> &mut Self {
        match address {
            Some(address) => {
                self.line(format_args!("a=rtcp:{port} IN {} {address}", family(address)))
            }
            None => self.line(format_args!("a=rtcp:{port}")),
        }
    }

    /// RTP and RTCP share a port (RFC 5761).
    pub fn rtcp_mux(&mut self) -> &mut Self {
        self.line(format_args!("a=rtcp-mux"))
    }

    /// A key for SRTP: the value of `a=crypto` (RFC 4568).
    pub fn crypto(&mut self, value: fmt::Arguments<'_>) -> &mut Self {
        self.line(format_args!("a=crypto:{value}"))
    }

    /// Any other attribute: `name` or `name:value`.
    pub fn attribute(&mut self, attribute: &str) -> &mut Self {
        self.line(format_args!("a={attribute}"))
    }

    /// The description's length.
    ///
    /// # Errors
    /// The first fault of any call on this writer.
    pub fn finish(&mut self) -> Result<usize, WriteError> {
        self.sink.done()
    }

    fn format(&mut self, format: &Format<'_>) {
        let Format { payload_type, encoding, clock, channels, fmtp } = *format;
        if !encoding.is_empty() {
            self.sink.put_fmt(format_args!("a=rtpmap:{payload_type} {encoding}"));
            if clock > 0 {
                self.sink.put_fmt(format_args!("/{clock}"));
            }
            if channels > 1 {
                self.sink.put_fmt(format_args!("/{channels}"));
            }
            self.sink.put(b"\r\n");
        }
        if !fmtp.is_empty() {
            self.line(format_args!("a=fmtp:{payload_type} {fmtp}"));
        }
    }

    fn line(&mut self, line: fmt::Arguments<'_>) -> &mut Self {
        self.sink.put_fmt(line);
        self.sink.put(b"\r\n");
        self
    }
}

const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic())
}
