//! Reads points in time as people and programs write them (RFC 3339).

use crate::base::time::WallTime;

/// `2026-11-23T20:40:26.123Z`, with any offset and 0 to 9 fraction digits, or a date alone (its
/// first moment in UTC). Nothing before 1970. Fractions finer than a millisecond are cut.
pub fn parse(text: &str) -> Option<WallTime> {
    let bytes = text.as_bytes();
    let (year, month, day) = (digits(bytes, 0, 4)?, digits(bytes, 5, 2)?, digits(bytes, 8, 2)?);
    if bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let days = days_from_civil(year, month, day)?;
    if bytes.len() == 10 {
        return u64::try_from(days * 86_400_000).ok().map(WallTime);
    }
    let (hour, minute, second) =
        (digits(bytes, 11, 2)?, digits(bytes, 14, 2)?, digits(bytes, 17, 2)?);
    let separators = matches!(bytes.get(10), Some(b'T' | b't' | b' '));
    if !separators || bytes.get(13) != Some(&b':') || bytes.get(16) != Some(&b':') {
        return None;
    }
    // A leap second counts as the one after it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (ms, zone) = fraction(&bytes[19..])?;
    let offset = match zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (digits(zone, 1, 2)?, digits(zone, 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let minutes = hours * 60 + minutes;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = days * 86_400 + hour * 3_600 + (minute - offset) * 60 + second;
    u64::try_from(seconds * 1000 + ms).ok().map(WallTime)
}

fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(after) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let length = after.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let (fraction, zone) = after.split_at(length);
    let digit = |index: usize| fraction.get(index).map_or(0, |b| i64::from(b - b'0'));
    Some((digit(0) * 100 + digit(1) * 10 + digit(2), zone))
}

fn digits(bytes: &[u8], at: usize, length: usize) -> Option<i64> {
    bytes
        .get(at..at + length)?
        .iter()
        .try_fold(0, |number, b| b.is_ascii_digit().then(|| number * 10 + i64::from(b - b'0')))
}

/// Days since 1970-01-01 of a day that exists.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let shifted = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_written_and_what_others_write() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-23T20:40:26.123Z", 1_795_466_426_123),
            ("2026-11-23T21:40:26.123456789+01:00", 1_795_466_426_123),
            ("2026-11-23T15:10:26.1-05:30", 1_795_466_426_100),
            ("2000-02-29", 951_782_400_000),
            ("2014-09-24t10:59:41z", 1_411_556_381_000),
        ] {
            assert_eq!(parse(text), Some(WallTime(ms)), "{text}");
        }
        for ms in (0..4_000_000_000_000u64).step_by(86_399_999_991) {
            assert_eq!(parse(&WallTime(ms).to_rfc3339()), Some(WallTime(ms)));
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2026-11-23T",
            "2026-11-23T24:00:00Z",
            "2026-11-23T20:40:26",
            "2026-11-23T20:40:26.Z",
            "2026-11-23T20:40:26.1234567890Z",
            "2026-11-23T20:40:26+1:00",
            "2026-11-23T20:40:26+25:00",
            "2026/11/23",
            "1969-12-31",
            "2026-11-23T20:40:26Z ",
            "2026-11-23Tab:40:26Z",
            "x-timestamp:2014-09-24T10:59:41Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
