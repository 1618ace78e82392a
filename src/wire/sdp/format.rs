//! Payload formats (RFC 8866 §6.6, RFC 3551 §6).

/// One payload format of a media line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format<'a> {
    /// RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// Encoding name; of a static type its registered one; empty where nothing names it.
    pub encoding: &'a str,
    /// RTP clock in Hz; 0 where nothing says.
    pub clock: u32,
    /// Channels.
    pub channels: u8,
    /// Format parameters, as written; empty where there are none.
    pub fmtp: &'a str,
}

impl<'a> Format<'a> {
    /// The format that a payload type has without an `rtpmap`.
    pub const fn of_type(payload_type: u8) -> Format<'static> {
        let (encoding, clock, channels) = match payload_type {
            0 => ("PCMU", 8000, 1),
            3 => ("GSM", 8000, 1),
            4 => ("G723", 8000, 1),
            5 => ("DVI4", 8000, 1),
            6 => ("DVI4", 16000, 1),
            7 => ("LPC", 8000, 1),
            8 => ("PCMA", 8000, 1),
            9 => ("G722", 8000, 1),
            10 => ("L16", 44100, 2),
            11 => ("L16", 44100, 1),
            12 => ("QCELP", 8000, 1),
            13 => ("CN", 8000, 1),
            14 => ("MPA", 90000, 1),
            15 => ("G728", 8000, 1),
            16 => ("DVI4", 11025, 1),
            17 => ("DVI4", 22050, 1),
            18 => ("G729", 8000, 1),
            25 => ("CelB", 90000, 1),
            26 => ("JPEG", 90000, 1),
            28 => ("nv", 90000, 1),
            31 => ("H261", 90000, 1),
            32 => ("MPV", 90000, 1),
            33 => ("MP2T", 90000, 1),
            34 => ("H263", 90000, 1),
            _ => ("", 0, 1),
        };
        Format { payload_type, encoding, clock, channels, fmtp: "" }
    }

    /// Whether this is the encoding `name` (compared without case) at `clock` Hz.
    pub fn is(&self, name: &str, clock: u32) -> bool {
        self.clock == clock && self.encoding.eq_ignore_ascii_case(name)
    }

    /// Whether this is RFC 4733's telephone-event.
    pub fn is_telephone_event(&self) -> bool {
        self.encoding.eq_ignore_ascii_case("telephone-event")
    }

    /// The value of one `name=value` of the format parameters, as written.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.fmtp.split(';').find_map(|part| {
            let (found, value) = part.split_once('=')?;
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}
