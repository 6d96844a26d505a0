//! Dates and times in YAML 1.1: `2001-12-14`, `2001-12-14t21:59:43.10-05:00`, `2001-12-14 21:59:43.10 -5`.
//!
//! The reference is `timestamp_regexp` of `yaml/constructor.py` in `PyYAML` 6.0.3.

/// The parts of a date or a time, not yet checked against the calendar.
struct Parts<'a> {
    date: [&'a str; 3],
    time: Option<[&'a str; 3]>,
    fraction: &'a str,
    /// Sign, hours, minutes; `Z` is a zone without a sign.
    zone: Option<(Option<char>, &'a str, &'a str)>,
}

/// `[0-9]` between `min` and `max` times at the head, and the rest.
fn take_digits(text: &str, min: usize, max: usize) -> Option<(&str, &str)> {
    let digits = text.bytes().take(max).take_while(u8::is_ascii_digit);
    let count = digits.count();
    (count >= min).then(|| text.split_at(count))
}

fn split_timestamp(text: &str) -> Option<Parts<'_>> {
    let (year, rest) = take_digits(text, 4, 4)?;
    let (month, rest) = take_digits(rest.strip_prefix('-')?, 1, 2)?;
    let (day, rest) = take_digits(rest.strip_prefix('-')?, 1, 2)?;
    let date = [year, month, day];
    if rest.is_empty() {
        let (time, fraction, zone) = (None, "", None);
        return Some(Parts {
            date,
            time,
            fraction,
            zone,
        });
    }
    let rest = match rest.strip_prefix(['T', 't']) {
        Some(rest) => rest,
        None => {
            let trimmed = rest.trim_start_matches([' ', '\t']);
            (trimmed.len() < rest.len()).then_some(trimmed)?
        }
    };
    let (hour, rest) = take_digits(rest, 1, 2)?;
    let (minute, rest) = take_digits(rest.strip_prefix(':')?, 2, 2)?;
    let (second, rest) = take_digits(rest.strip_prefix(':')?, 2, 2)?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => take_digits(rest, 0, usize::MAX)?,
        None => ("", rest),
    };
    let time = Some([hour, minute, second]);
    let spaced = rest.trim_start_matches([' ', '\t']);
    let zone = match spaced.chars().next() {
        None if rest.is_empty() => None,
        Some('Z') if spaced.len() == 1 => Some((None, "0", "0")),
        Some(sign @ ('-' | '+')) => {
            let (hours, rest) = take_digits(&spaced[1..], 1, 2)?;
            let minutes = match rest.strip_prefix(':') {
                Some(rest) => match take_digits(rest, 2, 2)? {
                    (minutes, "") => minutes,
                    _ => return None,
                },
                None if rest.is_empty() => "0",
                None => return None,
            };
            Some((Some(sign), hours, minutes))
        }
        _ => return None,
    };
    Some(Parts {
        date,
        time,
        fraction,
        zone,
    })
}

/// Whether an unquoted word is a date or a time, on whatever calendar.
pub(super) fn is_timestamp(text: &str) -> bool {
    split_timestamp(text).is_some_and(|parts| {
        // A date alone has two digits for month and day.
        parts.time.is_some() || text.len() == 10
    })
}

/// `!!timestamp` with this text, as Python's `isoformat(" ")` writes the date or the time.
pub(super) fn to_timestamp(text: &str) -> Result<String, &'static str> {
    const NO_DAY: &str = "there is no such day";
    const NO_TIME: &str = "there is no such time of the day";
    const NO_ZONE: &str = "there is no such time zone";
    let parts = split_timestamp(text).ok_or("it is no date")?;
    let number = |digits: &str| digits.parse::<u32>().expect("at most four digits");
    let [year, month, day] = parts.date.map(number);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(NO_DAY),
    };
    if year == 0 || !(1..=days).contains(&day) {
        return Err(NO_DAY);
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    let Some(time) = parts.time else {
        return Ok(date);
    };
    let [hour, minute, second] = time.map(number);
    if hour > 23 || minute > 59 || second > 59 {
        return Err(NO_TIME);
    }
    let mut timestamp = format!("{date} {hour:02}:{minute:02}:{second:02}");
    let micros = &parts.fraction[..parts.fraction.len().min(6)];
    if micros.bytes().any(|byte| byte != b'0') {
        timestamp += &format!(".{micros:0<6}");
    }
    if let Some((sign, hours, minutes)) = parts.zone {
        let offset = number(hours) * 60 + number(minutes);
        if offset >= 24 * 60 {
            return Err(NO_ZONE);
        }
        let sign = if offset == 0 {
            '+'
        } else {
            sign.unwrap_or('+')
        };
        timestamp += &format!("{sign}{:02}:{:02}", offset / 60, offset % 60);
    }
    Ok(timestamp)
}

#[cfg(test)]
mod tests {
    use super::super::scalar::{Plain, resolve};
    use super::super::value::YamlValue;

    fn value(text: &str) -> YamlValue {
        match resolve(text) {
            Plain::Value(value) => value,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    /// Expected: `yaml.safe_load` of `PyYAML` 6.0.3, and `isoformat(" ")`.
    #[test]
    fn dates_and_times() {
        for (text, expected) in [
            ("2024-02-29", "2024-02-29"),
            (
                "2001-12-14t21:59:43.10-05:00",
                "2001-12-14 21:59:43.100000-05:00",
            ),
            (
                "2001-12-14 21:59:43.10 -5",
                "2001-12-14 21:59:43.100000-05:00",
            ),
            ("2001-12-15 2:59:43.10", "2001-12-15 02:59:43.100000"),
            ("2001-1-5T02:59:43Z", "2001-01-05 02:59:43+00:00"),
            ("2001-12-15 02:59:43.", "2001-12-15 02:59:43"),
            ("2001-12-15 02:59:43.1234567", "2001-12-15 02:59:43.123456"),
            ("2001-12-15 02:59:43-00:00", "2001-12-15 02:59:43+00:00"),
            ("2001-12-15 02:59:43-0:30", "2001-12-15 02:59:43-00:30"),
        ] {
            assert_eq!(value(text), YamlValue::Timestamp(expected.into()), "{text}");
            assert_eq!(
                value(expected),
                YamlValue::Timestamp(expected.into()),
                "{text}"
            );
        }
        for (text, why) in [
            ("2023-02-29", "there is no such day"),
            ("2024-13-45", "there is no such day"),
            ("0000-01-01", "there is no such day"),
            ("2024-01-01 24:00:00", "there is no such time of the day"),
            ("2024-01-01 12:00:00+24:00", "there is no such time zone"),
        ] {
            assert_eq!(resolve(text), Plain::Invalid(why), "{text}");
        }
    }
}
