//! When to try again, and how long to wait before. After `utils/_http.py` of `huggingface_hub` 2.4, with jitter and with
//! an end: a server cannot keep a program waiting for ever.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Statuses after which the same request may succeed.
pub(crate) const fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// How long waiting may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// Before the second try; doubled before each further one.
    pub(crate) first: Duration,
    /// The longest of these waits.
    pub(crate) longest: Duration,
    /// For what a server asks to wait for, all tries of one request together.
    pub(crate) asked: Duration,
}

impl Default for Backoff {
    /// Python's 1 to 8 seconds; five minutes for what servers ask.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(8),
            asked: Duration::from_secs(300),
        }
    }
}

/// The waits of one request.
#[derive(Debug)]
pub(crate) struct Waits {
    backoff: Backoff,
    next: Duration,
    asked_left: Duration,
}

impl Waits {
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self {
            next: backoff.first,
            asked_left: backoff.asked,
            backoff,
        }
    }

    /// The next wait: what the server `asked` for, or a random time around the next step. Nothing if what it asked for,
    /// with what it asked for before, is longer than is reasonable.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let step = self.next;
        self.next = (step * 2).min(self.backoff.longest);
        match asked {
            Some(asked) => {
                self.asked_left = self.asked_left.checked_sub(asked)?;
                Some(asked)
            }
            // Half of it to all of it: many clients that failed together do not come back together.
            None => Some(step.mul_f64(0.5 + 0.5 * random())),
        }
    }

    /// Something arrived: what follows is a new failure.
    pub(crate) fn reset(&mut self) {
        self.next = self.backoff.first;
    }
}

/// From 0 to 1. Not for secrets.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 40;
    let bits = u32::try_from(bits).expect("24 bits fit in 32");
    f64::from(bits) / f64::from(1_u32 << 24)
}

/// What the reply asks to wait for: the `RateLimit` header of a 429 without requests left, else `Retry-After`; a second
/// is added to the former, which is rounded (Python adds it to both).
pub(crate) fn asked_wait<'a>(
    status: u16,
    header: &impl Fn(&str) -> Option<&'a str>,
    now: SystemTime,
) -> Option<Duration> {
    if status == 429
        && let Some((0, seconds)) = header("ratelimit").and_then(rate_limit)
    {
        return Some(Duration::from_secs(seconds.saturating_add(1)));
    }
    if !matches!(status, 429 | 503) {
        return None;
    }
    let value = header("retry-after")?.trim();
    if let Ok(seconds) = digits(value) {
        return Some(Duration::from_secs(seconds));
    }
    let date = http_date(value)?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// A number of seconds; one too large for a number is the largest.
fn digits(text: &str) -> Result<u64, ()> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(());
    }
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// `"api";r=0;t=55`: requests left, and seconds until there are more (draft-ietf-httpapi-ratelimit-headers).
fn rate_limit(value: &str) -> Option<(u64, u64)> {
    let mut parts = value.split(';').map(str::trim);
    let name = parts.next()?.strip_prefix('"')?.strip_suffix('"')?;
    if name.is_empty() {
        return None;
    }
    let mut number = |wanted: &str| {
        let (key, value) = parts.next()?.split_once('=')?;
        (key.trim() == wanted).then(|| digits(value.trim()).ok())?
    };
    let left = number("r")?;
    Some((left, number("t")?))
}

/// `Wed, 21 Oct 2015 07:28:00 GMT` (RFC 9110, section 5.6.7); the two obsolete forms are not read.
fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.split_once(", ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = fields[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|&name| name == month)? as u64 + 1;
    let (day, year) = (digits(day).ok()?, digits(year).ok()?);
    let mut time = time.split(':').map(digits);
    let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    if !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 || time.next().is_some() {
        return None;
    }
    // Days since 1970-01-01 of the proleptic Gregorian calendar, with years that begin in March.
    let shifted = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(
        ((days * 24 + hour) * 60 + minute) * 60 + second,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(status: u16, headers: &[(&str, &str)]) -> Option<Duration> {
        let header = |name: &str| {
            let found = headers.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| *value)
        };
        asked_wait(
            status,
            &header,
            UNIX_EPOCH + Duration::from_secs(1_445_412_400),
        )
    }

    #[test]
    fn a_server_says_when() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(wait(429, &[("retry-after", "120")]), seconds(120));
        assert_eq!(wait(503, &[("retry-after", " 7 ")]), seconds(7));
        assert_eq!(wait(500, &[("retry-after", "7")]), None);
        assert_eq!(
            wait(429, &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]),
            seconds(80)
        );
        // The past is now.
        assert_eq!(
            wait(429, &[("retry-after", "Wed, 21 Oct 2015 07:00:00 GMT")]),
            seconds(0)
        );
        assert_eq!(
            wait(429, &[("retry-after", "1000000000000000000000000")]),
            seconds(u64::MAX)
        );
        for nonsense in [
            "-1",
            "soon",
            "",
            "1.5",
            "Wed, 21 Oct 2015 07:28:00 CET",
            "Wed, 41 Oct 2015 07:28:00 GMT",
        ] {
            assert_eq!(wait(429, &[("retry-after", nonsense)]), None, "{nonsense}");
        }
        let limit = ("ratelimit", "\"api\";r=0;t=55");
        assert_eq!(wait(429, &[limit, ("retry-after", "3")]), seconds(56));
        let left = ("ratelimit", "\"api\" ; r = 3 ; t = 55");
        assert_eq!(wait(429, &[left, ("retry-after", "3")]), seconds(3));
        assert_eq!(wait(429, &[("ratelimit", "api;r=0;t=55")]), None);
    }

    #[test]
    fn dates_are_seconds() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 1_445_412_480),
            ("Fri, 31 Dec 2100 23:59:59 GMT", 4_133_980_799),
        ] {
            let since = http_date(text).unwrap().duration_since(UNIX_EPOCH).unwrap();
            assert_eq!(since.as_secs(), seconds, "{text}");
        }
    }

    #[test]
    fn waits_grow_and_end() {
        let mut waits = Waits::new(Backoff::default());
        for seconds in [1.0, 2.0, 4.0, 8.0, 8.0] {
            let wait = waits.next(None).unwrap().as_secs_f64();
            assert!(
                wait >= seconds / 2.0 && wait <= seconds,
                "{wait} of {seconds}"
            );
        }
        waits.reset();
        assert!(waits.next(None).unwrap() <= Duration::from_secs(1));
        assert!(waits.next(Some(Duration::from_secs(200))).is_some());
        assert!(waits.next(Some(Duration::from_secs(101))).is_none());
        assert!(waits.next(Some(Duration::from_secs(u64::MAX))).is_none());
    }
}
