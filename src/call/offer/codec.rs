//! What can be bridged, and when two formats are the same codec.

use super::description::FormatView;

/// Whether a format can be bridged. Redundancy formats carry other payload numbers inside their
/// packets, which a relay that renumbers does not rewrite; and payload types 64 to 95 cannot be
/// told from RTCP on a shared port (RFC 5761 §4).
pub(super) fn is_bridgeable(format: &FormatView<'_>) -> bool {
    const REDUNDANCY: [&str; 5] = ["red", "rtx", "ulpfec", "parityfec", "flexfec"];
    !matches!(format.payload_type, 64..=95 | 128..)
        && format.clock > 0
        && format.channels > 0
        && !REDUNDANCY.iter().any(|name| format.name.eq_ignore_ascii_case(name))
}

/// Whether a format is speech, and not only tones or silence beside it.
pub(super) fn is_speech(format: &FormatView<'_>) -> bool {
    const BESIDE: [&str; 3] = ["telephone-event", "tone", "CN"];
    !BESIDE.iter().any(|name| format.name.eq_ignore_ascii_case(name))
}

/// Whether packets of one format can be played as the other: name, clock rate, channels, and
/// those parameters that change the bits (packing modes of AMR, the bit rate of G.722.1).
/// Parameters that are only wishes of a receiver do not count.
pub(super) fn same_codec(a: &FormatView<'_>, b: &FormatView<'_>) -> bool {
    if !a.name.eq_ignore_ascii_case(b.name) || a.clock != b.clock || a.channels != b.channels {
        return false;
    }
    let parameters: &[(&str, &str)] = match () {
        () if is(a, "AMR") || is(a, "AMR-WB") => {
            &[("octet-align", "0"), ("crc", "0"), ("robust-sorting", "0"), ("interleaving", "")]
        }
        () if is(a, "G7221") => &[("bitrate", "")],
        () => &[],
    };
    parameters.iter().all(|(key, default)| {
        parameter(a.fmtp, key).unwrap_or(default) == parameter(b.fmtp, key).unwrap_or(default)
    })
}

fn is(format: &FormatView<'_>, name: &str) -> bool {
    format.name.eq_ignore_ascii_case(name)
}

/// The value of one parameter of `key=value;key=value`.
fn parameter<'f>(fmtp: &'f str, key: &str) -> Option<&'f str> {
    fmtp.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case(key).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format<'f>(name: &'f str, clock: u32, channels: u8, fmtp: &'f str) -> FormatView<'f> {
        FormatView { payload_type: 96, name, clock, channels, fmtp }
    }

    #[test]
    fn what_changes_the_bits_tells_codecs_apart() {
        let amr = |fmtp| format("AMR", 8000, 1, fmtp);
        for (a, b, same) in [
            (format("opus", 48000, 2, ""), format("OPUS", 48000, 2, "useinbandfec=1"), true),
            (format("opus", 48000, 2, ""), format("opus", 48000, 1, ""), false),
            (
                format("telephone-event", 8000, 1, "0-15"),
                format("telephone-event", 48000, 1, ""),
                false,
            ),
            (
                format("telephone-event", 8000, 1, "0-15"),
                format("telephone-event", 8000, 1, ""),
                true,
            ),
            (format("G729", 8000, 1, "annexb=no"), format("G729", 8000, 1, ""), true),
            (amr(""), amr("octet-align=0; mode-set=7"), true),
            (amr("mode-set=7;Octet-Align = 1"), amr("octet-align=1"), true),
            (amr("octet-align=1"), amr(""), false),
            (
                format("G7221", 16000, 1, "bitrate=32000"),
                format("G7221", 16000, 1, "bitrate=24000"),
                false,
            ),
        ] {
            assert_eq!(same_codec(&a, &b), same, "{a:?} {b:?}");
            assert_eq!(same_codec(&b, &a), same, "{b:?} {a:?}");
        }
    }

    #[test]
    fn redundancy_and_colliding_numbers_are_not_bridged() {
        assert!(!is_bridgeable(&format("RED", 8000, 1, "0/0")));
        assert!(!is_bridgeable(&format("opus", 0, 2, "")));
        assert!(!is_bridgeable(&FormatView { payload_type: 72, ..format("x", 8000, 1, "") }));
        assert!(is_bridgeable(&format("x-unknown", 8000, 1, "")));
        assert!(!is_speech(&format("Telephone-Event", 8000, 1, "")));
    }
}
