//! Pipelines: from what a user has to what a user wants, by the name of a task.

mod chat;
mod text_generation;

use std::fmt;

pub use self::chat::AnswerStream;
pub use self::text_generation::{GeneratedText, Prompt, TextGenerationPipeline, TextStream};
use crate::error::Error;
use crate::pretrained::Pretrained;

/// A pipeline for a task, chosen by its name.
#[derive(Debug)]
#[non_exhaustive]
pub enum Pipeline {
    /// `text-generation`.
    TextGeneration(TextGenerationPipeline),
}

/// What a [`Pipeline`] gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PipelineOutput {
    /// Of `text-generation`.
    GeneratedText(GeneratedText),
}

impl fmt::Display for PipelineOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GeneratedText(text) => text.fmt(f),
        }
    }
}

/// The tasks there is a pipeline for.
const TASKS: &[&str] = &["text-generation"];

/// The pipeline for `task`, over the model of this name: a folder's path, or `org/name` of the Hub.
///
/// # Errors
/// If there is no pipeline for the task yet, or the model cannot be loaded.
pub fn pipeline(task: &str, source: impl Into<Pretrained>) -> Result<Pipeline, Error> {
    match task {
        "text-generation" => Ok(Pipeline::TextGeneration(
            TextGenerationPipeline::from_pretrained(source)?,
        )),
        _ => Err(Error::NoPipeline {
            task: task.to_owned(),
            available: TASKS,
        }),
    }
}

impl Pipeline {
    /// Run the task on a text, with the options that the model's files and the task have as defaults.
    ///
    /// # Errors
    /// If the input cannot be used or the model fails.
    pub fn run(&self, text: &str) -> Result<PipelineOutput, Error> {
        match self {
            Self::TextGeneration(pipeline) => Ok(PipelineOutput::GeneratedText(
                pipeline.generate(text, &hfcore_config::GenerationConfig::default())?,
            )),
        }
    }

    /// The pipeline of `text-generation`, if it is one.
    #[must_use]
    pub const fn as_text_generation(&self) -> Option<&TextGenerationPipeline> {
        match self {
            Self::TextGeneration(pipeline) => Some(pipeline),
        }
    }
}
