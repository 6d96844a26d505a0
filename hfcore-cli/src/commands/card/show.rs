//! A card for people: its front matter, its evaluation results, its text; or what is wrong with it.

use std::io::{self, Write};

use hfcore::hub::Repo;
use hfcore::hub::card::{CardProblem, EvalResult, ModelCard, ModelCardData, OneOrMany, Severity};

use crate::output::{counted, printable};
use crate::style;
use crate::table::{Table, text};

pub(super) fn card(
    out: &mut impl Write,
    card: &ModelCard,
    origin: Option<&(Repo, String)>,
) -> io::Result<()> {
    if let Some((repo, commit)) = origin {
        writeln!(out, "{repo}@{commit}")?;
    }
    front_matter(out, &card.data)?;
    let results = card.data.eval_results.as_deref().unwrap_or_default();
    if !results.is_empty() {
        writeln!(out, "\nevaluation results")?;
        evaluation(results).aligned(out, style::enabled())?;
    }
    let body = card.text.trim();
    if !body.is_empty() {
        writeln!(out, "\n{}", printable(body))?;
    }
    out.flush()
}

fn front_matter(out: &mut impl Write, data: &ModelCardData) -> io::Result<()> {
    let list = |field: &Option<OneOrMany>| {
        let values: Vec<&str> = field.iter().flat_map(OneOrMany::iter).collect();
        values.join(", ")
    };
    let relation = data.base_model_relation();
    let license = [&data.license, &data.license_name, &data.license_link];
    let license: Vec<&str> = license.into_iter().flatten().map(String::as_str).collect();
    let base_model = match (list(&data.base_model), relation) {
        (names, Some(relation)) if !names.is_empty() => format!("{names} ({})", relation.as_str()),
        (names, _) => names,
    };
    let fields = [
        ("model", data.model_name.clone().unwrap_or_default()),
        ("task", data.pipeline_tag.clone().unwrap_or_default()),
        ("library", data.library_name.clone().unwrap_or_default()),
        ("licence", license.join(", ")),
        ("languages", list(&data.language)),
        ("base model", base_model),
        ("datasets", list(&data.datasets)),
        ("metrics", list(&data.metrics)),
        ("tags", data.tags.clone().unwrap_or_default().join(", ")),
    ];
    for (name, value) in fields {
        if !value.is_empty() {
            writeln!(out, "  {name:<11} {}", printable(&value).replace('\n', " "))?;
        }
    }
    for (key, value) in data.other.iter() {
        let (Some(key), false) = (key.as_str(), value.is_null()) else {
            continue;
        };
        let value = value
            .scalar_text()
            .unwrap_or_else(|| value.to_json().to_string());
        let line = format!("  {key:<11} {value}");
        writeln!(out, "{}", printable(&line).replace('\n', " "))?;
    }
    Ok(())
}

fn evaluation(results: &[EvalResult]) -> Table<6> {
    let mut table = Table::new([
        text("TASK"),
        text("DATASET"),
        text("SPLIT"),
        text("METRIC"),
        text("VALUE"),
        text("SOURCE"),
    ]);
    for result in results {
        let mut dataset = result.dataset_name.clone();
        if let Some(config) = &result.dataset_config {
            dataset.push_str(&format!(" ({config})"));
        }
        let value = &result.metric_value;
        let mut value = value
            .scalar_text()
            .unwrap_or_else(|| value.to_json().to_string());
        if result.verified == Some(true) {
            value.push_str(" (verified)");
        }
        let source = result.source_name.as_ref().or(result.source_url.as_ref());
        table.row([
            result
                .task_name
                .clone()
                .unwrap_or_else(|| result.task_type.clone()),
            dataset,
            result.dataset_split.clone().unwrap_or_default(),
            result
                .metric_name
                .clone()
                .unwrap_or_else(|| result.metric_type.clone()),
            value,
            source.cloned().unwrap_or_default(),
        ]);
    }
    table
}

pub(super) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

pub(super) fn problems(out: &mut impl Write, problems: &[CardProblem]) -> io::Result<()> {
    for problem in problems {
        let text = printable(&problem.to_string());
        writeln!(out, "{}: {text}", severity(problem.severity))?;
    }
    let is_error = |problem: &&CardProblem| problem.severity == Severity::Error;
    let errors = problems.iter().filter(is_error).count();
    let warnings = problems.len() - errors;
    writeln!(
        out,
        "{}, {}",
        counted(errors, "error"),
        counted(warnings, "warning")
    )?;
    out.flush()
}
