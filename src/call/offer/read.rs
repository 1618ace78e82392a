//! From the bytes of a session description to the model.

use std::net::{IpAddr, SocketAddr};

use super::OfferError;
use super::description::{Description, FormatView, Protocol};
use crate::wire::sdp::{Fault, Media, Protocol as WireProtocol, Session};

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
        let session = Session::parse(body).map_err(refusal)?;
        let mut description = Self::default();
        let number = |text: &str| text.parse().unwrap_or(0);
        description.origin = (number(session.origin.id), number(session.origin.version));
        for media in &session.media {
            description.note(media)?;
        }
        let (place, audio) = choose(&session)?;
        description.audio = place;
        description.read(audio)?;
        Ok(description)
    }

    /// Keeps what refusing the line takes: its first format stands for all.
    fn note(&mut self, media: &Media<'_>) -> Result<(), OfferError> {
        let format = media.format_text.split(' ').find(|word| !word.is_empty()).unwrap_or("0");
        let words = [media.kind, media.protocol.name(), format];
        if words.iter().any(|word| !word.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(malformed("a media line has a character that belongs in none"));
        }
        if !self.push_line(media.kind, media.protocol.name(), format) {
            return Err(OfferError::not_acceptable(304, "the media lines are too long"));
        }
        Ok(())
    }

    fn read(&mut self, audio: &Media<'_>) -> Result<(), OfferError> {
        if audio.port_count > 1 {
            return Err(OfferError::not_acceptable(399, "the audio line has several ports"));
        }
        self.protocol = protocol(audio.protocol);
        self.rtp_port = audio.port;
        if let Some(address) = audio.connection {
            self.address = address;
        }
        let rtcp =
            |(port, own): (u16, Option<IpAddr>)| SocketAddr::new(own.unwrap_or(self.address), port);
        self.rtcp = audio.rtcp.map(rtcp);
        self.mux = audio.rtcp_mux;
        self.stated = audio.direction;
        // A wish that makes no sense is none.
        let sensible = |ms: Option<u16>| ms.filter(|ms| *ms <= 1000);
        (self.ptime, self.maxptime) = (sensible(audio.ptime), sensible(audio.maxptime));
        for format in &audio.formats {
            // A number that nobody explains means nothing, and what would break a line when it is
            // written again, or exceeds the model's room, is as good as not offered.
            let fmtp_is_text = !format.fmtp.chars().any(char::is_control);
            if is_token(format.encoding) && format.clock > 0 && fmtp_is_text {
                let _ = self.push_format(&FormatView {
                    payload_type: format.payload_type,
                    name: format.encoding,
                    clock: format.clock,
                    channels: format.channels,
                    fmtp: format.fmtp,
                });
            }
        }
        Ok(())
    }
}

const fn malformed(text: &'static str) -> OfferError {
    OfferError { status: 400, warning: 399, text }
}

/// Bounds and foreign address forms are well-formed, only not acceptable; all else is malformed.
fn refusal(fault: Fault) -> OfferError {
    match fault.what {
        // A name too: whoever controls its server would move the media after it was judged.
        "c= is not a unicast IP address" => OfferError::not_acceptable(301, fault.what),
        what if what.starts_with("too many") || what.ends_with("too long") => {
            OfferError::not_acceptable(399, what)
        }
        what => malformed(what),
    }
}

fn protocol(protocol: WireProtocol<'_>) -> Protocol {
    match protocol {
        WireProtocol::RtpAvp => Protocol::Avp,
        WireProtocol::RtpSavp | WireProtocol::RtpSavpf => Protocol::Savp,
        WireProtocol::Other(name) if name.contains("RTP/SAVP") => Protocol::Savp,
        WireProtocol::RtpAvpf | WireProtocol::Other(_) => Protocol::Other,
    }
}

/// The audio line to bridge: a live one before a refused one, plain RTP before SRTP before what
/// is neither; the first of the best.
fn choose<'s, 'a>(session: &'s Session<'a>) -> Result<(u8, &'s Media<'a>), OfferError> {
    let merit = |media: &Media<'_>| match (media.port, protocol(media.protocol)) {
        (0, _) => 0,
        (_, Protocol::Other) => 1,
        (_, Protocol::Savp) => 2,
        (_, Protocol::Avp) => 3,
    };
    let lines = (0u8..).zip(&session.media).filter(|(_, media)| media.is_audio());
    // The first of equals, which `max_by_key` would not give.
    let best = lines.min_by_key(|(_, media)| std::cmp::Reverse(merit(media)));
    best.ok_or(OfferError::not_acceptable(304, "there is no audio line"))
}

/// `token` of RFC 8866 §9.
fn is_token(text: &str) -> bool {
    let other = |byte| b"!#$%&'*+-.^_`{|}~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || other(byte))
}
