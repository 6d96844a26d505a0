//! Which files of a repository a model is loaded from: the rest of it is not fetched.

use hfcore_tokenize::TokenizerFiles;
use hfcore_weights::{RelPath, checkpoint_names, is_legacy_checkpoint};

use crate::error::Error;

/// Files beside the tokenizer's that loading reads.
const CONFIGS: [&str; 2] = ["config.json", "generation_config.json"];

/// Files that say how images and sounds become numbers.
const PREPROCESSORS: [&str; 2] = ["preprocessor_config.json", "video_preprocessor_config.json"];

/// What a repository has for a model. Names are relative to the subfolder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// Configurations and the tokenizer.
    pub(super) small: Vec<String>,
    /// The checkpoint.
    pub(super) weights: Checkpoint,
}

/// In what form the weights are there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checkpoint {
    /// One file.
    File(String),
    /// The index of several: which, it says itself.
    Index(String),
    /// None that is read.
    None {
        /// The file that would be read first.
        wanted: String,
        /// Files of weights that are there instead: pickles, other formats, other variants.
        instead: Vec<String>,
    },
}

impl Selection {
    /// Of the files `names` of a folder, those of a model; weights of this `variant`. safetensors alone count: a pickle is
    /// a program, and is never fetched.
    pub(super) fn new<'a>(
        names: impl Iterator<Item = &'a str>,
        variant: Option<&str>,
    ) -> Result<Self, Error> {
        let refused = |source| Error::Weights {
            folder: ".".into(),
            source: Box::new(source),
        };
        let (single, index) = checkpoint_names(variant).map_err(refused)?;
        let (mut has_single, mut has_index) = (false, false);
        let (mut small, mut instead) = (Vec::new(), Vec::new());
        for name in names {
            if name == single.as_str() {
                has_single = true;
            } else if name == index.as_str() {
                has_index = true;
            } else if CONFIGS.contains(&name)
                || PREPROCESSORS.contains(&name)
                || TokenizerFiles::reads(name)
            {
                small.push(name.to_owned());
            } else if is_weights(name) {
                instead.push(name.to_owned());
            }
        }
        let weights = if has_single {
            Checkpoint::File(single.to_string())
        } else if has_index {
            Checkpoint::Index(index.to_string())
        } else {
            instead.sort();
            Checkpoint::None {
                wanted: single.to_string(),
                instead,
            }
        };
        Ok(Self { small, weights })
    }

    /// The files to have first: all but the shards, which the index names.
    pub(super) fn files(&self, skip_weights: bool) -> Vec<String> {
        let weights = match &self.weights {
            Checkpoint::File(name) | Checkpoint::Index(name) => Some(name),
            Checkpoint::None { .. } => None,
        };
        let weights = weights.filter(|_| !skip_weights);
        self.small.iter().chain(weights).cloned().collect()
    }

    /// Those of [`files`](Self::files) without which something else would be loaded than the repository holds. Without a
    /// network, others are done without, as in Python, which would not have fetched them all.
    pub(super) fn needed(&self, skip_weights: bool) -> Vec<String> {
        let is_fast = self.small.iter().any(|name| name == "tokenizer.json");
        let mut files = self.files(skip_weights);
        files.retain(|name| {
            let other_vocabulary = is_fast && TokenizerFiles::is_slow_vocabulary(name);
            !other_vocabulary && !PREPROCESSORS.contains(&name.as_str())
        });
        files
    }
}

/// Weights of one form or another, at the top of the folder.
fn is_weights(name: &str) -> bool {
    let other = name.ends_with(".safetensors") || name.ends_with(".onnx");
    !name.contains('/') && (other || is_legacy_checkpoint(name))
}

/// `name` inside `subfolder`, if there is one.
pub(super) fn inside(subfolder: Option<&RelPath>, name: &str) -> String {
    match subfolder {
        Some(subfolder) => format!("{subfolder}/{name}"),
        None => name.to_owned(),
    }
}

/// The names of the files in `subfolder`, relative to it.
pub(super) fn names_inside<'a>(
    names: impl Iterator<Item = &'a str>,
    subfolder: Option<&RelPath>,
) -> impl Iterator<Item = &'a str> {
    names.filter_map(move |name| match subfolder {
        Some(subfolder) => name.strip_prefix(subfolder.as_str())?.strip_prefix('/'),
        None => Some(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: [&str; 14] = [
        ".gitattributes",
        "README.md",
        "config.json",
        "generation_config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "onnx/model.onnx",
        "original/consolidated.pth",
        "pytorch_model.bin",
        "tokenizer.json",
        "tokenizer_config.json",
        "trainer_state.json",
        "training_args.bin",
    ];

    fn select(names: &[&str], variant: Option<&str>) -> Selection {
        Selection::new(names.iter().copied(), variant).unwrap()
    }

    #[test]
    fn only_what_loading_reads_is_selected() {
        let selection = select(&REPOSITORY, None);
        let small = [
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ];
        assert_eq!(selection.small, small);
        assert_eq!(
            selection.weights,
            Checkpoint::Index("model.safetensors.index.json".to_owned())
        );
    }

    #[test]
    fn one_file_wins_over_an_index() {
        let names = [&REPOSITORY[..], &["model.safetensors"]].concat();
        assert_eq!(
            select(&names, None).weights,
            Checkpoint::File("model.safetensors".to_owned())
        );
    }

    #[test]
    fn a_variant_is_another_checkpoint() {
        let names = ["config.json", "model.safetensors", "model.fp16.safetensors"];
        let weights = select(&names, Some("fp16")).weights;
        assert_eq!(
            weights,
            Checkpoint::File("model.fp16.safetensors".to_owned())
        );
        let Checkpoint::None { instead, .. } = select(&names, Some("int8")).weights else {
            panic!("there is no such variant");
        };
        assert_eq!(instead, ["model.fp16.safetensors", "model.safetensors"]);
        Selection::new(names.into_iter(), Some("../x")).unwrap_err();
    }

    #[test]
    fn pickles_are_named_and_not_taken() {
        let names = [
            "config.json",
            "pytorch_model.bin",
            "training_args.bin",
            "onnx/model.onnx",
        ];
        let instead = vec!["pytorch_model.bin".to_owned()];
        let wanted = "model.safetensors".to_owned();
        assert_eq!(
            select(&names, None).weights,
            Checkpoint::None { wanted, instead }
        );
    }

    #[test]
    fn without_a_network_other_vocabularies_are_done_without() {
        let needed = |names: &[&str]| select(names, None).needed(true);
        let config = "config.json";
        let both = [
            config,
            "merges.txt",
            "preprocessor_config.json",
            "tokenizer.json",
            "vocab.json",
        ];
        assert_eq!(needed(&both), [config, "tokenizer.json"]);
        let slow = [config, "merges.txt", "tokenizer_config.json", "vocab.json"];
        assert_eq!(needed(&slow), slow);
    }

    #[test]
    fn a_subfolder_is_a_folder_of_its_own() {
        let names = [
            "config.json",
            "text/config.json",
            "text/a/b.json",
            "text.json",
        ];
        let subfolder = RelPath::parse("text").unwrap();
        let inner: Vec<&str> = names_inside(names.into_iter(), Some(&subfolder)).collect();
        assert_eq!(inner, ["config.json", "a/b.json"]);
        assert_eq!(inside(Some(&subfolder), "config.json"), "text/config.json");
    }
}
