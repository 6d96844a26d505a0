//! `strftime_now`: today's date in a prompt, as C's `strftime` writes it in the C locale.
//!
//! Python's `datetime.now()` is local time without a zone. The offset from UTC is the caller's to give: reading the
//! system's zone takes `localtime` of the C library, which is no safe call beside threads.

use std::time::{SystemTime, UNIX_EPOCH};

use super::error::Error;
use super::meter::{Meter, Text};
use super::value::Value;

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Seconds since 1970 of the system's clock, in UTC.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

/// `datetime.strftime(pattern)` of a moment, seconds since 1970 in the time that is to be shown (a local one is UTC's
/// plus its offset). A directive that C does not know stays as it is written, as glibc leaves it.
///
/// # Errors
/// A limit of the meter.
pub fn strftime(meter: &Meter, seconds: i64, pattern: &str) -> Result<Value, Error> {
    let moment = Moment::new(seconds);
    let mut out = meter.text();
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at])?;
        let directive = &rest[at + 1..];
        let flags = directive.len() - directive.trim_start_matches(FLAGS).len();
        let digits = directive[flags..]
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(directive.len() - flags);
        let Some(c) = directive[flags + digits..].chars().next() else {
            out.push_str(&rest[at..])?;
            return out.finish().map(Value::Str);
        };
        let end = flags + digits + c.len_utf8();
        let width = directive[flags..flags + digits].parse().unwrap_or(0);
        match moment.directive(c) {
            Some(field) => field.write(&directive[..flags], width, &mut out)?,
            None => out.push_str(&rest[at..=at + end])?,
        }
        rest = &directive[end..];
    }
    out.push_str(rest)?;
    out.finish().map(Value::Str)
}

/// glibc's flags between the `%` and the letter.
const FLAGS: [char; 5] = ['-', '_', '0', '^', '#'];

struct Moment {
    seconds: i64,
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    weekday: usize,
    day_of_year: i64,
}

/// What a directive prints: a number with its width and its filling, or a text.
enum Field {
    Number(i64, usize, char),
    Text(String),
}

impl Field {
    fn write(self, flags: &str, width: usize, out: &mut Text<'_>) -> Result<(), Error> {
        let (text, natural, fill) = match self {
            Self::Number(number, natural, fill) => (number.to_string(), natural, fill),
            Self::Text(text) => (text, 0, ' '),
        };
        let (mut text, mut natural, mut fill) = (text, natural, fill);
        for flag in flags.chars() {
            match flag {
                '-' => natural = 0,
                '_' => fill = ' ',
                '0' => fill = '0',
                '^' => text = text.to_uppercase(),
                // Of all fields only AM and PM become small, and names become capitals.
                _ if matches!(text.as_str(), "AM" | "PM") => text = text.to_lowercase(),
                _ => text = text.to_uppercase(),
            }
        }
        let width = if flags.ends_with('-') {
            0
        } else {
            natural.max(width)
        };
        out.fill(fill, width.saturating_sub(text.len()))?;
        out.push_str(&text)
    }
}

impl Moment {
    fn new(seconds: i64) -> Self {
        // A clock that says year 10^10 is no clock.
        let seconds = seconds.clamp(-62_135_596_800, 253_402_300_799);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let weekday = usize::try_from((days + 4).rem_euclid(7)).expect("0..7");
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let day_of_year = days - days_before(year, 1, 1) + 1;
        Self {
            seconds,
            year,
            month,
            day,
            hour,
            minute,
            second,
            weekday,
            day_of_year,
        }
    }

    fn directive(&self, c: char) -> Option<Field> {
        let two = |number| Some(Field::Number(number, 2, '0'));
        let text = |text: String| Some(Field::Text(text));
        let weekday = i64::try_from(self.weekday).expect("0..7");
        let month_name = MONTHS[usize::try_from(self.month - 1).expect("1..=12")];
        let twelve = (self.hour + 11) % 12 + 1;
        // Weeks that begin on Sunday and on Monday; the days before the first one are week 0.
        let week = |first: i64| (self.day_of_year + 6 - (weekday - first).rem_euclid(7)) / 7;
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = *self;
        match c {
            'Y' => Some(Field::Number(year, 0, '0')),
            'C' => two(year / 100),
            'y' => two(year % 100),
            'G' => Some(Field::Number(self.iso().0, 0, '0')),
            'g' => two(self.iso().0 % 100),
            'V' => two(self.iso().1),
            'U' => two(week(0)),
            'W' => two(week(1)),
            'm' => two(month),
            'd' => two(day),
            'e' => Some(Field::Number(day, 2, ' ')),
            'H' => two(hour),
            'k' => Some(Field::Number(hour, 2, ' ')),
            'I' => two(twelve),
            'l' => Some(Field::Number(twelve, 2, ' ')),
            'M' => two(minute),
            'S' => two(second),
            'f' => text("000000".to_owned()),
            'j' => Some(Field::Number(self.day_of_year, 3, '0')),
            'p' => text(if hour < 12 { "AM" } else { "PM" }.to_owned()),
            'P' => text(if hour < 12 { "am" } else { "pm" }.to_owned()),
            'A' => text(DAYS[self.weekday].to_owned()),
            'a' => text(DAYS[self.weekday][..3].to_owned()),
            'B' => text(month_name.to_owned()),
            'b' | 'h' => text(month_name[..3].to_owned()),
            'u' => Some(Field::Number((weekday + 6) % 7 + 1, 1, '0')),
            'w' => Some(Field::Number(weekday, 1, '0')),
            'F' => text(format!("{year}-{month:02}-{day:02}")),
            'T' | 'X' => text(format!("{hour:02}:{minute:02}:{second:02}")),
            'D' | 'x' => text(format!("{month:02}/{day:02}/{:02}", year % 100)),
            'R' => text(format!("{hour:02}:{minute:02}")),
            'r' => text(format!(
                "{twelve:02}:{minute:02}:{second:02} {}",
                if hour < 12 { "AM" } else { "PM" }
            )),
            'c' => text(format!(
                "{} {} {day:2} {hour:02}:{minute:02}:{second:02} {year}",
                &DAYS[self.weekday][..3],
                &month_name[..3]
            )),
            's' => Some(Field::Number(self.seconds, 0, '0')),
            'n' => text("\n".to_owned()),
            't' => text("\t".to_owned()),
            '%' => text("%".to_owned()),
            // A time without a zone has neither name nor offset.
            'Z' | 'z' => text(String::new()),
            _ => None,
        }
    }

    /// The year and the week of ISO 8601: the week with the year's first Thursday is its first.
    fn iso(&self) -> (i64, i64) {
        let monday_based = i64::try_from((self.weekday + 6) % 7).expect("0..7");
        let thursday = self.day_of_year - monday_based + 3;
        let days = days_before(self.year, 1, 1) + thursday - 1;
        let (year, ..) = civil(days);
        (year, (days - days_before(year, 1, 1)) / 7 + 1)
    }
}

/// Year, month and day of a day since 1970 (Howard Hinnant, `chrono-Compatible Low-Level Date Algorithms`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970 to a date; the inverse of [`civil`].
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(seconds: i64, pattern: &str) -> String {
        let meter = Meter::new(crate::python::Limits::default());
        let text = strftime(&meter, seconds, pattern).unwrap();
        text.as_str().unwrap().to_owned()
    }

    #[test]
    fn dates() {
        let moment = 1_709_214_305; // 2024-02-29 13:45:05 UTC, a Thursday
        let all = "%Y-%m-%d %H:%M:%S %y %e %-d %-m %I %p %A %a %B %b %j %w %F %T %%";
        let expected = "2024-02-29 13:45:05 24 29 29 2 01 PM Thursday Thu February Feb 060 4 2024-02-29 13:45:05 %";
        assert_eq!(format(moment, all), expected);
        assert_eq!(format(0, "%d %b %Y %j"), "01 Jan 1970 001");
        assert_eq!(format(-1, "%F %T"), "1969-12-31 23:59:59");
        assert_eq!(
            format(moment, "%U %W %V %G %u %C %c|%r|%P|%Z%z"),
            "08 09 09 2024 4 20 Thu Feb 29 13:45:05 2024|01:45:05 PM|pm|"
        );
        assert_eq!(format(1_609_459_200, "%U %W %V %G %g"), "00 00 53 2020 20"); // 1 January 2021
        assert_eq!(format(0, "%Q 100% %"), "%Q 100% %");
        assert_eq!(format(0, "%^a %_d %-j %#p %10Y"), "THU  1 1 am 0000001970");
    }

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-800_000..800_000).step_by(97) {
            let (year, month, day) = civil(days);
            assert_eq!(days_before(year, month, day), days);
        }
    }
}
