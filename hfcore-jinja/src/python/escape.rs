//! `markupsafe.escape`.

use std::borrow::Cow;

use super::error::Error;
use super::meter::Meter;
use super::repr::str;
use super::value::Value;

/// `escape(value)`: the text of a `Markup` as it is, of anything else with `& < > ' "` replaced.
///
/// # Errors
/// A limit of the meter.
pub fn escape<'v>(meter: &Meter, value: &'v Value) -> Result<Cow<'v, str>, Error> {
    match value {
        Value::Str(text) if text.is_markup() => Ok(Cow::Borrowed(text.as_str())),
        Value::Str(text) => escape_text(meter, text.as_str()),
        value => Ok(Cow::Owned(
            escape_text(meter, &str(meter, value)?)?.into_owned(),
        )),
    }
}

/// A text with `& < > ' "` replaced.
///
/// # Errors
/// A limit of the meter.
pub fn escape_text<'t>(meter: &Meter, text: &'t str) -> Result<Cow<'t, str>, Error> {
    meter.work(text.len())?;
    if !text.contains(['&', '<', '>', '\'', '"']) {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = meter.text();
    for part in text.split_inclusive(['&', '<', '>', '\'', '"']) {
        let entity = match part.as_bytes().last() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            Some(b'\'') => "&#39;",
            Some(b'"') => "&#34;",
            _ => {
                out.push_str(part)?;
                continue;
            }
        };
        out.push_str(&part[..part.len() - 1])?;
        out.push_str(entity)?;
    }
    Ok(Cow::Owned(out.into_string()))
}
