//! Where Python's values print or act otherwise than the template engine's, or could grow without end.

use minijinja::value::{Kwargs, Rest};
use minijinja::{Error, ErrorKind, Output, State, Value};
use minijinja_contrib::pycompat;

/// Longest text that a filter may make, in bytes.
pub(super) const MAX_TEXT: usize = 16 << 20;
/// Largest count or width that a filter takes.
const MAX_COUNT: i64 = 10_000;

pub(super) fn too_long(found: usize) -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("a text of {found} bytes; at most {MAX_TEXT} are made"),
    )
}

/// `repr(float)`: the shortest digits that read back, with an exponent below 1e-4 and from 1e16 on.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific
        .split_once('e')
        .expect("`e` formatting writes one");
    let exponent: i32 = exponent.parse().expect("and an integer after it");
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = value.to_string();
    if plain.contains('.') {
        plain
    } else {
        plain + ".0"
    }
}

/// Prints as `str()` does.
pub(super) fn print(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if value.is_number() && !value.is_integer() {
        return Ok(out.write_str(&float(f64::try_from(value.clone())?))?);
    }
    minijinja::escape_formatter(out, state, value)
}

/// The methods of Python's strings, lists and dictionaries.
pub(super) fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        match name {
            "replace" if args.len() >= 2 => check_replace(text, &args[0], &args[1])?,
            "format" => check_format(text)?,
            "join" => check_join(text, args.first())?,
            _ => {}
        }
    }
    pycompat::unknown_method_callback(state, value, name, args)
}

/// Refuses a replacement whose result would be too long.
fn check_replace(text: &str, old: &Value, new: &Value) -> Result<(), Error> {
    let (old, new) = (old.to_string(), new.to_string());
    if new.len() <= old.len() {
        return Ok(());
    }
    let count = if old.is_empty() {
        text.len() + 1
    } else {
        text.matches(old.as_str()).count()
    };
    let length = text
        .len()
        .saturating_add(count.saturating_mul(new.len() - old.len()));
    if length > MAX_TEXT {
        Err(too_long(length))
    } else {
        Ok(())
    }
}

/// Refuses a format string with a width or precision of more than four digits, or one taken from an argument.
fn check_format(text: &str) -> Result<(), Error> {
    let long = text
        .as_bytes()
        .windows(5)
        .any(|digits| digits.iter().all(u8::is_ascii_digit));
    if long || text.contains("%*") || text.contains(".*") {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "format: a width of more than four digits",
        ));
    }
    Ok(())
}

/// Refuses to join what would be too long.
fn check_join(between: &str, items: Option<&Value>) -> Result<(), Error> {
    let Some(items) = items else { return Ok(()) };
    let mut length = 0_usize;
    for item in items.try_iter()? {
        length = length
            .saturating_add(between.len())
            .saturating_add(item.as_str().map_or(8, str::len));
        if length > MAX_TEXT {
            return Err(too_long(length));
        }
    }
    Ok(())
}

/// The number of items, columns or spaces that a filter is asked for, bounded.
fn check_count<'a>(filter: &str, args: impl IntoIterator<Item = &'a Value>) -> Result<(), Error> {
    for arg in args {
        if i64::try_from(arg.clone()).is_ok_and(|count| count.saturating_abs() > MAX_COUNT) {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("{filter}: at most {MAX_COUNT}, found {arg}"),
            ));
        }
    }
    Ok(())
}

/// The engine's filter `name` behind a check of its arguments.
pub(super) fn guarded(
    inner: &Value,
    name: &'static str,
) -> impl Fn(&mut State<'_, '_>, Rest<Value>, Kwargs) -> Result<Value, Error> + Send + Sync + 'static
{
    let inner = inner.clone();
    move |state, args, kwargs| {
        let named: Vec<Value> = kwargs
            .args()
            .map(|name| kwargs.get(name))
            .collect::<Result<_, _>>()?;
        let subject = args.first().cloned().unwrap_or_default();
        let rest = args.iter().skip(1).chain(&named);
        match name {
            "replace" => {
                let rest: Vec<&Value> = rest.collect();
                if let [old, new, ..] = rest[..] {
                    check_replace(&subject.to_string(), old, new)?;
                }
            }
            "format" => check_format(&subject.to_string())?,
            "join" => {
                let between = args.get(1).map(Value::to_string).unwrap_or_default();
                check_join(&between, Some(&subject))?;
            }
            _ => check_count(name, rest)?,
        }
        let mut all = args.0;
        if !named.is_empty() {
            all.push(Value::from(kwargs));
        }
        inner.call(state, &all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_python_prints_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e100, "1.25e+100"),
            (123456.789, "123456.789"),
            (f64::INFINITY, "inf"),
        ];
        for (value, text) in cases {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn formats_with_absurd_widths_are_refused() {
        assert!(check_format("{:>1000000}").is_err());
        assert!(check_format("%*d").is_err());
        assert!(check_format("%.2f of {:>80}").is_ok());
    }
}
