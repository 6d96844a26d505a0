//! The families, one file each: configuration, numbers, wiring, names.

use crate::family::Family;

pub mod bert;
pub mod gemma;
pub mod gemma2;
pub mod gemma3_text;
pub mod gpt2;
pub mod gpt_neox;
pub mod gpt_oss;
pub mod granite;
pub mod llama;
pub mod mistral;
pub mod mixtral;
pub mod olmo2;
pub mod phi3;
pub mod qwen2;
pub mod qwen3;
pub mod qwen3_moe;
mod read;
pub mod smollm3;
pub mod starcoder2;
pub mod t5;
pub mod vit;
pub mod whisper;

/// Every family of this crate.
pub const ALL: &[Family] = &[
    bert::FAMILY,
    gemma::FAMILY,
    gemma2::FAMILY,
    gemma3_text::FAMILY,
    gpt2::FAMILY,
    gpt_neox::FAMILY,
    gpt_oss::FAMILY,
    granite::FAMILY,
    llama::FAMILY,
    mistral::FAMILY,
    mixtral::FAMILY,
    olmo2::FAMILY,
    phi3::FAMILY,
    qwen2::FAMILY,
    qwen3::FAMILY,
    qwen3_moe::FAMILY,
    smollm3::FAMILY,
    starcoder2::FAMILY,
    t5::FAMILY,
    vit::FAMILY,
    whisper::FAMILY,
];
