//! The models that a model was made from, and those that they were made from.

use std::io::{self, Write};

use hfcore::hub::card::{BaseModelRelation, ModelCardData, OneOrMany};
use hfcore::hub::{Ancestor, Hub, HubError, ModelName, RepoId, Revision};
use serde_json::{Value, json};

use super::Args;
use crate::output::{Result, printable};
use crate::progress::Watch;

/// No model is known that is so far from its first ancestor.
const MAX_DEPTH: usize = 16;

/// A model from which another was made.
pub(super) struct Line {
    id: String,
    /// The model that was made from it; nothing if that is the card itself, on this machine.
    child: Option<String>,
    relation: Option<BaseModelRelation>,
    /// 1 for what the model itself was made from.
    depth: usize,
    /// Why nothing is known of its own origin.
    unknown: Option<String>,
}

impl From<Ancestor> for Line {
    fn from(ancestor: Ancestor) -> Self {
        Self {
            id: ancestor.id.to_string(),
            child: Some(ancestor.child.to_string()),
            relation: ancestor.relation,
            depth: ancestor.depth,
            unknown: ancestor.unknown.as_ref().map(HubError::chain),
        }
    }
}

/// The ancestors of the card's model, the nearest first.
pub(super) fn of(
    args: &Args,
    hub: Option<Hub>,
    watch: &Watch,
    data: &ModelCardData,
) -> Result<Vec<Line>> {
    if let Some(hub) = hub {
        let name = ModelName::parse(&args.model)?;
        let revision = args.revision.clone().or(name.revision).unwrap_or_default();
        let ancestors = hub.lineage(&name.id, &revision, MAX_DEPTH)?;
        return Ok(ancestors.into_iter().map(Line::from).collect());
    }
    // A card of this machine: its model need not be on the Hub, and what it names is.
    let hub = args.hub.hub(watch)?;
    let mut lines = Vec::new();
    for base in data.base_model.iter().flat_map(OneOrMany::iter) {
        let ancestors = RepoId::parse(base)
            .map_err(HubError::from)
            .and_then(|base| hub.lineage(&base, &Revision::default(), MAX_DEPTH - 1));
        let (ancestors, unknown) = match ancestors {
            Ok(ancestors) => (ancestors, None),
            Err(error) => (Vec::new(), Some(error.chain())),
        };
        lines.push(Line {
            id: base.to_owned(),
            child: None,
            relation: data.base_model_relation(),
            depth: 1,
            unknown,
        });
        lines.extend(ancestors.into_iter().map(|ancestor| Line {
            depth: ancestor.depth + 1,
            ..ancestor.into()
        }));
    }
    Ok(lines)
}

pub(super) fn print(out: &mut impl Write, lineage: &[Line]) -> io::Result<()> {
    writeln!(out, "\nlineage")?;
    if lineage.is_empty() {
        writeln!(out, "  nothing is said of its origin")?;
    }
    for line in lineage {
        let indent = "  ".repeat(line.depth);
        let id = printable(&line.id);
        write!(out, "{indent}{id}")?;
        if let Some(relation) = line.relation {
            write!(out, " ({})", relation.as_str())?;
        }
        match &line.child {
            Some(child) if line.depth > 1 => writeln!(out, ", of which {child} was made")?,
            _ => writeln!(out)?,
        }
        if let Some(why) = &line.unknown {
            let why = printable(why);
            writeln!(out, "{indent}  nothing is known of its own origin: {why}")?;
        }
    }
    out.flush()
}

pub(super) fn value(lineage: &[Line]) -> Value {
    let line = |line: &Line| {
        json!({
            "id": line.id,
            "child": line.child,
            "relation": line.relation.map(BaseModelRelation::as_str),
            "depth": line.depth,
            "unknown": line.unknown,
        })
    };
    lineage.iter().map(line).collect()
}
