"""The table of goldens: every family, and the variants that flip one thing at a time.

A golden is a family's configuration class, shrunk by `TINY` (variants by `TINY | SMALL`) wherever the
class has the attribute, with the overrides given here. `make_reference.py` turns each into a folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel

Json = dict[str, Any]
StateDict = dict[str, Tensor]

# Applied wherever the configuration class has the attribute.
TINY: Json = {
    "vocab_size": 199,
    "hidden_size": 48,
    "d_model": 48,
    "n_embd": 48,
    "intermediate_size": 64,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "d_ff": 64,
    "num_hidden_layers": 2,
    "n_layer": 2,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_attention_heads": 4,
    "n_head": 4,
    "num_heads": 4,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "num_key_value_heads": 2,
    "d_kv": 12,
    "max_position_embeddings": 96,
    "n_positions": 96,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
# Variants are many: they are smaller still.
SMALL: Json = {
    "vocab_size": 131,
    "hidden_size": 32,
    "d_model": 32,
    "n_embd": 32,
    "intermediate_size": 48,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "d_ff": 48,
    "d_kv": 8,
}


class Kind(Enum):
    """What goes in and what comes out: decides the cases."""

    DECODER = auto()
    ENCODER = auto()
    ENCODER_DECODER = auto()
    VISION = auto()
    AUDIO_TO_TEXT = auto()


@dataclass(frozen=True)
class Golden:
    """One folder: a class, a configuration, and how it is saved."""

    name: str
    model_type: str
    architecture: str
    kind: Kind
    note: str
    overrides: Json
    small: bool = False
    # The weights on disk; the outputs are those of the widened weights in f32.
    dtype: torch.dtype = torch.float32
    max_shard_size: str = "50GB"
    # False: the module names of transformers 5, where saving would turn them back into the Hub's.
    save_original_format: bool = True
    # Gives a head of its own to a class that always ties it when built (T5).
    untie_head: bool = False
    # Turn the saved files into what older versions wrote.
    rewrite_config: Callable[[Json], Json] | None = None
    rewrite_keys: Callable[[StateDict], StateDict] | None = None
    # Padding of the second prompt. Zero where transformers lets the longest row decide for its whole batch.
    prompt_padding: int = 3

    @property
    def config_class(self) -> type[PreTrainedConfig]:
        return CONFIG_MAPPING[self.model_type]

    @property
    def model_class(self) -> type[PreTrainedModel]:
        return getattr(transformers, self.architecture)

    @property
    def generates(self) -> bool:
        return self.kind in (Kind.DECODER, Kind.ENCODER_DECODER, Kind.AUDIO_TO_TEXT)

    def config(self, **extra: Any) -> PreTrainedConfig:
        """The class's defaults, shrunk, then this golden's overrides."""
        defaults = self.config_class()
        known = set(defaults.to_dict()) | set(self.config_class.attribute_map)
        sizes = TINY | SMALL if self.small else TINY
        shrunk = {key: value for key, value in sizes.items() if key in known}
        return self.config_class(**{**shrunk, **self.overrides}, **extra)


GOLDENS: list[Golden] = []


@dataclass(frozen=True)
class Family:
    """Adds rows that share a class and overrides. The first is the family's default, the others variants."""

    name: str
    architecture: str
    kind: Kind = Kind.DECODER
    overrides: Json = field(default_factory=dict)

    def default(self, note: str, *, suffix: str = "", **rest: Any) -> Family:
        return self._row(suffix, note, small=False, **rest)

    def variant(self, suffix: str, note: str, **rest: Any) -> Family:
        return self._row(suffix, note, small=True, **rest)

    def _row(self, suffix: str, note: str, **rest: Any) -> Family:
        """What is no field of `Golden` is an override of the configuration."""
        fields = {key: rest.pop(key) for key in list(rest) if key in Golden.__dataclass_fields__}
        overrides = {**self.overrides, **rest}
        name = f"{self.name}-{suffix}" if suffix else self.name
        GOLDENS.append(Golden(name, self.name, self.architecture, self.kind, note, overrides, **fields))
        return self


# ---- what older versions of transformers wrote -----------------------------------------------------------


def v4_config(config: Json) -> Json:
    """The spelling of transformers 4: `rope_theta`, `rope_scaling`, `torch_dtype`."""
    config = {**config, "torch_dtype": config["dtype"], "transformers_version": "4.46.0"}
    del config["dtype"]
    if (rope := config.pop("rope_parameters", None)) is not None:
        rope = dict(rope)
        config["rope_theta"] = rope.pop("rope_theta")
        if "partial_rotary_factor" in rope:
            config["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
        config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    return config


def v4_config_with_type(config: Json) -> Json:
    """The older spelling yet: `rope_scaling.type`."""
    config = v4_config(config)
    scaling = config["rope_scaling"]
    scaling["type"] = scaling.pop("rope_type")
    return config


def v4_config_phi3(config: Json) -> Json:
    """Phi-3: `rope_scaling.type`, and the original length outside of it."""
    config = v4_config_with_type(config)
    config["original_max_position_embeddings"] = config["rope_scaling"].pop("original_max_position_embeddings")
    return config


def v4_config_without_layer_types(config: Json) -> Json:
    """Before `layer_types`, when the class derived them from other keys."""
    config = v4_config(config)
    del config["layer_types"]
    return config


def v4_config_gemma3(config: Json) -> Json:
    """Gemma 3: `rope_theta` with `rope_scaling` for full layers, `rope_local_base_freq` for sliding ones."""
    config = dict(config)
    local = config["rope_parameters"]["sliding_attention"]
    config["rope_parameters"] = config["rope_parameters"]["full_attention"]
    config = v4_config_without_layer_types(config)
    config.pop("_sliding_window_pattern", None)
    return {**config, "rope_local_base_freq": local["rope_theta"], "sliding_window_pattern": 3}


def v4_config_gpt_neox(config: Json) -> Json:
    """GPT-NeoX: `rotary_emb_base`, `rotary_pct`."""
    config = v4_config(config)
    del config["rope_scaling"]
    config["rotary_emb_base"] = config.pop("rope_theta")
    config["rotary_pct"] = config.pop("partial_rotary_factor")
    return config


def v4_config_t5(config: Json) -> Json:
    """T5 v1.1 and Flan: untied by name, where transformers 5 writes `scale_decoder_outputs`."""
    config = v4_config(config)
    for key in ("scale_decoder_outputs", "is_gated_act", "dense_act_fn"):
        del config[key]
    return {**config, "tie_word_embeddings": False}


def renamed(*patterns: tuple[str, str]) -> Callable[[StateDict], StateDict]:
    """Every name after these substitutions, in order."""

    def rename(name: str) -> str:
        for pattern, replacement in patterns:
            name = re.sub(pattern, replacement, name)
        return name

    return lambda tensors: {rename(name): tensor for name, tensor in tensors.items()}


def with_inv_freq(tensors: StateDict) -> StateDict:
    """Llama checkpoints before 4.36 hold the rotary frequencies as buffers."""
    frequencies = 1.0 / 10000.0 ** (torch.arange(0, 8, 2) / 8)
    return tensors | {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": frequencies.clone() for i in range(2)}


def bare_gpt2(tensors: StateDict) -> StateDict:
    """The original GPT-2 files: no `transformer.` prefix, the causal masks as buffers."""
    tensors = renamed((r"^transformer\.", ""))(tensors)
    mask = torch.ones(96, 96).tril()[None, None]
    return tensors | {f"h.{i}.attn.bias": mask.clone() for i in range(2)}


def original_gpt_neox(tensors: StateDict) -> StateDict:
    """The files of Pythia: masks and rotary frequencies as buffers."""
    tensors = dict(tensors)
    for i in range(2):
        prefix = f"gpt_neox.layers.{i}.attention"
        tensors[f"{prefix}.bias"] = torch.ones(1, 1, 96, 96, dtype=torch.bool).tril()
        tensors[f"{prefix}.masked_bias"] = torch.tensor(-1e9)
        tensors[f"{prefix}.rotary_emb.inv_freq"] = torch.tensor([1.0])
    return tensors


def pretraining_bert(tensors: StateDict) -> StateDict:
    """The files of bert-base: every head under its own prefix, gains named `gamma`, positions as a buffer."""
    tensors = renamed((r"LayerNorm\.weight$", "LayerNorm.gamma"), (r"LayerNorm\.bias$", "LayerNorm.beta"))(tensors)
    if not any(name.startswith("bert.") for name in tensors):
        tensors = {f"bert.{name}": tensor for name, tensor in tensors.items()}
        width = tensors["bert.pooler.dense.bias"].shape[0]
        tensors["cls.predictions.bias"] = torch.zeros(131)
        tensors["cls.predictions.transform.dense.weight"] = torch.zeros(width, width)
    tensors["cls.seq_relationship.weight"] = torch.zeros(2, 32)
    tensors["cls.seq_relationship.bias"] = torch.zeros(2)
    return tensors | {"bert.embeddings.position_ids": torch.arange(96)[None]}


def original_t5(tensors: StateDict) -> StateDict:
    """The files of t5-small: the shared table three times, and a position bias that is never read."""
    shared = tensors["shared.weight"]
    return tensors | {
        "encoder.embed_tokens.weight": shared.clone(),
        "decoder.embed_tokens.weight": shared.clone(),
        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.zeros(32, 4),
    }


# ---- Llama -----------------------------------------------------------------------------------------------

THREE_SHARDS = "45KB"


def rope(kind: str, theta: float = 10000.0, **rest: Any) -> Json:
    return {"rope_type": kind, "rope_theta": theta, **rest}


LLAMA3 = rope(
    "llama3",
    500000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=24,
)
# The base is small so that the bounds of YaRN fall inside so small a head.
YARN = rope("yarn", 100.0, factor=4.0, original_max_position_embeddings=72)

llama = Family("llama", "LlamaForCausalLM")
llama.default("two query heads to a key head, no biases, untied")
llama.variant("mqa", "one key head", num_key_value_heads=1)
llama.variant("mha", "as many key heads as query heads", num_key_value_heads=4)
llama.variant("gqa-3", "three query heads to a key head", hidden_size=48, num_attention_heads=6)
llama.variant("head-dim-wide", "heads wider than hidden / heads", head_dim=20)
llama.variant("head-dim-narrow", "heads narrower than hidden / heads", head_dim=4)
llama.variant("attention-bias", "biases in attention", attention_bias=True)
llama.variant("mlp-bias", "biases in the MLP", mlp_bias=True)
llama.variant("tied", "tied embeddings", tie_word_embeddings=True)
llama.variant("hidden-act", "another activation", hidden_act="gelu")
llama.variant("rope-linear", "linear RoPE", rope_parameters=rope("linear", factor=4.0))
llama.variant(
    "rope-dynamic",
    "dynamic NTK RoPE, every prompt about the original length or longer",
    rope_parameters=rope("dynamic", factor=2.0),
    max_position_embeddings=8,
    prompt_padding=0,
)
llama.variant("rope-yarn", "YaRN", rope_parameters=YARN)
llama.variant("rope-yarn-no-truncate", "YaRN, bounds not rounded", rope_parameters=YARN | {"truncate": False})
llama.variant(
    "rope-yarn-mscale",
    "YaRN with mscale and mscale_all_dim",
    rope_parameters=YARN | {"mscale": 0.707, "mscale_all_dim": 1.0},
)
llama.variant(
    "rope-yarn-attention-factor",
    "YaRN with its own betas and attention factor",
    rope_parameters=YARN | {"beta_fast": 4.0, "beta_slow": 2.0, "attention_factor": 0.9},
)
llama.variant(
    "rope-longrope",
    "LongRoPE beyond the original length",
    rope_parameters=rope(
        "longrope",
        factor=4.0,
        original_max_position_embeddings=8,
        short_factor=[1.0, 1.1, 1.2, 1.3],
        long_factor=[1.5, 2.0, 3.0, 4.0],
    ),
    prompt_padding=0,
)
llama.variant("rope-llama3", "Llama 3 RoPE", rope_parameters=LLAMA3)
llama.variant(
    "rope-proportional",
    "proportional RoPE: only some pairs of the whole head turn",
    head_dim=16,
    rope_parameters=rope("proportional", partial_rotary_factor=0.5),
)
llama.variant("v4", "config.json of transformers 4", rewrite_config=v4_config)
llama.variant("v4-llama3", "Llama 3 RoPE as transformers 4 spells it", rope_parameters=LLAMA3, rewrite_config=v4_config)
llama.variant(
    "v4-type",
    "rope_scaling.type",
    rope_parameters=rope("linear", factor=2.0),
    rewrite_config=v4_config_with_type,
)
llama.variant("bf16", "bf16 weights", dtype=torch.bfloat16)
llama.variant("f16", "f16 weights", dtype=torch.float16)
llama.variant("bf16-tied", "bf16 weights, tied", dtype=torch.bfloat16, tie_word_embeddings=True)
llama.variant("shards", "three shards and an index", max_shard_size=THREE_SHARDS)
llama.variant("inv-freq", "rotary frequencies among the tensors", rewrite_keys=with_inv_freq)

# ---- Qwen ------------------------------------------------------------------------------------------------

qwen3 = Family("qwen3", "Qwen3ForCausalLM", overrides={"head_dim": 16})
qwen3.default("normed queries and keys, heads wider than hidden / heads")
qwen3.variant("tied", "tied embeddings", tie_word_embeddings=True)
qwen3.variant("attention-bias", "biases in attention", attention_bias=True)
qwen3.variant("mqa", "one key head", num_key_value_heads=1, head_dim=8)
qwen3.variant(
    "sliding",
    "the last layers slide",
    use_sliding_window=True,
    sliding_window=6,
    max_window_layers=1,
    num_hidden_layers=3,
)
qwen3.variant("yarn", "YaRN, as its card recommends", rope_parameters=YARN)
qwen3.variant("v4", "config.json of transformers 4", rewrite_config=v4_config_without_layer_types)
qwen3.variant("bf16", "bf16 weights, tied", dtype=torch.bfloat16, tie_word_embeddings=True)

SLIDING_QWEN = {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1, "num_hidden_layers": 3}
qwen2 = Family("qwen2", "Qwen2ForCausalLM")
qwen2.default("biases in queries, keys and values alone")
qwen2.variant("tied", "tied embeddings", tie_word_embeddings=True)
qwen2.variant("mha", "as many key heads as query heads", num_key_value_heads=4)
qwen2.variant("sliding", "the last layers slide", **SLIDING_QWEN)
qwen2.variant(
    "v4-sliding",
    "sliding layers from max_window_layers",
    **SLIDING_QWEN,
    rewrite_config=v4_config_without_layer_types,
)
qwen2.variant(
    "v4-window-off", "a window that is not used", sliding_window=6, rewrite_config=v4_config_without_layer_types
)

MOE = {"num_local_experts": 4, "num_experts_per_tok": 2}
qwen3_moe = Family("qwen3_moe", "Qwen3MoeForCausalLM", overrides=MOE | {"moe_intermediate_size": 24, "head_dim": 16})
qwen3_moe.default("experts one by one, as published; top-k weights not normalised")
qwen3_moe.variant("norm-topk-prob", "top-k weights normalised", norm_topk_prob=True)
qwen3_moe.variant("mlp-only-layers", "a dense layer", mlp_only_layers=[1])
qwen3_moe.variant("sparse-step", "every second layer has experts", decoder_sparse_step=2, num_hidden_layers=3)
qwen3_moe.variant(
    "tied",
    "tied embeddings, three of five experts",
    tie_word_embeddings=True,
    num_local_experts=5,
    num_experts_per_tok=3,
)
qwen3_moe.variant(
    "stacked", "experts stacked, as transformers 5 holds them", save_original_format=False, norm_topk_prob=True
)

# ---- Mistral ---------------------------------------------------------------------------------------------

mistral = Family("mistral", "MistralForCausalLM")
mistral.default("no window", sliding_window=None)
mistral.variant("sliding", "a window shorter than the prompt", sliding_window=6)
mistral.variant("head-dim", "heads wider than hidden / heads", sliding_window=None, head_dim=12)
mistral.variant("v4", "config.json of transformers 4", sliding_window=6, rewrite_config=v4_config)

mixtral = Family("mixtral", "MixtralForCausalLM", overrides=MOE | {"intermediate_size": 32})
mixtral.default("experts one by one, as published")
mixtral.variant("sliding", "a window shorter than the prompt", sliding_window=6)
mixtral.variant("bf16", "bf16 weights", dtype=torch.bfloat16)
mixtral.variant("one-expert", "one expert to a token", num_experts_per_tok=1)
mixtral.variant("stacked", "experts stacked, as transformers 5 holds them", save_original_format=False)

# ---- Gemma -----------------------------------------------------------------------------------------------

gemma = Family("gemma", "GemmaForCausalLM", overrides={"head_dim": 16})
gemma.default("scaled embeddings, gains plus one, tied")
gemma.variant("mqa", "one key head, as the 2B model", num_key_value_heads=1)
gemma.variant("v4", "config.json of transformers 4", rewrite_config=v4_config)

gemma2 = Family(
    "gemma2", "Gemma2ForCausalLM", overrides={"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 6}
)
gemma2.default("every second layer slides; capped scores and logits")
gemma2.variant("softcap", "tight caps", attn_logit_softcapping=2.0, final_logit_softcapping=3.0)
gemma2.variant("no-softcap", "no caps", attn_logit_softcapping=None, final_logit_softcapping=None)
gemma2.variant("query-scalar", "query_pre_attn_scalar unlike head_dim", query_pre_attn_scalar=24)
gemma2.variant("v4", "config.json of transformers 4", rewrite_config=v4_config_without_layer_types)
gemma2.variant("bf16", "bf16 weights", dtype=torch.bfloat16)

GEMMA3_LAYERS = ["sliding_attention", "sliding_attention", "full_attention"]
gemma3 = Family(
    "gemma3_text",
    "Gemma3ForCausalLM",
    overrides={
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "sliding_window": 6,
        "num_hidden_layers": 3,
        "layer_types": GEMMA3_LAYERS,
    },
)
gemma3.default("two sliding layers and a full one, a RoPE each", intermediate_size=48)
gemma3.variant(
    "default-pattern", "layer types from the class: five sliding, one full", num_hidden_layers=7, layer_types=None
)
gemma3.variant(
    "softcap",
    "a tight cap of logits; transformers' Gemma 3 ignores the one of scores",
    attn_logit_softcapping=2.0,
    final_logit_softcapping=3.0,
)
gemma3.variant(
    "rope-linear",
    "linear RoPE in full layers alone, as the 4B model",
    rope_parameters={
        "full_attention": rope("linear", 1000000.0, factor=8.0),
        "sliding_attention": rope("default", 10000.0),
    },
)
gemma3.variant("v4", "rope_local_base_freq and sliding_window_pattern", rewrite_config=v4_config_gemma3)
gemma3.variant(
    "v4-rope-linear",
    "rope_scaling for full layers alone",
    rope_parameters={
        "full_attention": rope("linear", 500000.0, factor=4.0),
        "sliding_attention": rope("default", 5000.0),
    },
    rewrite_config=v4_config_gemma3,
)

# ---- Phi-3 -----------------------------------------------------------------------------------------------


def long_rope(original: int) -> Json:
    return rope(
        "longrope",
        original_max_position_embeddings=original,
        short_factor=[1.0, 1.05, 1.1, 1.2],
        long_factor=[1.2, 2.0, 3.5, 5.0],
    )


phi3 = Family("phi3", "Phi3ForCausalLM")
phi3.default("fused projections")
phi3.variant("sliding", "a window shorter than the prompt", sliding_window=6)
phi3.variant("partial", "part of each head turns", rope_parameters=rope("default", partial_rotary_factor=0.5))
phi3.variant("tied", "tied, as Phi-4-mini", tie_word_embeddings=True)
phi3.variant(
    "longrope-short",
    "LongRoPE within the original length",
    rope_parameters=long_rope(64),
    original_max_position_embeddings=64,
)
phi3.variant(
    "longrope-long",
    "LongRoPE beyond the original length",
    rope_parameters=long_rope(6),
    original_max_position_embeddings=6,
    prompt_padding=0,
)
phi3.variant(
    "longrope-crossing",
    "LongRoPE, the original length passed while generating",
    rope_parameters=long_rope(14),
    original_max_position_embeddings=14,
    prompt_padding=0,
)
phi3.variant(
    "v4-longrope",
    "LongRoPE as transformers 4 spells it",
    rope_parameters=long_rope(6),
    original_max_position_embeddings=6,
    prompt_padding=0,
    rewrite_config=v4_config_phi3,
)

# ---- GPT-2 and GPT-NeoX ----------------------------------------------------------------------------------

gpt2 = Family("gpt2", "GPT2LMHeadModel")
gpt2.default("learned positions, transposed matrices, tied", n_inner=64)
gpt2.variant("four-times", "n_inner by default")
gpt2.variant("f16", "f16 weights", dtype=torch.float16, n_inner=48)
gpt2.variant("untied", "a head of its own", tie_word_embeddings=False)
gpt2.variant(
    "inverse-layer-scale", "scores divided by the layer", scale_attn_by_inverse_layer_idx=True, n_layer=3, n_inner=48
)
gpt2.variant("unscaled", "scores not divided by the root of the width", scale_attn_weights=False)
gpt2.variant("activation", "exact GELU", activation_function="gelu", n_inner=40)
gpt2.variant("bare-keys", "no prefix, masks among the tensors", rewrite_keys=bare_gpt2, n_inner=48)

gpt_neox = Family(
    "gpt_neox", "GPTNeoXForCausalLM", overrides={"rope_parameters": rope("default", partial_rotary_factor=0.5)}
)
gpt_neox.default("parallel residual, half of each head turns; embed_out, as published")
gpt_neox.variant("v5-keys", "lm_head, as transformers 5 names it", save_original_format=False)
gpt_neox.variant("sequential", "no parallel residual", use_parallel_residual=False)
gpt_neox.variant("no-attention-bias", "no biases in attention", attention_bias=False)
gpt_neox.variant("full-rotary", "all of each head turns", rope_parameters=rope("default", partial_rotary_factor=1.0))
gpt_neox.variant("tied", "tied embeddings", tie_word_embeddings=True)
gpt_neox.variant(
    "v4",
    "rotary_pct, and buffers among the tensors",
    rewrite_config=v4_config_gpt_neox,
    rewrite_keys=original_gpt_neox,
)

# ---- Granite, OLMo 2, SmolLM3, StarCoder2 ----------------------------------------------------------------

granite = Family(
    "granite",
    "GraniteForCausalLM",
    overrides={
        "embedding_multiplier": 3.0,
        "residual_multiplier": 0.4,
        "attention_multiplier": 0.2,
        "logits_scaling": 2.0,
    },
)
granite.default("all four multipliers")
granite.variant("tied", "tied embeddings", tie_word_embeddings=True)
granite.variant("bias", "biases in attention and MLP", attention_bias=True, mlp_bias=True)

olmo2 = Family("olmo2", "Olmo2ForCausalLM")
olmo2.default("norms after the sub-layers, queries and keys normed whole")
olmo2.variant("mha", "as many key heads as query heads", num_key_value_heads=4)
olmo2.variant("tied-bias", "tied embeddings, biases in attention", tie_word_embeddings=True, attention_bias=True)

smollm3 = Family("smollm3", "SmolLM3ForCausalLM", overrides={"num_hidden_layers": 3})
smollm3.default("the second layer without RoPE, tied", no_rope_layers=[1, 0, 1])
smollm3.variant("no-rope-interval", "no_rope_layers from the interval", no_rope_layer_interval=2)
smollm3.variant(
    "untied-bias", "untied, biases in attention and MLP", tie_word_embeddings=False, attention_bias=True, mlp_bias=True
)
smollm3.variant(
    "sliding", "layers with RoPE slide", use_sliding_window=True, sliding_window=6, no_rope_layers=[1, 0, 1]
)

starcoder2 = Family("starcoder2", "Starcoder2ForCausalLM")
starcoder2.default("layer norms and biases, tied")
starcoder2.variant("sliding", "a window shorter than the prompt", sliding_window=6)
starcoder2.variant("no-bias", "no biases", use_bias=False)
starcoder2.variant("untied", "a head of its own", tie_word_embeddings=False)

# ---- gpt-oss ---------------------------------------------------------------------------------------------

GPT_OSS_ROPE = rope(
    "yarn",
    100.0,
    factor=4.0,
    beta_fast=32.0,
    beta_slow=1.0,
    truncate=False,
    original_max_position_embeddings=72,
)
gpt_oss = Family(
    "gpt_oss",
    "GptOssForCausalLM",
    overrides=MOE
    | {
        "head_dim": 16,
        "intermediate_size": 32,
        "sliding_window": 6,
        "rope_parameters": GPT_OSS_ROPE,
        "layer_types": ["sliding_attention", "full_attention"],
    },
)
gpt_oss.default("sinks, every second layer slides, clamped experts with biases, YaRN")
gpt_oss.variant("no-attention-bias", "no biases in attention", attention_bias=False)
gpt_oss.variant(
    "default-rope", "plain RoPE, three of four experts", rope_parameters=rope("default"), num_experts_per_tok=3
)
gpt_oss.variant("limit", "a clamp that bites", swiglu_limit=0.5, swiglu_alpha=1.3)

# ---- encoders --------------------------------------------------------------------------------------------

bert = Family("bert", "BertModel", Kind.ENCODER)
bert.default("hidden states and pooled output", suffix="base")
bert.variant("base-relu", "another activation", hidden_act="relu")
bert.variant("base-pretraining-keys", "the names of bert-base, heads and all", rewrite_keys=pretraining_bert)

bert_masked_lm = Family("bert", "BertForMaskedLM", Kind.ENCODER)
bert_masked_lm.default("tied head", suffix="masked-lm")
bert_masked_lm.variant("masked-lm-untied", "a head of its own", tie_word_embeddings=False)
bert_masked_lm.variant(
    "masked-lm-pretraining-keys", "gamma, beta, and a head not asked for", rewrite_keys=pretraining_bert
)

bert_sequence = Family("bert", "BertForSequenceClassification", Kind.ENCODER)
bert_sequence.default("three labels", suffix="sequence-classification", num_labels=3)
bert_sequence.variant("sequence-classification-bf16", "bf16 weights, five labels", num_labels=5, dtype=torch.bfloat16)

# ---- encoder-decoders ------------------------------------------------------------------------------------

T5_SMALL_BUCKETS = {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 12}
t5 = Family("t5", "T5ForConditionalGeneration", Kind.ENCODER_DECODER, {"decoder_start_token_id": 0})
t5.default("v1.0: ReLU, tied and scaled")
t5.default(
    "v1.1: gated GELU, a head of its own",
    suffix="gated",
    feed_forward_proj="gated-gelu",
    tie_word_embeddings=False,
    untie_head=True,
)
t5.variant("head-dim", "heads narrower than hidden / heads, coarse buckets", d_kv=4, **T5_SMALL_BUCKETS)
t5.variant("layers", "more encoder than decoder layers", num_layers=3, num_decoder_layers=1)
t5.variant("original-keys", "the tensors of t5-small", rewrite_keys=original_t5)
t5.variant(
    "gated-bf16",
    "v1.1 in bf16, its configuration as published",
    feed_forward_proj="gated-gelu",
    tie_word_embeddings=False,
    untie_head=True,
    dtype=torch.bfloat16,
    rewrite_config=v4_config_t5,
)

# ---- vision ----------------------------------------------------------------------------------------------

IMAGE = {"image_size": 32, "patch_size": 8}
vit = Family("vit", "ViTModel", Kind.VISION, IMAGE | {"pooler_output_size": 48})
vit.default("hidden states and pooled output, names as published", suffix="base")
vit.variant("base-no-qkv-bias", "no biases in queries, keys and values", qkv_bias=False, pooler_output_size=32)
vit.variant("base-pooler", "a pooler of another width and activation", pooler_output_size=20, pooler_act="relu")

vit_image = Family("vit", "ViTForImageClassification", Kind.VISION, IMAGE)
vit_image.default("seven labels", suffix="image-classification", num_labels=7)
vit_image.variant(
    "image-classification-v5-keys", "module names of transformers 5", num_labels=3, save_original_format=False
)
vit_image.variant("image-classification-bf16", "bf16 weights", num_labels=5, dtype=torch.bfloat16)
vit_image.variant(
    "image-classification-one-channel", "one channel, small patches", num_channels=1, image_size=20, patch_size=4
)

# ---- audio -----------------------------------------------------------------------------------------------

whisper = Family(
    "whisper",
    "WhisperForConditionalGeneration",
    Kind.AUDIO_TO_TEXT,
    {
        "num_mel_bins": 16,
        "max_source_positions": 30,
        "max_target_positions": 64,
        "decoder_start_token_id": 1,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
    },
)
whisper.default("two convolutions, cross-attention, tied")
whisper.variant("scale-embedding", "scale_embedding, which transformers' Whisper ignores", scale_embedding=True)
whisper.variant(
    "suppress",
    "tokens suppressed always and at the beginning",
    suppress_tokens=[5, 7, 11],
    begin_suppress_tokens=[9, 2],
)
whisper.variant("bf16", "bf16 weights", dtype=torch.bfloat16)
