//! The figures as tables, for `docs/performance.md`.

use std::fmt::Write;

use crate::Error;
use crate::report::{Gemv, Report};

/// What a document has around the tables.
const MARKS: [&str; 2] = ["<!-- gpu -->", "<!-- /gpu -->"];

/// `document` with the tables of `report` between its marks.
///
/// # Errors
/// If it has no marks.
pub fn replaced(document: &str, report: &Report) -> Result<String, Error> {
    let [begin, end] = MARKS;
    let parts = (document.split_once(begin))
        .and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{begin} and {end} are expected"))?;
    Ok(format!(
        "{before}{begin}\n\n{}\n{end}{after}",
        tables(report)
    ))
}

/// All tables. Of what was not measured there is none.
#[must_use]
pub fn tables(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = head(&mut out, report);
    let _ = models(&mut out, report);
    let _ = fixed(&mut out, report);
    let _ = gemv(&mut out, report);
    let _ = rest(&mut out, report);
    let _ = kernels(&mut out, report);
    let _ = skipped(&mut out, report);
    out
}

fn head(out: &mut String, report: &Report) -> std::fmt::Result {
    let name = |key: &str| report.adapter.get(key).and_then(|value| value.as_str());
    let names = ["name", "backend", "driver", "tier"].map(name);
    let names: Vec<_> = (names.into_iter().flatten())
        .filter(|name| !name.is_empty())
        .collect();
    let (year, month, day) = date(report.unix_time);
    let what = if report.quick { ", tiny shapes" } else { "" };
    writeln!(
        out,
        "{}; {} threads of {} {}; hfcore {}, {year}-{month:02}-{day:02}{what}.\n",
        names.join(", "),
        report.host.threads,
        report.host.os,
        report.host.arch,
        report.version
    )
}

fn models(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.models.is_empty() {
        return Ok(());
    }
    out.push_str(
        "| model | weights | context | prompt tokens/s | tokens/s | best | of what is read | dispatches | submits | \
         created | encode, ms | submit, ms | first token, s |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in &report.models {
        let each = row.per_token;
        writeln!(
            out,
            "| {} | {} | {} | {} | **{}** | {} | {} | {:.0} | {:.2} | {:.2} | {:.3} | {:.3} | {:.2} |",
            row.model,
            row.format,
            row.context,
            number(row.prefill_per_s, 1.0),
            number(row.decode_per_s, 1.0),
            number(row.decode_best_per_s, 1.0),
            percent(row.share_of_read),
            each.dispatches,
            each.submits,
            each.created,
            each.encode_s * 1e3,
            each.submit_s * 1e3,
            row.first_token_s,
        )?;
    }
    out.push('\n');
    Ok(())
}

fn fixed(out: &mut String, report: &Report) -> std::fmt::Result {
    let mut rows = Vec::new();
    if let Some(read) = &report.read {
        let best = read
            .sweep
            .iter()
            .max_by(|a, b| a.bytes_per_s.total_cmp(&b.bytes_per_s));
        let how = best.map_or_else(String::new, |best| {
            format!(
                " ({} workgroups of {} threads, {} loads each)",
                best.workgroups, best.workgroup_size, best.loads
            )
        });
        rows.push((
            format!("memory read{how}"),
            format!("{} GB/s", number(Some(read.best_bytes_per_s), 1e-9)),
        ));
        rows.push((
            "weights from the host".to_owned(),
            format!("{} GB/s", number(read.upload_bytes_per_s, 1e-9)),
        ));
    }
    if let Some(fixed) = &report.fixed {
        let us = |seconds| format!("{} us", number(seconds, 1e6));
        let mut add = |what: String, seconds| rows.push((what, us(seconds)));
        add(
            "a dispatch that waits for the one before".into(),
            fixed.dependent_dispatch_s,
        );
        add(
            "a dispatch that does not".into(),
            fixed.independent_dispatch_s,
        );
        add(
            "encoding a dispatch (host)".into(),
            Some(fixed.encode_dispatch_s),
        );
        add("a submit (host)".into(), Some(fixed.submit_s));
        add(
            "a submit, until it is known to be done".into(),
            Some(fixed.submit_and_wait_s),
        );
        for &(bytes, seconds) in &fixed.read_back_s {
            add(
                format!("a submit, until its {bytes} bytes are read back"),
                Some(seconds),
            );
        }
        for &(bytes, seconds) in &fixed.write_s {
            add(
                format!("writing {bytes} bytes of a step (host)"),
                Some(seconds),
            );
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    out.push_str("| what | found |\n|---|---|\n");
    for (what, found) in rows {
        writeln!(out, "| {what} | {found} |")?;
    }
    out.push('\n');
    Ok(())
}

/// A line for each matrix, a column for each format.
fn gemv(out: &mut String, report: &Report) -> std::fmt::Result {
    let mut formats: Vec<&str> = Vec::new();
    let mut rows: Vec<(&Gemv, Vec<&Gemv>)> = Vec::new();
    for found in &report.gemv {
        if !formats.contains(&found.format.as_str()) {
            formats.push(&found.format);
        }
        let same = |row: &&mut (&Gemv, Vec<&Gemv>)| {
            let first = row.0;
            (&first.role, first.outputs, first.inputs) == (&found.role, found.outputs, found.inputs)
        };
        match rows.iter_mut().find(same) {
            Some((_, all)) => all.push(found),
            None => rows.push((found, vec![found])),
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "| one row times | of | {} |\n|---|---|{}",
        formats.join(" | "),
        "---|".repeat(formats.len())
    )?;
    for (first, all) in rows {
        let models = first.models.join(", ");
        write!(
            out,
            "| {} {} x {} | {models} |",
            first.role, first.outputs, first.inputs
        )?;
        for format in &formats {
            match all.iter().find(|found| found.format == *format) {
                Some(found) if found.seconds.is_some() => write!(
                    out,
                    " {} us, {} |",
                    number(found.seconds, 1e6),
                    percent(found.share_of_read)
                )?,
                Some(_) => out.push_str(" - |"),
                None => out.push_str(" |"),
            }
        }
        out.push('\n');
    }
    out.push('\n');
    Ok(())
}

fn rest(out: &mut String, report: &Report) -> std::fmt::Result {
    if !report.gemm.is_empty() {
        out.push_str("| many rows times | weights | ms | TFLOP/s |\n|---|---|---|---|\n");
        for row in &report.gemm {
            writeln!(
                out,
                "| {} rows, {} x {} | {} | {} | {} |",
                row.rows,
                row.outputs,
                row.inputs,
                row.format,
                number(row.seconds, 1e3),
                number(row.operations_per_s, 1e-12)
            )?;
        }
        out.push('\n');
    }
    if !report.attention.is_empty() {
        out.push_str(
            "| attention | heads | keys and values | us | TFLOP/s | GB/s |\n|---|---|---|---|---|---|\n",
        );
        for row in &report.attention {
            writeln!(
                out,
                "| {} queries, {} keys | {} over {} of {} | {} | {} | {} | {} |",
                row.queries,
                row.context,
                row.heads,
                row.kv_heads,
                row.head_dim,
                row.kv,
                number(row.seconds, 1e6),
                number(row.operations_per_s, 1e-12),
                number(row.bytes_per_s, 1e-9)
            )?;
        }
        out.push('\n');
    }
    Ok(())
}

fn kernels(out: &mut String, report: &Report) -> std::fmt::Result {
    for row in &report.kernels {
        let total: f64 = row.kernels.iter().map(|kernel| kernel.seconds).sum();
        writeln!(
            out,
            "| {} {}, context {}: kernels of a {}, {} us | workgroups | calls | us | share |\n|---|---|---|---|---|",
            row.model,
            row.format,
            row.context,
            row.of,
            number(Some(total), 1e6)
        )?;
        for kernel in &row.kernels {
            let [x, y, z] = kernel.grid;
            writeln!(
                out,
                "| {} | {x} x {y} x {z} | {:.1} | {} | {} |",
                kernel.kernel,
                kernel.calls,
                number(Some(kernel.seconds), 1e6),
                percent((total > 0.0).then(|| kernel.seconds / total))
            )?;
        }
        out.push('\n');
    }
    Ok(())
}

fn skipped(out: &mut String, report: &Report) -> std::fmt::Result {
    for skipped in &report.skipped {
        let verb = if skipped.failed { "failed" } else { "skipped" };
        writeln!(out, "- {verb}: {}: {}", skipped.what, skipped.why)?;
    }
    Ok(())
}

/// `value` in units of `1 / scale`, with three or more digits that mean something.
fn number(value: Option<f64>, scale: f64) -> String {
    let Some(value) = value.map(|value| value * scale) else {
        return "-".to_owned();
    };
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 1e-3 || size == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 1e2))
}

/// The day of a time, in UTC: Howard Hinnant's `civil_from_days`.
fn date(unix_time: u64) -> (u64, u64, u64) {
    let days = unix_time / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (year + era * 400 + next, month, day)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::{KernelTime, Kernels, Model, PerToken, Read, ReadRate, Skipped};

    fn report() -> Report {
        let mut report = Report::new(json!({"name": "a GPU", "driver": "a driver"}), false);
        report.unix_time = 1_795_271_746;
        report.version = "1.2.3".to_owned();
        report.read = Some(Read {
            bytes: 1 << 30,
            best_bytes_per_s: 4.1e12,
            sweep: vec![ReadRate {
                workgroup_size: 256,
                loads: 8,
                workgroups: 1056,
                bytes_per_s: 4.1e12,
            }],
            upload_bytes_per_s: None,
        });
        report.models = vec![Model {
            model: "Qwen3-0.6B".to_owned(),
            format: "bf16".to_owned(),
            context: 128,
            tokens: 64,
            load_s: 0.5,
            first_token_s: 0.25,
            prefill_per_s: Some(12_345.6),
            prefill_operations_per_s: None,
            decode_per_s: Some(654.3),
            decode_best_per_s: Some(660.0),
            bytes_per_token: 1 << 30,
            share_of_read: Some(0.171),
            per_token: PerToken {
                dispatches: 174.0,
                submits: 1.0,
                created: 0.0,
                encode_s: 0.000_25,
                submit_s: 0.000_05,
            },
        }];
        for (format, seconds) in [("bf16", 2e-6), ("int4", 1e-6)] {
            report.gemv.push(Gemv {
                models: vec!["Qwen3-0.6B".to_owned()],
                role: "o".to_owned(),
                outputs: 1024,
                inputs: 2048,
                format: format.to_owned(),
                bytes: 4 << 20,
                seconds: Some(seconds),
                share_of_read: Some(0.5),
            });
        }
        report.kernels.push(Kernels {
            model: "Qwen3-0.6B".to_owned(),
            format: "bf16".to_owned(),
            context: 128,
            of: "token".to_owned(),
            kernels: vec![
                KernelTime {
                    kernel: "gemv FORMAT=2".to_owned(),
                    grid: [256, 1, 1],
                    calls: 28.0,
                    seconds: 3e-4,
                },
                KernelTime {
                    kernel: "norm".to_owned(),
                    grid: [1, 1, 1],
                    calls: 1.0,
                    seconds: 1e-4,
                },
            ],
        });
        report.skipped.push(Skipped {
            what: "Qwen3-8B bf16".to_owned(),
            why: "out of device memory".to_owned(),
            failed: false,
        });
        report
    }

    #[test]
    fn tables_stand_between_the_marks() {
        let document = "before\n<!-- gpu -->\nold\n<!-- /gpu -->\nafter\n";
        let new = replaced(document, &report()).unwrap();
        assert!(new.starts_with("before\n<!-- gpu -->\n\na GPU, a driver; "));
        assert!(new.ends_with("\n<!-- /gpu -->\nafter\n") && !new.contains("old"));
        for line in [
            "| Qwen3-0.6B | bf16 | 128 | 12346 | **654** | 660 | 17 % | 174 | 1.00 | 0.00 | 0.250 | 0.050 | 0.25 |",
            "| memory read (1056 workgroups of 256 threads, 8 loads each) | 4100 GB/s |",
            "| weights from the host | - GB/s |",
            "| one row times | of | bf16 | int4 |",
            "| o 1024 x 2048 | Qwen3-0.6B | 2.00 us, 50 % | 1.00 us, 50 % |",
            "| Qwen3-0.6B bf16, context 128: kernels of a token, 400 us | workgroups | calls | us | share |",
            "| gemv FORMAT=2 | 256 x 1 x 1 | 28.0 | 300 | 75 % |",
            "- skipped: Qwen3-8B bf16: out of device memory",
        ] {
            assert!(new.contains(&format!("{line}\n")), "{line}\n{new}");
        }
        assert!(new.contains("hfcore 1.2.3, 2026-11-21."));
        assert!(replaced("no marks", &report()).is_err());
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (time, day) in [
            (0, (1970, 1, 1)),
            (951_782_400, (2000, 2, 29)),
            (1_709_164_800, (2024, 2, 29)),
            (1_735_689_599, (2024, 12, 31)),
        ] {
            assert_eq!(date(time), day);
        }
    }
}
