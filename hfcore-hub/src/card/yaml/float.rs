//! Floating-point numbers as Python's yaml writes them.

/// `repr` of Python, lower case, with `.0` before an exponent that has no point before it: YAML 1.1 reads `1e+17` as text.
pub(super) fn to_yaml(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    // The shortest digits that read back to the same number, in both languages.
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific
        .split_once('e')
        .expect("`{:e}` always writes an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent has at most 3 digits");
    if (-4..16).contains(&exponent) {
        // Rust's `{:?}` writes positional digits in this range, with `.0` where there is no fraction.
        let positional = format!("{value}");
        return if positional.contains('.') {
            positional
        } else {
            positional + ".0"
        };
    }
    let point = if digits.contains('.') { "" } else { ".0" };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}{point}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::to_yaml;

    /// Expected: `yaml.dump(x)` of Python.
    #[test]
    fn numbers_look_as_in_python() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (93.4567, "93.4567"),
            (1e15, "1000000000000000.0"),
            (1e16, "1.0e+16"),
            (1.5e17, "1.5e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1.0e-05"),
            (2.5e-5, "2.5e-05"),
            (1e-300, "1.0e-300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5.0e-324"),
            (f64::INFINITY, ".inf"),
            (f64::NEG_INFINITY, "-.inf"),
            (f64::NAN, ".nan"),
        ] {
            assert_eq!(to_yaml(value), expected);
        }
    }
}
