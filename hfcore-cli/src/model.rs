//! Which model a command is about: a folder, or one of the Hub, and how to get it.

use std::path::{Path, PathBuf};

use clap::Args;
use hfcore::{ModelDir, Pretrained};
use serde_json::Value;

use crate::demo::Demo;
use crate::hub::{HEADING, HubArgs};
use crate::output::{self, Result};
use crate::progress::Watch;

/// How a model is got that is named as transformers names it.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ModelArgs {
    /// A branch, a tag, a commit or refs/pr/N [default: main]
    #[arg(long, value_name = "REV", help_heading = HEADING)]
    pub(crate) revision: Option<String>,
    /// The folder of the repository that the model is in.
    #[arg(long, value_name = "DIR", help_heading = HEADING)]
    pub(crate) subfolder: Option<String>,
    /// The weights to take where there are several: fp16 for model.fp16.safetensors.
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    pub(crate) variant: Option<String>,
    /// Use the very bytes that a lock file has, or nothing [FILE: hfcore.lock]
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "hfcore.lock",
        help_heading = HEADING
    )]
    pub(crate) locked: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

impl ModelArgs {
    /// The model `name`: of a folder, if there is one of that name, else of the Hub.
    pub(crate) fn source(&self, name: &str, watch: &Watch) -> Result<Pretrained> {
        let source = Pretrained::new(name);
        // A folder is read whatever the environment says of the Hub.
        let source = if Path::new(name).is_dir() {
            source
        } else {
            source.hub(self.hub.hub(watch)?)
        };
        Ok(self.with_options(source))
    }

    /// What the options say of `source`.
    pub(crate) fn with_options(&self, mut source: Pretrained) -> Pretrained {
        if let Some(revision) = &self.revision {
            source = source.revision(revision);
        }
        if let Some(subfolder) = &self.subfolder {
            source = source.subfolder(subfolder);
        }
        if let Some(variant) = &self.variant {
            source = source.variant(variant);
        }
        if let Some(file) = &self.locked {
            source = source.lock_file(file);
        }
        source
    }

    /// The folder of the model `name`, all of it there.
    pub(crate) fn fetch(&self, name: &str) -> Result<ModelDir> {
        let watch = Watch::new();
        Ok(self.source(name, &watch)?.fetch()?)
    }

    /// The same without its weights.
    fn fetch_without_weights(&self, name: &str) -> Result<ModelDir> {
        let watch = Watch::new();
        Ok(self.source(name, &watch)?.skip_weights(true).fetch()?)
    }

    /// The options are about a model that is named, and the demo is none of the Hub's.
    fn refuse_for_demo(&self) -> Result<()> {
        let given = [
            ("--revision", self.revision.is_some()),
            ("--subfolder", self.subfolder.is_some()),
            ("--variant", self.variant.is_some()),
            ("--locked", self.locked.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(format!(
                "{option} is about a model, and none is named: the demo model is part of the program"
            )
            .into()),
            None => Ok(()),
        }
    }
}

/// A model's folder, and the copy of the demo that it may be: kept for as long as the model is used.
pub(crate) struct Found {
    pub(crate) dir: ModelDir,
    _demo: Option<Demo>,
}

impl Found {
    /// The model `name`, or the demo.
    pub(crate) fn new(name: Option<&str>, args: &ModelArgs, weights: bool) -> Result<Self> {
        match name {
            Some(name) => Ok(Self {
                dir: if weights {
                    args.fetch(name)?
                } else {
                    args.fetch_without_weights(name)?
                },
                _demo: None,
            }),
            None => {
                args.refuse_for_demo()?;
                let demo = Demo::new()?;
                Ok(Self {
                    dir: ModelDir::new(demo.path())?,
                    _demo: Some(demo),
                })
            }
        }
    }

    /// Says which bytes these are.
    pub(crate) fn say_origin(&self) {
        if let Some(origin) = self.dir.origin() {
            output::message(format_args!("model: {origin}"));
        }
    }
}

/// Of `[MODEL] TEXT`, the model and the text: one alone is a text for the demo model. `what` is a text's name.
pub(crate) fn model_and_text<'a>(
    texts: &'a [String],
    what: &str,
) -> Result<(Option<&'a str>, &'a str)> {
    match texts {
        [model] if Path::new(model).join("config.json").is_file() => {
            Err(format!("{model} is a model folder: a {what} is needed after it").into())
        }
        [text] => {
            if reads_like_a_model(text) {
                output::message(format_args!(
                    "note: {text:?} is taken for the {what}, and the demo model is used; a model comes before its {what}"
                ));
            }
            Ok((None, text))
        }
        [model, text, ..] => Ok((Some(model), text)),
        [] => Err(format!("a {what} is needed").into()),
    }
}

/// `org/name`: nobody's usual text.
fn reads_like_a_model(text: &str) -> bool {
    hfcore::hub::ModelName::parse(text).is_ok_and(|name| name.id.namespace().is_some())
}

/// The keys `repo` and `commit` of every JSON about a model: of a folder, null.
pub(crate) fn add_origin(result: &mut Value, dir: &ModelDir) {
    let origin = dir.origin();
    result["repo"] = origin.map(|origin| origin.repo.as_str()).into();
    result["commit"] = origin.map(|origin| origin.commit.as_str()).into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_is_no_model() {
        let texts = |texts: &[&str]| {
            texts
                .iter()
                .map(|&text| text.to_owned())
                .collect::<Vec<_>>()
        };
        let one = texts(&["Once upon a time"]);
        let two = texts(&["org/name@v1", "Once"]);
        assert_eq!(
            model_and_text(&one, "PROMPT").unwrap(),
            (None, "Once upon a time")
        );
        assert_eq!(
            model_and_text(&two, "PROMPT").unwrap(),
            (Some("org/name@v1"), "Once")
        );
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/demo");
        let error = model_and_text(&texts(&[folder]), "PROMPT").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{folder} is a model folder: a PROMPT is needed after it")
        );
        assert!(reads_like_a_model("org/name"));
        assert!(!reads_like_a_model("Once upon"));
        assert!(!reads_like_a_model("Hello"));
    }
}
