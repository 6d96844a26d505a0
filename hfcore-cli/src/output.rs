//! How errors and sizes are printed.

use std::error::Error;

/// What a command returns.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// An error and its causes, one a line, on standard error.
pub(crate) fn error(error: &(dyn Error + 'static)) {
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {}", cause.to_string().replace('\n', "\n  "));
        source = cause.source();
    }
}

/// Bytes for people: `2.3 GiB`.
#[expect(clippy::cast_precision_loss, reason = "printed with one decimal")]
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A count for people: `1.24 B` of 1,235,814,400.
#[expect(clippy::cast_precision_loss, reason = "printed with two decimals")]
pub(crate) fn count(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1} K", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.2} B", n as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(2_471_645_608), "2.3 GiB");
        assert_eq!((count(999), count(134_515_008), count(1_235_814_400)), ("999".into(), "134.5 M".into(), "1.24 B".into()));
    }
}
