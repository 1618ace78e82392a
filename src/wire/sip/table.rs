//! Character classes of RFC 3261 §25.1 as one table: a byte is tested with a load and a mask.

/// `token` (also what a header name and a method are made of).
pub(crate) const TOKEN: u8 = 1;
/// User part of a SIP URI, without `%` (which starts an escape) and `:` (which starts the
/// password). `#` is let in besides the standard's set: telephone features are dialled with it.
pub(crate) const USER: u8 = 2;
/// Host name or IPv4 address. `_` is let in besides the standard's set, for names in use.
pub(crate) const HOST: u8 = 4;
/// Parameters of a URI, with their `;` and `=`, without `%`.
pub(crate) const URI_PARAM: u8 = 8;
/// Headers of a URI, with their `&` and `=`, without `%`.
pub(crate) const URI_HEADER: u8 = 16;
/// Linear white space, with the line breaks of folded lines.
pub(crate) const LWS: u8 = 32;
/// What a generic parameter's value may be made of: token and host characters.
pub(crate) const PARAM_VALUE: u8 = 64;
/// Inside a Request-URI: visible ASCII without `<`, `>` and `"`.
pub(crate) const URI: u8 = 128;

/// The table.
pub(crate) const CLASS: [u8; 256] = build();

/// Whether `byte` is in one of the classes of `mask`.
#[inline(always)]
pub(crate) const fn is(byte: u8, mask: u8) -> bool {
    CLASS[byte as usize] & mask != 0
}

/// Index of the first byte at or after `at` that is not in `mask`.
#[inline(always)]
pub(crate) fn skip(bytes: &[u8], mut at: usize, mask: u8) -> usize {
    while at < bytes.len() && is(bytes[at], mask) {
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

const fn build() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let mut class = 0;
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
        class |= mark(byte, b" \t\r\n", LWS);
        if byte >= 0x80 {
            class |= PARAM_VALUE;
        }
        table[at] = class;
        at += 1;
    }
    table
}

const fn mark(byte: u8, set: &[u8], class: u8) -> u8 {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return class;
        }
        at += 1;
    }
    0
}
