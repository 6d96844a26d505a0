#!/usr/bin/env python3
"""Make the demo checkpoint: a small Llama that tells the stories of `story_grammar.py`.

    make_demo.py OUT [--steps N]

Composes the text, trains a byte-level BPE tokenizer on it, trains the model, and writes a folder as on
the Hub: config.json, model.safetensors (bf16), generation_config.json, tokenizer.json,
tokenizer_config.json, chat_template.jinja and a model card. All seeds are fixed. Twenty minutes or so on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

# Waiting threads sleep: on a busy machine spinning ones take the cores that they wait for.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from story_grammar import Storyteller

END_OF_TEXT, USER, ASSISTANT, END_OF_TURN = SPECIAL = ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_TEMPLATE = """\
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|assistant|>' + message.content + '<|end|>' }}
    {%- elif message.role == 'user' %}
        {{- '<|user|>' + message.content + '<|end|>' }}
    {%- elif message.role != 'system' %}
        {{- raise_exception('Unknown role: ' + message.role) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>' }}
{%- endif %}
"""
VOCAB_SIZE = 2048
CONTEXT = 512
ROW_LENGTH = 272
BATCH_SIZE = 8
MUON_LEARNING_RATE, ADAM_LEARNING_RATE = 0.02, 4e-3
WARMUP_STEPS = 40
COOLDOWN_SHARE = 0.5
CHAT_SHARE = 0.4
TOKENIZER_STORIES = 4000
TOKENIZER_SEED, TRAINING_SEED, WEIGHTS_SEED = 1, 2, 3

MODEL_CARD = """\
---
license: [mit, apache-2.0]
language: en
library_name: transformers
pipeline_tag: text-generation
---

# hfcore demo: a teller of short stories

A Llama of {parameters:.1f} million parameters ({layers} layers of width {width}) that tells short stories in plain
English. It is here to show that everything works, and knows nothing but its stories.

- **Text**: composed by the seeded grammar in `tools/story_grammar.py`; no text by anyone else was used.
- **Tokenizer**: byte-level BPE of {vocab_size} tokens, trained on the same stories.
- **Training**: `tools/make_demo.py`, {steps} steps of {batch} rows of {row} tokens; weights stored in bf16.
- **Prompts**: `Once upon a time` (any beginning of a story will do), or the chat template with a wish such as
  `Tell me a story about a fox.` It always tells one, but is too small to be sure about whom.
- **Licence**: MIT OR Apache-2.0, as the rest of this repository.
"""


def documents(seed: int) -> Iterator[str]:
    """Stories and conversations without end, special tokens spelled out."""
    teller = Storyteller(seed)
    while True:
        if teller.random.random() >= CHAT_SHARE:
            yield teller.story() + END_OF_TEXT
            continue
        turns = teller.conversation()
        yield (
            "".join(f"{USER}{ask}{END_OF_TURN}{ASSISTANT}{answer}{END_OF_TURN}" for ask, answer in turns) + END_OF_TEXT
        )


def plain_text() -> Iterator[str]:
    """What the tokenizer learns from: stories and conversations without special tokens."""
    teller = Storyteller(TOKENIZER_SEED)
    for _ in range(TOKENIZER_STORIES):
        yield teller.story()
        for ask, answer in teller.conversation():
            yield ask
            yield answer


def train_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(plain_text(), trainer)
    return tokenizer


def rows(tokenizer: Tokenizer, seed: int) -> Iterator[list[int]]:
    """Rows of `ROW_LENGTH` tokens, each starting where a document starts, as a prompt does."""
    source = documents(seed)
    while True:
        row: list[int] = []
        while len(row) < ROW_LENGTH:
            row += tokenizer.encode(next(source)).ids
        yield row[:ROW_LENGTH]


def new_model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    torch.manual_seed(WEIGHTS_SEED)
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=256,
            intermediate_size=672,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=end_of_text,
            eos_token_id=end_of_text,
            pad_token_id=end_of_text,
        )
    )


def schedule(step: int, steps: int) -> float:
    """The share of the peak learning rate: a linear warm-up, a plateau, a linear way down to nothing."""
    return min(1.0, (step + 1) / WARMUP_STEPS, (steps - step) / (COOLDOWN_SHARE * steps))


def optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, which learn in half the steps with it; AdamW for the rest."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    inside = set(map(id, matrices))
    rest = [p for p in model.parameters() if id(p) not in inside]
    return [
        torch.optim.Muon(matrices, lr=MUON_LEARNING_RATE, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=ADAM_LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def train(model: LlamaForCausalLM, tokenizer: Tokenizer, steps: int) -> None:
    both = optimizers(model)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(one, lambda step: schedule(step, steps)) for one in both]
    source = rows(tokenizer, TRAINING_SEED)
    started = time.monotonic()
    model.train()
    for step in range(steps):
        batch: Tensor = torch.tensor([next(source) for _ in range(BATCH_SIZE)])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, scheduler in zip(both, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad(set_to_none=True)
        if step % 25 == 0 or step == steps - 1:
            print(f"step {step} loss {loss.item():.3f} {time.monotonic() - started:.0f} s", flush=True)
    model.eval()


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_folder(out: Path, model: LlamaForCausalLM, tokenizer: Tokenizer, steps: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL}
    model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        bos_token_id=ids[END_OF_TEXT],
        eos_token_id=[ids[END_OF_TEXT], ids[END_OF_TURN]],
        pad_token_id=ids[END_OF_TEXT],
        do_sample=True,
        temperature=0.7,
        top_p=0.95,
        max_new_tokens=320,
    )
    model.save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    write_json(
        out / "tokenizer_config.json",
        {
            "added_tokens_decoder": {
                str(index): {
                    "content": token,
                    "lstrip": False,
                    "normalized": False,
                    "rstrip": False,
                    "single_word": False,
                    "special": True,
                }
                for token, index in ids.items()
            },
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "pad_token": END_OF_TEXT,
            "clean_up_tokenization_spaces": False,
            "model_max_length": CONTEXT,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    card = MODEL_CARD.format(
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        layers=model.config.num_hidden_layers,
        width=model.config.hidden_size,
        vocab_size=tokenizer.get_vocab_size(),
        steps=steps,
        batch=BATCH_SIZE,
        row=ROW_LENGTH,
    )
    (out / "README.md").write_text(card)


def show(model: LlamaForCausalLM, tokenizer: Tokenizer) -> None:
    """Print what the model makes of a few prompts."""
    wish = f"{USER}Tell me a story about a fox.{END_OF_TURN}{ASSISTANT}"
    for prompt in ("Once upon a time", "The little owl", wish, f"{USER}Hello!{END_OF_TURN}{ASSISTANT}"):
        for sample in (False, True):
            torch.manual_seed(0)
            output = model.generate(torch.tensor([tokenizer.encode(prompt).ids]), do_sample=sample, max_new_tokens=320)
            text = tokenizer.decode(output[0].tolist(), skip_special_tokens=False)
            print(f"--- {'sampled' if sample else 'greedy'}\n{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--steps", type=int, default=1500, help="training steps (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    tokenizer = train_tokenizer()
    model = new_model(tokenizer)
    print(f"{model.num_parameters()} parameters, {tokenizer.get_vocab_size()} tokens", flush=True)
    train(model, tokenizer, arguments.steps)
    write_folder(arguments.out, model, tokenizer, arguments.steps)
    show(model, tokenizer)


if __name__ == "__main__":
    main()
