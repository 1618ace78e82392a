//! Session descriptions as the edge writes them: one audio line with what it needs, refused lines
//! where the peer's own had others, and nothing else.

use std::hash::Hasher as _;

use super::description::{Description, FormatView};
use super::{LocalMedia, LocalSession, OfferError};
use crate::base::bounded::List;
use crate::base::limits::SDP_FORMATS_MAX;
use crate::wire::sdp::{Direction, Format, Protocol, WriteError, Writer};

/// The audio line to write.
pub(super) struct AudioLine<'f> {
    pub(super) formats: List<Format<'f>, SDP_FORMATS_MAX>,
    pub(super) direction: Direction,
    pub(super) ptime: Option<u16>,
    pub(super) maxptime: Option<u16>,
    pub(super) mux: bool,
}

/// A format of one description under the payload number of another.
pub(super) const fn renumbered<'f>(payload_type: u8, format: &FormatView<'f>) -> Format<'f> {
    let FormatView { name, clock, channels, fmtp, .. } = *format;
    Format { payload_type, encoding: name, clock, channels, fmtp }
}

/// Writes a whole description and notes it in the session, so that its version rises where it
/// must. `layout`: the peer's description whose media lines ours must match one by one.
pub(super) fn write_session(
    buffer: &mut [u8],
    session: &mut LocalSession,
    ours: &LocalMedia,
    layout: Option<&Description>,
    audio: &AudioLine<'_>,
) -> Result<usize, OfferError> {
    // Written twice where the version has risen, which its own line must already say.
    loop {
        let written = write_all(buffer, session, ours, layout, audio);
        let length = written.map_err(|_| OfferError {
            status: 500,
            warning: 399,
            text: "the description cannot be written",
        })?;
        let text = buffer.get(..length).unwrap_or_default();
        // The version stands for all but its own line, the second.
        let content = memchr::memchr_iter(b'\n', text).nth(1).map_or(0, |end| end + 1);
        let mut hasher = siphasher::sip::SipHasher24::new();
        hasher.write(&text[content..]);
        if !session.say(hasher.finish()) {
            return Ok(length);
        }
    }
}

fn write_all(
    buffer: &mut [u8],
    session: &LocalSession,
    ours: &LocalMedia,
    layout: Option<&Description>,
    audio: &AudioLine<'_>,
) -> Result<usize, WriteError> {
    let address = ours.address.to_canonical();
    let mut writer = Writer::new(buffer, session.id, session.version, address);
    let Some(layout) = layout else {
        write_audio(&mut writer, ours, audio);
        return writer.finish();
    };
    for (refused, is_audio) in layout.lines() {
        if is_audio {
            write_audio(&mut writer, ours, audio);
        } else {
            let [kind, protocol, formats] = refused;
            writer.rejected(kind, protocol, formats);
        }
    }
    writer.finish()
}

fn write_audio(writer: &mut Writer<'_>, ours: &LocalMedia, audio: &AudioLine<'_>) {
    writer.audio(ours.rtp_port, Protocol::RtpAvp, &audio.formats);
    if let Some(ptime) = audio.ptime {
        writer.ptime(ptime);
    }
    if let Some(maxptime) = audio.maxptime {
        writer.maxptime(maxptime);
    }
    writer.direction(audio.direction);
    if ours.rtp_port.checked_add(1) != Some(ours.rtcp_port) {
        writer.rtcp(ours.rtcp_port, None);
    }
    if audio.mux {
        writer.rtcp_mux();
    }
}
