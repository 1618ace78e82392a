//! Session descriptions as the edge writes them: one audio line with what it needs, refused lines
//! where the peer's own had others, and nothing else.

use std::fmt::{self, Write as _};
use std::hash::Hasher as _;
use std::net::IpAddr;

use super::description::{Description, Direction, FormatView};
use super::{LocalMedia, LocalSession, OfferError};

/// The audio line to write.
pub(super) struct AudioLine<F> {
    pub(super) formats: F,
    pub(super) direction: Direction,
    pub(super) ptime: Option<u16>,
    pub(super) maxptime: Option<u16>,
    pub(super) mux: bool,
}

/// Writes a whole description and notes it in the session, so that its version rises where it
/// must. `layout`: the peer's description whose media lines ours must match one by one.
pub(super) fn write_session<'f, F>(
    buffer: &mut [u8],
    session: &mut LocalSession,
    ours: &LocalMedia,
    layout: Option<&Description>,
    audio: &AudioLine<F>,
) -> Result<usize, OfferError>
where
    F: Iterator<Item = FormatView<'f>> + Clone,
{
    // Written twice where the version has risen, which its own line must already say.
    loop {
        let mut out = Out { buffer: &mut *buffer, length: 0 };
        let content = write_all(&mut out, session, ours, layout, audio).map_err(|fmt::Error| {
            OfferError { status: 500, warning: 399, text: "the description does not fit" }
        })?;
        let length = out.length;
        let mut hasher = siphasher::sip::SipHasher24::new();
        hasher.write(buffer.get(content..length).unwrap_or_default());
        if !session.say(hasher.finish()) {
            return Ok(length);
        }
    }
}

/// Writes everything; gives where the content begins that the version stands for.
fn write_all<'f, F>(
    out: &mut Out<'_>,
    session: &LocalSession,
    ours: &LocalMedia,
    layout: Option<&Description>,
    audio: &AudioLine<F>,
) -> Result<usize, fmt::Error>
where
    F: Iterator<Item = FormatView<'f>> + Clone,
{
    let address = ours.address.to_canonical();
    let family = if matches!(address, IpAddr::V4(_)) { "IP4" } else { "IP6" };
    write!(out, "v=0\r\no=- {} {} IN {family} {address}\r\n", session.id, session.version)?;
    let content = out.length;
    write!(out, "s=-\r\nc=IN {family} {address}\r\nt=0 0\r\n")?;
    let Some(layout) = layout else {
        write_audio(out, ours, audio)?;
        return Ok(content);
    };
    for (refused, is_audio) in layout.lines() {
        if is_audio {
            write_audio(out, ours, audio)?;
        } else {
            write!(out, "m={refused}\r\n")?;
        }
    }
    Ok(content)
}

fn write_audio<'f, F>(out: &mut Out<'_>, ours: &LocalMedia, audio: &AudioLine<F>) -> fmt::Result
where
    F: Iterator<Item = FormatView<'f>> + Clone,
{
    write!(out, "m=audio {} RTP/AVP", ours.rtp_port)?;
    for format in audio.formats.clone() {
        write!(out, " {}", format.payload_type)?;
    }
    out.write_str("\r\n")?;
    for format in audio.formats.clone() {
        let FormatView { payload_type, name, clock, channels, fmtp } = format;
        write!(out, "a=rtpmap:{payload_type} {name}/{clock}")?;
        if channels > 1 {
            write!(out, "/{channels}")?;
        }
        out.write_str("\r\n")?;
        if !fmtp.is_empty() {
            write!(out, "a=fmtp:{payload_type} {fmtp}\r\n")?;
        }
    }
    if let Some(ptime) = audio.ptime {
        write!(out, "a=ptime:{ptime}\r\n")?;
    }
    if let Some(maxptime) = audio.maxptime {
        write!(out, "a=maxptime:{maxptime}\r\n")?;
    }
    write!(out, "a={}\r\n", audio.direction.word())?;
    if ours.rtp_port.checked_add(1) != Some(ours.rtcp_port) {
        write!(out, "a=rtcp:{}\r\n", ours.rtcp_port)?;
    }
    if audio.mux {
        out.write_str("a=rtcp-mux\r\n")?;
    }
    Ok(())
}

/// A lent buffer that refuses what does not fit.
struct Out<'b> {
    buffer: &'b mut [u8],
    length: usize,
}

impl fmt::Write for Out<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.buffer.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
