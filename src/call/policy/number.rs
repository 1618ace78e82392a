//! Numbers as people and machines write them in SIP: `+` or not, escapes, separators, parameters.
//! One reading for all of them, so that no spelling of a number slips past a rule about it.

use crate::base::bounded::Text;

/// Digits of the longest E.164 number.
pub const DIGITS_MAX: usize = 15;
/// Digits below which no number is complete.
const DIGITS_MIN: usize = 3;

/// A dialled user part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// E.164, written with `+` and digits only.
    Global(Text<32>),
    /// Too short or too long to be one; why.
    Incomplete(&'static str),
    /// No E.164 number: local and access-code forms, names; why.
    Local(&'static str),
}

/// Reads what was dialled. Only `+` and digits count as a number; `00`, `011` and national forms
/// are refused rather than guessed, since a guess would dodge prefix rules. Visual separators
/// (RFC 3966 §5.1.1), escapes and parameters are seen through.
pub fn dialled(user: &str) -> Dialled {
    let Some(plain) = plain_user(user) else {
        return Dialled::Local("what was dialled is no telephone number");
    };
    if plain.is_empty() {
        return Dialled::Incomplete("nothing was dialled");
    }
    let Some(digits) = plain.strip_prefix('+') else {
        return Dialled::Local(match plain.as_str() {
            n if !n.bytes().all(|b| b.is_ascii_digit()) => "what was dialled is no number",
            n if n.starts_with("011") => "011 is no part of E.164: dial + and the country code",
            n if n.starts_with("00") => "00 is no part of E.164: dial + and the country code",
            _ => "local number forms are not taken: dial + and the country code",
        });
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Dialled::Local("what was dialled is no number");
    }
    if digits.starts_with('0') {
        return Dialled::Local("no country code begins with 0");
    }
    match digits.len() {
        0..DIGITS_MIN => Dialled::Incomplete("the number is too short"),
        DIGITS_MIN..=DIGITS_MAX => Dialled::Global(plain),
        _ => Dialled::Incomplete("the number has more than 15 digits"),
    }
}

/// Reads a number that is about to be looked up as a whole among known ones: with `+`, or the
/// same digits without it.
pub fn spoken_number(user: &str) -> Option<Text<32>> {
    let plain = plain_user(user)?;
    let digits = plain.strip_prefix('+').unwrap_or(&plain);
    let international = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if !international || !(DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) {
        return None;
    }
    let mut number = Text::from("+").ok()?;
    number.try_push_str(digits).ok()?;
    Some(number)
}

/// A user part without parameters and escapes, and without separators where it is a number.
/// `None` where it is too long, or holds what belongs in no number or name.
pub fn plain_user(user: &str) -> Option<Text<32>> {
    let mut plain: Text<32> = Text::new();
    let mut bytes = user.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' { unescaped(&mut bytes)? } else { byte };
        match byte {
            b';' => break,
            b'0'..=b'9'
            | b'a'..=b'z'
            | b'A'..=b'Z'
            | b'+'
            | b'*'
            | b'#'
            | b'-'
            | b'.'
            | b'_'
            | b'('
            | b')' => plain.try_push(char::from(byte)).ok()?,
            _ => return None,
        }
    }
    let separator = |c: char| matches!(c, '-' | '.' | '(' | ')');
    let is_number = plain.chars().all(|c| c.is_ascii_digit() || c == '+' || separator(c));
    if is_number {
        let mut number = Text::new();
        plain.chars().filter(|c| !separator(*c)).for_each(|c| number.push(c));
        return Some(number);
    }
    Some(plain)
}

fn unescaped(bytes: &mut std::str::Bytes<'_>) -> Option<u8> {
    let mut nibble = || char::from(bytes.next()?).to_digit(16);
    let (high, low) = (nibble()?, nibble()?);
    u8::try_from(high << 4 | low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn global(user: &str) -> Option<String> {
        match dialled(user) {
            Dialled::Global(number) => Some(number.as_str().to_owned()),
            _ => None,
        }
    }

    #[test]
    fn every_spelling_of_a_number_reads_alike() {
        for user in [
            "+12015550123",
            "%2B12015550123",
            "%2b1201555%30123",
            "+1-201-555-0123",
            "+1.201.555.0123",
            "+1(201)5550123",
            "+12015550123;isub=1234",
            "+12015550123;phone-context=example.com",
            "+12015550123%3Bnpdi",
        ] {
            assert_eq!(global(user).as_deref(), Some("+12015550123"), "{user}");
        }
    }

    #[test]
    fn what_is_no_global_number_is_refused() {
        for user in [
            "0012015550123",
            "01112015550123",
            "2015550123",
            "0701234567",
            "911",
            "112",
            "5550123;phone-context=+1201",
            "anna",
            "+1201anna",
            "+0123456789",
            "++12015550123",
            "+1 201",
            "+1201%",
            "+1201%0",
            "+1201%00",
            "+1201%0a5550",
            "*21#",
            "+1201\u{e9}",
            "+1201555012345678901234567890123456",
        ] {
            assert!(matches!(dialled(user), Dialled::Local(_)), "{user}: {:?}", dialled(user));
        }
        for user in ["", "+", "+1", "+46", "+1234567890123456", ";isub=1"] {
            assert!(matches!(dialled(user), Dialled::Incomplete(_)), "{user}");
        }
    }

    #[test]
    fn known_numbers_are_found_with_and_without_plus() {
        assert_eq!(spoken_number("12015550123").as_deref(), Some("+12015550123"));
        assert_eq!(spoken_number("+12015550123;x=y").as_deref(), Some("+12015550123"));
        for user in ["0012015550123", "anna", "", "+", "1234567890123456", "1+2345"] {
            assert_eq!(spoken_number(user), None, "{user}");
        }
    }

    #[test]
    fn whatever_comes_a_global_number_is_plus_and_digits() {
        const ALPHABET: &[u8] = b"+0123456789%;-.()*#aB2b \x00\xc3";
        let mut rng = Rng::from_number(9);
        for _ in 0..50_000 {
            let length = rng.below(24);
            let mut pick = || {
                let at = usize::try_from(rng.below(ALPHABET.len() as u64)).expect("small");
                ALPHABET[at]
            };
            let bytes: Vec<u8> = (0..length).map(|_| pick()).collect();
            let user = String::from_utf8_lossy(&bytes);
            if let Dialled::Global(number) = dialled(&user) {
                let digits = number.strip_prefix('+').expect("a plus");
                assert!((3..=15).contains(&digits.len()), "{user}");
                assert!(digits.bytes().all(|b| b.is_ascii_digit()), "{user}");
                assert!(!digits.starts_with('0'), "{user}");
                assert_eq!(spoken_number(&user), Some(number));
            }
        }
    }
}
