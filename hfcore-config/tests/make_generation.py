"""Writes tests/data/generation.json: what transformers does with generation parameters.

    python tests/make_generation.py        (transformers 5.23)

- saved:     the text of generation_config.json as `save_pretrained` writes it
- resolved:  a model's file and a caller's parameters -> the parameters `generate()` works with
- refused:   parameters, and whether `GenerationConfig(**parameters)` raises
- derived:   a config.json -> the file that `from_model_config` and `save_pretrained` make of it
"""

import json
import os
import tempfile

import transformers
from transformers import GenerationConfig

transformers.logging.set_verbosity_error()


def saved(config):
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        with open(os.path.join(folder, "generation_config.json")) as file:
            return file.read()


files = [
    {},
    {"max_length": 4096, "temperature": 0.6, "top_p": 0.9, "do_sample": True, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009]},
    {"eos_token_id": 2, "pad_token_id": 0, "transformers_version": "4.31.0"},
    {"do_sample": True, "epsilon_cutoff": 3e-4, "eta_cutoff": 1e-5, "min_p": 0.05, "typical_p": 0.95, "top_h": 0.4, "top_k": 0},
    {"num_beams": 4, "early_stopping": "never", "length_penalty": 2.0, "no_repeat_ngram_size": 3, "num_return_sequences": 2},
    {"num_beams": 5, "early_stopping": True, "forced_bos_token_id": 0, "forced_eos_token_id": 2, "decoder_start_token_id": 2, "encoder_no_repeat_ngram_size": 4},
    {"bad_words_ids": [[5], [6, 7]], "sequence_bias": [[[1, 2], -3.5], [[9], 4.0]], "suppress_tokens": [1, 2], "begin_suppress_tokens": [220], "exponential_decay_length_penalty": [15, 1.01]},
    {"stop_strings": "END", "max_new_tokens": 7, "min_new_tokens": 2, "max_time": 1.5, "renormalize_logits": True, "remove_invalid_values": True},
    {"stop_strings": ["é", "\n\n", "終"], "repetition_penalty": 1.05, "encoder_repetition_penalty": 1.2, "guidance_scale": 1.5},
    {"watermarking_config": {"bias": 1.5, "seeding_scheme": "selfhash"}},
    {"lang_to_id": {"<|en|>": 50259, "<|de|>": 50261}, "alignment_heads": [[5, 3], [5, 9]], "is_multilingual": True, "no_timestamps_token_id": 50363, "prev_sot_token_id": None},
    {"cache_implementation": "hybrid", "use_cache": True, "cache_config": {"nbits": 4}, "max_cache_len": 100},
    {"prompt_lookup_num_tokens": 10, "max_matching_ngram_size": 3, "num_assistant_tokens": 5, "num_assistant_tokens_schedule": "heuristic", "assistant_confidence_threshold": 0.5, "assistant_ensemble_weight": 0.5},
    {"return_dict_in_generate": True, "output_scores": True, "output_logits": True, "output_attentions": False, "disable_compile": True, "prefill_chunk_size": 64},
    {"penalty_alpha": 0.6, "top_k": 50, "dola_layers": "high", "diversity_penalty": 0.0, "num_beam_groups": 1, "low_memory": False},
]

resolved = [
    ({}, {}),
    (files[1], {}),
    (files[1], {"temperature": 1.0, "max_new_tokens": 5}),
    (files[1], {"do_sample": False, "eos_token_id": 7}),
    (files[4], {"num_beams": 8, "early_stopping": False}),
    (files[10], {"top_k": 3, "do_sample": True}),
    (files[11], {"use_cache": True}),
    (files[7], {"max_length": 30}),
]

refused = [
    {"max_new_tokens": 0},
    {"max_new_tokens": 1},
    {"early_stopping": "soon"},
    {"early_stopping": "never"},
    {"assistant_ensemble_weight": 0.0},
    {"assistant_ensemble_weight": 0.5},
    {"cache_implementation": "paged"},
    {"cache_implementation": "offloaded_hybrid_chunked"},
    {"cache_implementation": "magic"},
    {"num_return_sequences": 2},
    {"num_return_sequences": 2, "do_sample": True},
    {"num_return_sequences": 2, "num_beams": 2},
    {"num_return_sequences": 3, "num_beams": 2, "do_sample": True},
    {"suppress_tokens": [1, 2], "forced_eos_token_id": [1, 2]},
    {"suppress_tokens": [1, 2], "forced_eos_token_id": [1, 3]},
    {"suppress_tokens": [1, 2], "forced_bos_token_id": 1},
    {"suppress_tokens": [], "forced_bos_token_id": 1},
    {"streamer": 1},
    {"assistant_model": "gpt2"},
    {"watermarking_config": {"seeding_scheme": "other"}},
    {"watermarking_config": {"greenlist_ratio": 1.5}},
    {"watermarking_config": {"context_width": 0}},
    {"watermarking_config": {"unknown": 0}},
    {"temperature": 0.5, "do_sample": False},
    {"pad_token_id": -1},
    {"unknown_key": [1, {"a": None}]},
]

derived = [
    {"model_type": "llama", "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None, "hidden_size": 8, "temperature": 0.7, "do_sample": True},
    {"model_type": "bart", "num_beams": 4, "forced_eos_token_id": 2, "decoder_start_token_id": 2, "force_bos_token_to_be_generated": True, "bos_token_id": 0},
    {"model_type": "vision-encoder-decoder", "decoder": {"max_length": 20, "eos_token_id": 50256, "bos_token_id": 3}, "bos_token_id": 4},
    {"model_type": "gemma3", "text_config": {"eos_token_id": [1, 106], "pad_token_id": 0}, "vision_config": {"max_length": 3}},
    {"model_type": "gpt2", "output_hidden_states": True, "n_embd": 8, "transformers_version": "4.0.0"},
]


def resolve(model, caller):
    config = GenerationConfig(**json.loads(json.dumps(caller)))
    config.update(**GenerationConfig(**json.loads(json.dumps(model))).to_dict(), defaults_only=True, allow_custom_entries=True)
    config.update(**GenerationConfig._get_default_generation_params(), defaults_only=True)
    if config.cache_implementation == "hybrid":
        config.cache_implementation = None
    resolved = json.loads(config.to_json_string(use_diff=False, ignore_metadata=True))
    return {key: value for key, value in resolved.items() if value is not None}


def raises(parameters):
    try:
        GenerationConfig(**parameters)
    except (ValueError, TypeError):
        return True
    return False


out = {
    "transformers": transformers.__version__,
    "fields": [key for key in GenerationConfig().to_dict() if not key.startswith("_")],
    "saved": [saved(GenerationConfig(**json.loads(json.dumps(file)))) for file in files],
    "resolved": [{"model": m, "caller": c, "resolved": resolve(m, c)} for m, c in resolved],
    "refused": [{"parameters": p, "raises": raises(json.loads(json.dumps(p)))} for p in refused],
    "derived": [{"config": c, "saved": saved(GenerationConfig.from_model_config(json.loads(json.dumps(c))))} for c in derived],
}
path = os.path.join(os.path.dirname(__file__), "data", "generation.json")
with open(path, "w") as file:
    json.dump(out, file, indent=1)
    file.write("\n")
print(os.path.getsize(path), "bytes")
