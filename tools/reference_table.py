"""The table of goldens: every family, and the variants that flip one thing at a time.

A golden is a family's configuration class, shrunk by `TINY` wherever the class has the attribute,
with the overrides given here. `make_reference.py` turns each into a folder.
"""

from __future__ import annotations

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
    overrides: Json = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    max_shard_size: str = "50GB"
    save_original_format: bool = True
    rewrite_config: Callable[[Json], Json] | None = None
    rewrite_keys: Callable[[StateDict], StateDict] | None = None
    single_length: int = 13
    batch_length: int = 17
    prompt_length: int = 9

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
        """The class's defaults, shrunk by `TINY`, then this golden's overrides."""
        defaults = self.config_class()
        known = set(defaults.to_dict()) | set(self.config_class.attribute_map)
        tiny = {key: value for key, value in TINY.items() if key in known}
        return self.config_class(**{**tiny, **self.overrides}, **extra)


GOLDENS: list[Golden] = []


def golden(name: str, kind: Kind, architecture: str, note: str, **rest: Any) -> None:
    """Add a row. `model_type` is the name's part before the first `-` unless given."""
    fields = {key: rest.pop(key) for key in list(rest) if key in Golden.__dataclass_fields__}
    model_type = fields.pop("model_type", name.split("-")[0])
    GOLDENS.append(Golden(name, model_type, architecture, kind, note, rest, **fields))


def decoder(name: str, architecture: str, note: str, **rest: Any) -> None:
    golden(name, Kind.DECODER, architecture, note, **rest)


# ---- Llama -----------------------------------------------------------------------------------------------


def llama(name: str, note: str, **rest: Any) -> None:
    decoder(name, "LlamaForCausalLM", note, **rest)


llama("llama", "the default: two query heads to a key head, untied")
