"""Writes generate.json: what transformers' own `generate` makes of a model that is three tables.

The logits behind a token are `bigram[token] + position[its position] + mean(history[all tokens so far])`,
so that a wrong token, a wrong position, and keys and values of another beam all show. Run with transformers 5.23: `python make_generate.py`.
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from torch import nn
from transformers import GenerationConfig, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput, Seq2SeqLMOutput

V, CONTEXT, PAD = 40, 64, 0
random = torch.Generator().manual_seed(17)
BIGRAM = torch.randn(V, V, generator=random) * 2
POSITION = torch.randn(CONTEXT, V, generator=random) * 0.7
BIGRAM[:, PAD] -= 30  # left padding is no text: no rule may come to see more of it
BIGRAM = BIGRAM.round(decimals=3)
POSITION = POSITION.round(decimals=3)
HISTORY = (torch.randn(V, V, generator=random) * 3).round(decimals=3)


class TableConfig(PreTrainedConfig):
    model_type = "table"

    def __init__(self, **kwargs):
        self.vocab_size = V
        self.max_position_embeddings = CONTEXT
        self.num_hidden_layers = 1
        super().__init__(**kwargs)


def logits(ids, positions, mask):
    mask = torch.ones_like(ids) if mask is None else mask
    mask = mask.float()[..., None]
    mean = (HISTORY[ids] * mask).cumsum(1) / mask.cumsum(1).clamp(min=1)
    return BIGRAM[ids] + POSITION[positions] + mean


class TableModel(PreTrainedModel, GenerationMixin):
    config_class = TableConfig
    main_input_name = "input_ids"

    def __init__(self, config):
        super().__init__(config)
        self.dummy = nn.Linear(1, 1)

    def forward(self, input_ids, attention_mask=None, position_ids=None, use_cache=None, return_dict=None):
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1])[None]
        return CausalLMOutput(logits=logits(input_ids, position_ids, attention_mask))


class Encoder(nn.Module):
    main_input_name = "input_ids"

    def forward(self, input_ids, attention_mask=None, return_dict=None, **_):
        return BaseModelOutput(last_hidden_state=torch.zeros(*input_ids.shape, 1))


class TableSeq2Seq(TableModel):
    def __init__(self, config):
        super().__init__(config)
        self.encoder = Encoder()

    def get_encoder(self, modality=None):
        return self.encoder

    def forward(self, input_ids=None, attention_mask=None, decoder_input_ids=None, encoder_outputs=None, use_cache=None, return_dict=None):
        positions = torch.arange(decoder_input_ids.shape[1])[None].expand_as(decoder_input_ids)
        return Seq2SeqLMOutput(logits=logits(decoder_input_ids, positions, None))


def build(cls, **config):
    model = cls(TableConfig(bos_token_id=None, eos_token_id=None, pad_token_id=None, **config)).eval()
    model.generation_config = GenerationConfig()
    return model


decoder = build(TableModel)
seq2seq = build(TableSeq2Seq, is_encoder_decoder=True)
ONE = [[5, 17, 9]]
THREE = [[5, 17, 9], [31, 4, 4, 22, 8], [12, 33]]
CASES = []


def case(prompts, encoder=None, **config):
    CASES.append((prompts, encoder, config))


eos = {"eos_token_id": 2, "pad_token_id": PAD}
many = {"eos_token_id": [2, 14, 25], "pad_token_id": PAD}
processed = [
    {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 1}, {"no_repeat_ngram_size": 2}, {"min_new_tokens": 8},
    {"bad_words_ids": [[3], [9, 6], [7, 8]]}, {"sequence_bias": [[[2], -8.0], [[6], 3.0]]}, {"suppress_tokens": [6, 7, 8, 9]},
    {"begin_suppress_tokens": list(range(20))}, {"forced_eos_token_id": 14}, {"exponential_decay_length_penalty": [2, 1.4]},
    {"encoder_repetition_penalty": 1.5}, {"renormalize_logits": True}, {"encoder_no_repeat_ngram_size": 1},
    {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "min_new_tokens": 5, "bad_words_ids": [[4]]},
]
# Greedy.
case(ONE, **eos)
case(ONE, eos_token_id=2, max_length=12)
case(ONE, eos_token_id=2, max_new_tokens=1)
case(ONE, eos_token_id=2, max_length=12, max_new_tokens=15, min_length=11)
case(ONE, max_new_tokens=20)
case([[5] * 50], eos_token_id=39)
case(THREE, **eos)
case(THREE, **many, max_new_tokens=25)
case([[5, 17, 9], [12, 33, 4]], eos_token_id=[2, 14, 25], max_new_tokens=25)
case(THREE, max_new_tokens=9, pad_token_id=PAD)
case(THREE, **eos, do_sample=True, top_k=1, temperature=0.5)
for fields in processed:
    case(ONE, **eos, max_new_tokens=14, **fields)
    case(THREE, **many, max_new_tokens=14, **fields)
# Beams.
for num_beams, early, penalty in itertools.product((2, 4), (False, True, "never"), (1.0, 0.0, -1.0, 2.0)):
    case(ONE, **eos, num_beams=num_beams, early_stopping=early, length_penalty=penalty, max_new_tokens=16)
    case(THREE, **many, num_beams=num_beams, early_stopping=early, length_penalty=penalty, max_new_tokens=12)
for fields in processed:
    case(ONE, **eos, num_beams=3, num_return_sequences=3, max_new_tokens=14, **fields)
    case(THREE, **many, num_beams=4, num_return_sequences=2, early_stopping=True, max_new_tokens=10, **fields)
case(THREE, **eos, num_beams=5, num_return_sequences=5)
case(THREE, num_beams=3, num_return_sequences=2, max_new_tokens=8, pad_token_id=PAD)
case(ONE, eos_token_id=2, num_beams=2, max_new_tokens=1)
case(ONE, eos_token_id=2, pad_token_id=6, num_beams=4, num_return_sequences=4, max_length=20, early_stopping=True)
# Encoder-decoder.
TEXT = [[11, 23, 23, 7], [9, 30, 2, 2]]
for beams in ({}, {"num_beams": 3, "num_return_sequences": 2}):
    start = {"eos_token_id": 2, "pad_token_id": PAD, "max_new_tokens": 12, **beams}
    case(None, TEXT, decoder_start_token_id=13, **start)
    case(None, TEXT, bos_token_id=21, **start)
    case(None, TEXT, decoder_start_token_id=13, forced_bos_token_id=28, begin_suppress_tokens=[3, 4, 5, 6, 7], **start)
    case(None, TEXT, decoder_start_token_id=13, encoder_repetition_penalty=3.0, **start)
    case(None, TEXT, decoder_start_token_id=13, encoder_no_repeat_ngram_size=1, no_repeat_ngram_size=1, **start)
    case([[8, 3], [6, 26]], TEXT, decoder_start_token_id=13, **start)
    case([[13, 3], [6, 26]], TEXT, decoder_start_token_id=13, **start)
    case(None, TEXT, decoder_start_token_id=[13, 19], forced_eos_token_id=2, **start)

out = []
for prompts, encoder, config in CASES:
    arguments = dict(config)
    rows = prompts or []
    width = max((len(row) for row in rows), default=0)
    kwargs = {"use_cache": False, "return_dict_in_generate": True, "output_scores": True}
    if encoder is None:
        model = decoder
        kwargs["inputs"] = torch.tensor([[PAD] * (width - len(row)) + row for row in rows])
        kwargs["attention_mask"] = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    else:
        model = seq2seq
        kwargs["inputs"] = torch.tensor(encoder)
        kwargs["attention_mask"] = torch.ones_like(kwargs["inputs"])
        if prompts:
            kwargs["decoder_input_ids"] = torch.tensor(rows)
    with torch.no_grad():
        result = model.generate(generation_config=GenerationConfig(**arguments), **kwargs)
    entry = {"config": config, "prompts": rows, "encoder": encoder, "sequences": result.sequences.tolist()}
    if config.get("num_beams", 1) > 1:
        entry["scores"] = [float(str(x)) for x in result.sequences_scores.numpy()]
    out.append(entry)


def table(values):
    return [[float(str(x)) for x in row] for row in values.numpy()]


head = {
    "transformers": transformers.__version__, "torch": torch.__version__, "vocab_size": V, "context": CONTEXT,
    "bigram": table(BIGRAM), "position": table(POSITION), "history": table(HISTORY),
}
lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in out)
text = json.dumps(head, separators=(",", ":"))[:-1] + ',"cases":[\n' + lines + "\n]}\n"
path = Path(__file__).with_name("generate.json")
path.write_text(text)
print(f"{len(out)} cases, {path.stat().st_size} bytes, new tokens per row up to "
      f"{max(len(e['sequences'][0]) for e in out)}", file=sys.stderr)
