//! `format % values`.

use super::error::{Error, unsupported};
use super::meter::Meter;
use super::text::Str;
use super::value::Value;

/// `format % values`.
///
/// # Errors
/// What Python raises; a limit of the meter.
pub(super) fn format(_meter: &Meter, _format: &Str, _values: &Value) -> Result<Value, Error> {
    Err(unsupported("printf-style formatting"))
}
