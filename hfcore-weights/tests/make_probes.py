#!/usr/bin/env python3
"""What the Python packages make of odd files, and what they write: the oracle of `headers.rs` and `save.rs`.

Writes `probes.jsonl` (one probe a line: the file in hex, and either the tensors that safetensors reads from it or its
refusal) and `saved/` (checkpoints as huggingface_hub and transformers write them). Run with

    pip install safetensors==0.8.0 huggingface_hub==2.4.0 torch numpy
    python make_probes.py
"""

import json
import random
import shutil
from pathlib import Path

import safetensors
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file

HERE = Path(__file__).parent


def file(header, data=b"", length=None):
    """A safetensors file of this header: text, bytes, or something to be written as JSON."""
    if not isinstance(header, (str, bytes)):
        header = json.dumps(header, separators=(",", ":"))
    if isinstance(header, str):
        header = header.encode()
    length = len(header) if length is None else length
    return length.to_bytes(8, "little") + header + data


def tensor(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def text(dtype='"F32"', shape="[1]", offsets="[0,4]", name='"a"', more=""):
    """A header of one tensor, each value as it is to be spelled."""
    return f'{{{name}:{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}{more}}}}}'


def probes():
    four = bytes(range(4))
    yield "plain", file({"a": tensor()}, four)
    yield "empty_file", b""
    yield "seven_bytes", bytes(7)
    yield "zero_header_length", bytes(8)
    yield "header_length_1", file("{", length=1)
    yield "header_length_2", file("{}")
    yield "header_length_one_beyond_end", file("{}", length=3)
    yield "header_length_2_63", file("{}", length=2**63)
    yield "header_length_max", file("{}", length=2**64 - 1)
    yield "header_length_cap", file("{}", length=100_000_000)
    yield "header_length_cap_plus_1", file("{}", length=100_000_001)
    yield "empty_object_trailing_data", file("{}", b"x")
    yield "trailing_spaces", file(text() + "   ", four)
    yield "trailing_newline", file(text() + "\n", four)
    yield "trailing_tab", file(text() + "\t", four)
    yield "trailing_nul", file(text() + "\0", four)
    yield "trailing_text", file(text() + "x", four)
    yield "trailing_object", file(text() + "{}", four)
    yield "leading_space", file(" " + text(), four)
    yield "leading_newline", file("\n" + text(), four)
    yield "byte_order_mark", file("\ufeff" + text(), four)
    yield "array", file("[]")
    yield "number", file("1")
    yield "null", file("null")
    yield "invalid_utf8_name", file(b'{"\xff":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', four)
    yield "invalid_utf8_in_ignored_value", file(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":"\xff"}}', four
    )
    yield "lone_surrogate_name", file(text(name='"\\ud800"'), four)
    yield "surrogate_pair_name", file(text(name='"\\ud83d\\ude00"'), four)
    yield "white_space_everywhere", file(
        '{ "a" :\n{ "dtype" : "F32" ,\t"shape" : [ 1 ] , "data_offsets" : [ 0 , 4 ] } }', four
    )
    yield "truncated_header", file(text()[:-1], four)
    yield "trailing_comma", file(text()[:-1] + ",}", four)
    yield "single_quotes", file(text().replace('"', "'"), four)
    yield "comment", file(text()[:-1] + "/**/}", four)

    # Offsets.
    yield "one_byte_missing", file(text(), four[:3])
    yield "one_byte_too_many", file(text(), four + b"x")
    yield "reversed_offsets", file(text(offsets="[4,0]"), four)
    yield "offsets_beyond_end", file(text(offsets="[4,8]"), four)
    yield "offsets_do_not_fit_shape", file(text(offsets="[0,3]"), four[:3])
    yield "offsets_huge", file(text(offsets="[0,18446744073709551615]"), four)
    yield "offsets_over_u64", file(text(offsets="[0,18446744073709551616]"), four)
    yield "offsets_negative", file(text(offsets="[-4,0]"), four)
    yield "offsets_float", file(text(offsets="[0,4.0]"), four)
    yield "offsets_one", file(text(offsets="[4]"), four)
    yield "offsets_three", file(text(offsets="[0,4,4]"), four)
    yield "offsets_null", file(text(offsets="null"), four)
    yield "offsets_strings", file(text(offsets='["0","4"]'), four)
    yield "hole", file({"a": tensor(), "b": tensor(offsets=(8, 12))}, bytes(12))
    yield "hole_at_start", file({"a": tensor(offsets=(4, 8))}, bytes(8))
    yield "overlap", file({"a": tensor(), "b": tensor(offsets=(2, 6))}, bytes(6))
    yield "same_bytes_twice", file({"a": tensor(), "b": tensor()}, four)
    yield "not_in_file_order", file({"a": tensor(offsets=(4, 8)), "b": tensor(offsets=(0, 4))}, bytes(8))
    yield "misaligned", file({"a": tensor("U8", (1,), (0, 1)), "b": tensor(offsets=(1, 5))}, bytes(5))
    yield "empty_tensors", file({n: tensor(shape=(0,), offsets=(0, 0)) for n in "abc"})
    yield "empty_tensor_between", file(
        {"a": tensor(), "e": tensor(shape=(0, 3), offsets=(4, 4)), "b": tensor(offsets=(4, 8))}, bytes(8)
    )
    yield "empty_tensor_beyond", file({"a": tensor(), "e": tensor(shape=(0,), offsets=(8, 8))}, four)

    # Shapes.
    for dims in [(0,), (1,), (2**31,), (2**32,), (2**63,), (2**64 - 1,)]:
        for more in [(), (0,), (1,), (2,), (2**32,), (2**63,), (2**64 - 1,)]:
            shape = dims + more
            elements = 1
            for dim in shape:
                elements *= dim
            end = min(elements * 4, 4)
            yield f"shape_{'x'.join(map(str, shape))}", file({"a": tensor(shape=shape, offsets=(0, end))}, bytes(end))
    yield "shape_product_wraps_to_4", file({"a": tensor(shape=(2**32, 2**32, 1), offsets=(0, 0))})
    yield "shape_huge_huge_0", file({"a": tensor(shape=(2**40, 2**40, 0), offsets=(0, 0))})
    yield "shape_0_huge_huge", file({"a": tensor(shape=(0, 2**40, 2**40), offsets=(0, 0))})
    yield "scalar", file(text(shape="[]"), four)
    yield "rank_16", file({"a": tensor(shape=[1] * 16)}, four)
    yield "rank_17", file({"a": tensor(shape=[1] * 17)}, four)
    yield "rank_1000", file({"a": tensor(shape=[1] * 1000)}, four)
    yield "shape_float", file(text(shape="[1.0]"), four)
    yield "shape_exponent", file(text(shape="[1e0]"), four)
    yield "shape_negative", file(text(shape="[-1]"), four)
    yield "shape_minus_zero", file(text(shape="[-0]", offsets="[0,0]"))
    yield "shape_leading_zero", file(text(shape="[01]"), four)
    yield "shape_nan", file(text(shape="[NaN]"), four)
    yield "shape_string", file(text(shape='["1"]'), four)
    yield "shape_true", file(text(shape="[true]"), four)
    yield "shape_null", file(text(shape="null"), four)
    yield "shape_number", file(text(shape="1"), four)
    yield "shape_nested", file(text(shape="[[1]]"), four)

    # Types.
    sizes = {
        "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
        "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
    }  # fmt: skip
    for dtype, bits in sizes.items():
        yield f"dtype_{dtype}", file({"a": tensor(dtype, (4,), (0, bits // 2))}, bytes(bits // 2))
    yield "half_a_byte", file({"a": tensor("F4", (3,), (0, 2))}, bytes(2))
    yield "half_a_byte_short", file({"a": tensor("F4", (3,), (0, 1))}, bytes(1))
    yield "bool_7", file({"a": tensor("BOOL", (1,), (0, 1))}, b"\x07")
    yield "dtype_unknown", file({"a": tensor("F128", (1,), (0, 16))}, bytes(16))
    yield "dtype_lower_case", file(text(dtype='"f32"'), four)
    yield "dtype_empty", file(text(dtype='""'), four)
    yield "dtype_words", file(text(dtype='"not a type"'), four)
    yield "dtype_null", file(text(dtype="null"), four)
    yield "dtype_number", file(text(dtype="7"), four)
    yield "dtype_as_enum_object", file(text(dtype='{"F32":null}'), four)
    yield "dtype_escaped", file(text(dtype='"\\u0046\\u0033\\u0032"'), four)
    yield "nan_values", file(text(), b"\x00\x00\xc0\x7f")

    # Names.
    yield "name_empty", file(text(name='""'), four)
    yield "name_nul", file(text(name='"\\u0000"'), four)
    yield "name_path", file(text(name='"../../etc/passwd"'), four)
    yield "name_4096", file(text(name='"' + "n" * 4096 + '"'), four)
    yield "name_4097", file(text(name='"' + "n" * 4097 + '"'), four)
    yield "name_raw_newline", file(text(name='"a\nb"'), four)
    two = text()[:-1] + "," + text(offsets="[4,8]")[1:]
    yield "name_twice", file(two, bytes(8))
    yield "name_twice_same", file(text()[:-1] + "," + text()[1:], four)
    yield "name_twice_by_escape", file(text()[:-1] + "," + text(name='"\\u0061"')[1:], four)

    # Keys of a description.
    yield "extra_key", file(text(more=',"x":[1,{"y":null}]'), four)
    yield "dtype_twice", file(text(more=',"dtype":"F32"'), four)
    yield "shape_twice", file(text(more=',"shape":[1]'), four)
    yield "offsets_twice", file(text(more=',"data_offsets":[0,4]'), four)
    yield "extra_key_twice", file(text(more=',"x":1,"x":2'), four)
    yield "no_dtype", file('{"a":{"shape":[1],"data_offsets":[0,4]}}', four)
    yield "no_shape", file('{"a":{"dtype":"F32","data_offsets":[0,4]}}', four)
    yield "no_offsets", file('{"a":{"dtype":"F32","shape":[1]}}', four)
    yield "description_array", file('{"a":["F32",[1],[0,4]]}', four)
    yield "description_null", file('{"a":null}')
    yield "description_string", file('{"a":"F32"}')
    yield "nested_127_in_extra_key", file(text(more=',"x":' + "[" * 100 + "]" * 100), four)
    yield "nested_1000_in_extra_key", file(text(more=',"x":' + "[" * 1000 + "]" * 1000), four)

    # Metadata.
    meta = lambda m: '{"__metadata__":' + m + "," + text()[1:]
    yield "metadata", file(meta('{"format":"pt","x":""}'), four)
    yield "metadata_empty", file(meta("{}"), four)
    yield "metadata_null", file(meta("null"), four)
    yield "metadata_number", file(meta('{"x":1}'), four)
    yield "metadata_null_value", file(meta('{"x":null}'), four)
    yield "metadata_nested", file(meta('{"x":{}}'), four)
    yield "metadata_array", file(meta("[]"), four)
    yield "metadata_string", file(meta('"x"'), four)
    yield "metadata_twice", file(meta('{"x":"1"},"__metadata__":{"x":"2"}'), four)
    yield "metadata_key_twice", file(meta('{"x":"1","x":"2"}'), four)
    yield "metadata_as_tensor", file('{"__metadata__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', four)
    yield "metadata_only", file('{"__metadata__":{"x":"y"}}')

    # Two formats in one file.
    plain = file(text(), four)
    yield "zip_appended", plain + b"PK\x05\x06" + bytes(18)
    yield "zip_prefixed", b"PK\x03\x04" + bytes(26) + plain
    yield "pickle_prefixed", b"\x80\x02}q\x00." + plain
    yield "zip_in_padding", file(text() + " " * 8 + "PK\x05\x06", four)


def mutants(count, seed):
    """Valid files with a few bytes changed, removed or repeated."""
    rng = random.Random(seed)
    base = file(
        {"__metadata__": {"format": "pt"}, "a.w": tensor("F16", (2, 2), (0, 8)), "b": tensor("U8", (3,), (8, 11))},
        bytes(range(11)),
    )
    for number in range(count):
        mutant = bytearray(base)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(8, len(mutant)) if rng.random() < 0.9 else rng.randrange(8)
            match rng.randrange(4):
                case 0:
                    mutant[at] = rng.choice(b'0123456789{}[]":, -.eE\\abFUI\x00\xff')
                case 1:
                    del mutant[at]
                    mutant[0] = (mutant[0] - 1) % 256 if rng.random() < 0.8 else mutant[0]
                case 2:
                    mutant.insert(at, rng.choice(b"0123456789{}[]\":, "))
                    mutant[0] = (mutant[0] + 1) % 256 if rng.random() < 0.8 else mutant[0]
                case 3:
                    mutant[at] ^= 1 << rng.randrange(8)
        yield f"mutant_{number}", bytes(mutant)


def outcome(contents):
    try:
        tensors = safetensors.deserialize(contents)
    except safetensors.SafetensorError as error:
        return {"error": str(error)[:120]}
    return {
        "tensors": sorted([name, info["dtype"], info["shape"], bytes(info["data"]).hex()] for name, info in tensors)
    }


def write_probes():
    lines = []
    for name, contents in [*probes(), *mutants(400, seed=1)]:
        lines.append(json.dumps({"name": name, "file": contents.hex(), **outcome(contents)}))
    (HERE / "probes.jsonl").write_text("\n".join(lines) + "\n")


def write_saved():
    folder = HERE / "saved"
    shutil.rmtree(folder, ignore_errors=True)
    state_dict = {
        "embed.weight": torch.arange(12, dtype=torch.float32).reshape(4, 3),
        "layers.0.w": torch.arange(6).reshape(2, 3).to(torch.bfloat16),
        "layers.0.b": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "layers.10.w": torch.arange(6).reshape(3, 2).to(torch.bfloat16),
        "layers.2.w": torch.zeros(0, 4),
        "ids": torch.arange(5),
        "mask": torch.tensor([True, False, True]),
        "scalar": torch.tensor(3.0, dtype=torch.float64),
        "größe\x7f\t": torch.tensor([1, 2, 255], dtype=torch.uint8),
    }
    for name, max_shard_size in [("single", 10_000), ("sharded", 50)]:
        (folder / name).mkdir(parents=True)
        # As transformers' `save_pretrained`, but for the count of parameters that it adds to the index.
        split = split_torch_state_dict_into_shards(state_dict, max_shard_size=max_shard_size)
        for filename, names in split.filename_to_tensors.items():
            shard = {name: state_dict[name] for name in names}
            save_file(shard, folder / name / filename, metadata={"format": "pt"})
        if split.is_sharded:
            index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
            text = json.dumps(index, indent=2, sort_keys=True) + "\n"
            (folder / name / "model.safetensors.index.json").write_text(text, encoding="utf-8")


write_probes()
write_saved()
