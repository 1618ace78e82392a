//! Character classes of RFC 3261 §25.1 as one table: a byte is tested with a load and a mask.

/// `token` (also what a header name and a method are made of).
pub(crate) const TOKEN: u16 = 1;
/// User part of a SIP URI, without `%` (which starts an escape) and `:` (which starts the
/// password). `#` is let in besides the standard's set: telephone features are dialled with it.
pub(crate) const USER: u16 = 2;
/// Host name or IPv4 address. `_` is let in besides the standard's set, for names in use.
pub(crate) const HOST: u16 = 4;
/// Parameters of a URI, with their `;` and `=`, without `%`.
pub(crate) const URI_PARAM: u16 = 8;
/// Headers of a URI, with their `&` and `=`, without `%`.
pub(crate) const URI_HEADER: u16 = 16;
/// Linear white space, with the line breaks of folded lines.
pub(crate) const LWS: u16 = 32;
/// What a generic parameter's value may be made of: token and host characters.
pub(crate) const PARAM_VALUE: u16 = 64;
/// Inside a Request-URI: visible ASCII without `<`, `>` and `"`.
pub(crate) const URI: u16 = 128;

/// What ends a piece of a parameter list: `;`, `=` and the quote.
pub(crate) const PARAM_MARK: u16 = 256;
/// Token characters and white space: a display name without quotes. Non-ASCII text is let in, for
/// the sake of peers that do not quote.
pub(crate) const DISPLAY: u16 = 512;
/// What an address without angle brackets is not made of: its end, and what may not stand in it.
pub(crate) const SPEC_END: u16 = 1024;

/// The table.
pub(crate) const CLASS: [u16; 256] = build();

/// Whether `byte` is in one of the classes of `mask`.
#[inline(always)]
pub(crate) const fn is(byte: u8, mask: u16) -> bool {
    CLASS[byte as usize] & mask != 0
}

/// Index of the first byte at or after `at` that is not in `mask`.
#[inline(always)]
pub(crate) fn skip(bytes: &[u8], mut at: usize, mask: u16) -> usize {
    while at < bytes.len() && is(bytes[at], mask) {
        at += 1;
    }
    at
}

/// Index of the first byte at or after `at` that is in `mask`.
#[inline(always)]
pub(crate) fn find(bytes: &[u8], mut at: usize, mask: u16) -> usize {
    while at < bytes.len() && !is(bytes[at], mask) {
        at += 1;
    }
    at
}

/// `text` without linear white space at either end.
#[inline(always)]
pub(crate) fn trim(text: &str) -> &str {
    let bytes = text.as_bytes();
    let start = skip(bytes, 0, LWS);
    let mut end = bytes.len();
    while end > start && is(bytes[end - 1], LWS) {
        end -= 1;
    }
    &text[start..end]
}

#[expect(clippy::cast_possible_truncation, reason = "an index below 256 is a byte")]
const fn build() -> [u16; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let mut class = 0u16;
        if byte.is_ascii_alphanumeric() {
            class |= TOKEN | USER | HOST | URI_PARAM | URI_HEADER | PARAM_VALUE;
        }
        if byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"') {
            class |= URI;
        }
        class |= mark(byte, b"-.!%*_+`'~", TOKEN | PARAM_VALUE);
        class |= mark(byte, b"-_.!~*'()&=+$,;?/#", USER);
        class |= mark(byte, b"-._", HOST);
        class |= mark(byte, b"-_.!~*'()[]/:&+$;=,", URI_PARAM);
        class |= mark(byte, b"-_.!~*'()[]/?:+$&=", URI_HEADER);
        class |= mark(byte, b"[]:/@&$(){}?#^|\\", PARAM_VALUE);
        class |= mark(byte, b" \t\r\n", LWS | SPEC_END);
        class |= mark(byte, b";=\"", PARAM_MARK);
        class |= mark(byte, b";?,<>\"", SPEC_END);
        if byte >= 0x80 {
            class |= PARAM_VALUE | DISPLAY;
        }
        if class & (TOKEN | LWS) != 0 {
            class |= DISPLAY;
        }
        table[at] = class;
        at += 1;
    }
    table
}

const fn mark(byte: u8, set: &[u8], class: u16) -> u16 {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return class;
        }
        at += 1;
    }
    0
}
