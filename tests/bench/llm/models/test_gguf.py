"""A GGUF file: its header, its weights as ours, and every way in which it can be wrong."""

from __future__ import annotations

import dataclasses
import struct
import warnings
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attnlab.bench import load_model
from attnlab.bench.errors import ModelError, ModelWarning, Unavailable, UnknownName
from attnlab.bench.llm.models.gguf_file import GgufFile, StoredTensor, read_header
from attnlab.bench.llm.models.gguf_model import half_split_rows
from attnlab.bench.llm.models.load import load_tokenizer, model_config
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.llm.models.weights import ModelWeights
from tests.bench.llm.models.gguf_files import FIELDS, TOY, stored, write

gguf = pytest.importorskip("gguf", reason="package gguf is not installed")

IDS = torch.arange(40).view(1, 40)


@pytest.fixture(scope="module")
def weights() -> ModelWeights:
    return random_weights(TOY, torch.float32, "cpu")


@pytest.fixture(scope="module")
def tensors(weights: ModelWeights) -> dict[str, Tensor]:
    return stored(weights)


def test_a_header_is_read_past_all_kinds_of_fields() -> None:
    def string(text: str) -> bytes:
        return struct.pack("<Q", len(text)) + text.encode()

    header = b"GGUF" + struct.pack("<IQQ", 3, 2, 5)
    header += string("general.alignment") + struct.pack("<II", 4, 64)
    header += string("words") + struct.pack("<IIQ", 9, 8, 2) + string("a") + string("b")
    header += string("scores") + struct.pack("<IIQ", 9, 6, 3) + bytes(12)
    header += string("pairs") + struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 1, 2) + bytes(2)
    header += string("name") + struct.pack("<I", 8) + string("tiny")
    header += string("a") + struct.pack("<IQQIQ", 2, 5, 3, 0, 0)
    header += string("b") + struct.pack("<IQIQ", 1, 7, 1, 64)
    start = -(-len(header) // 64) * 64
    read = read_header(header, "here")
    assert read.tensors == {"a": StoredTensor((3, 5), 0, start), "b": StoredTensor((7,), 1, start + 64)}
    assert read.fields["name"] == "tiny"
    for cut in range(24, len(header)):
        with pytest.raises(ModelError, match="here is cut short"):
            read_header(header[:cut], "here")


@pytest.mark.parametrize("quantisation", ["F32", "F16", "BF16", "Q8_0", "Q4_1"])
def test_weights_come_back(
    quantisation: str, weights: ModelWeights, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    path = write(tmp_path / "toy-model.gguf", tensors, quantisation)
    read = load_model(str(path))
    assert read.config == dataclasses.replace(TOY, name="toy-model")
    assert read.head is read.embedding
    assert "toy-model.gguf sampled sha256" in read.fingerprint
    allowed = {"F32": 0.0, "F16": 1e-3, "BF16": 8e-3, "Q8_0": 2e-2, "Q4_1": 0.2}[quantisation]
    for layer, expected in zip(read.layers, weights.layers, strict=True):
        for got, x in zip(layer.tensors(), expected.tensors(), strict=True):
            assert (got - x).abs().max() <= allowed * x.abs().max()
    if quantisation == "F32":
        assert torch.equal(reference_logits(read, IDS), reference_logits(weights, IDS))
        assert model_config(str(path)) == read.config


def test_a_head_of_its_own_and_a_dtype_are_honoured(tmp_path: Path) -> None:
    untied = random_weights(dataclasses.replace(TOY, tied_embeddings=False), torch.float32, "cpu")
    read = load_model(str(write(tmp_path / "m.gguf", stored(untied))), torch.bfloat16)
    assert not read.config.tied_embeddings
    assert torch.equal(read.head, untied.head.bfloat16())
    assert read.nbytes == read.config.weight_bytes(torch.bfloat16)


def test_fingerprints_tell_files_apart(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", tensors)
    before = load_model(str(path)).fingerprint
    assert load_model(str(path)).fingerprint == before
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    assert load_model(str(path)).fingerprint != before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"rope.scaling.type": "dynamic"},
            "got llama.rope.scaling.type 'dynamic', which is not computed here; expected 'none' or 'linear' or 'yarn'",
        ),
        ({"rope.scaling.yarn_log_multiplier": 0.1}, "got llama.rope.scaling.yarn_log_multiplier 0.1"),
        ({"rope.scaling.yarn_ext_factor": 0.5}, "got llama.rope.scaling.yarn_ext_factor 0.5"),
        ({"rope.scaling.alpha": 1000.0}, "got llama.rope.scaling.alpha 1000.0"),
        ({"rope.scaling.factor": -4.0}, "got -4.0 for llama.rope.scaling.factor, expected a number above 0"),
        ({"rope.scaling.attn_factor": 0.0}, "got 0.0 for llama.rope.scaling.attn_factor"),
        ({"rope.scaling.type": "longrope"}, "lacks the tensor rope_factors_short.weight"),
        ({"rope.scaling.type": "longrope", "rope.scaling.factor": 4.0}, "factor 4 with longrope, which is not"),
        ({"rope.scaling.type": "yarn", "rope.freq_base": 1.0}, "got rope_theta 1 with YaRN, expected above 1"),
        ({"attention.sliding_window": 512}, "got llama.attention.sliding_window 512"),
        ({"attn_logit_softcapping": 50.0}, "got llama.attn_logit_softcapping 50.0"),
        ({"logit_scale": 0.5}, "got llama.logit_scale 0.5"),
        ({"embedding_scale": 8.0}, "got llama.embedding_scale 8.0"),
        ({"attention.scale": 0.1}, "got llama.attention.scale 0.1"),
        ({"attention.value_length": 8}, "got 8 channels of a value of 16, expected as many as a key's"),
        ({"rope.freq_base": float("nan")}, "got rope_theta nan"),
        ({"expert_count": 8}, "got llama.expert_count 8, which is not computed here"),
        ({"rope.dimension_count": 8}, "got 8 rotated channels of 16"),
        ({"vocab_size": 500}, "got llama.vocab_size 500, expected 512, the embedding's rows"),
        ({"block_count": "two"}, "got 'two' for llama.block_count, expected one int"),
        ({"embedding_length": 128, "attention.key_length": 16}, r"token_embd.weight has shape \[512, 64\]"),
        ({"block_count": 3}, r"lacks the tensor blk.2.attn_norm.weight and 8 more, of 29 expected"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_fields_of_another_model_are_refused(
    fields: dict[str, Any], message: str, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    path = write(tmp_path / "m.gguf", tensors, fields={**FIELDS, **fields})
    with pytest.raises(ModelError, match=message) as raised:
        load_model(str(path))
    assert str(path) in str(raised.value)


def test_another_architecture_and_a_missing_field_are_named(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", tensors, architecture="mamba")
    with pytest.raises(ModelError, match="got architecture 'mamba', expected one of llama, qwen2"):
        load_model(str(path))
    without = {key: value for key, value in FIELDS.items() if key != "feed_forward_length"}
    with pytest.raises(ModelError, match=r"lacks the field llama.feed_forward_length"):
        load_model(str(write(path, tensors, fields=without)))


def test_tensors_that_are_missing_or_misshapen_are_named(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write(path, {name: x for name, x in tensors.items() if name != "blk.1.attn_k.weight"})
    with pytest.raises(ModelError, match=r"m.gguf lacks the tensor blk.1.attn_k.weight, of 20 expected"):
        load_model(str(path))
    write(path, tensors | {"blk.1.ffn_down.weight": tensors["blk.1.ffn_down.weight"].T.contiguous()})
    with pytest.raises(ModelError, match=r"tensor blk.1.ffn_down.weight has shape \[128, 64\], expected \[64, 128\]"):
        load_model(str(path))


@pytest.mark.parametrize(
    "names",
    [
        ("blk.0.attn_q.bias",),
        ("blk.0.ffn_down.bias",),
        ("blk.0.attn_q_norm.weight", "blk.1.attn_q_norm.weight"),
        ("blk.0.post_attention_norm.weight",),
        ("blk.2.attn_norm.weight",),
        ("rope_factors_long.weight",),
    ],
)
def test_a_tensor_that_the_model_does_not_take_is_refused(
    names: tuple[str, ...], tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    path = write(tmp_path / "m.gguf", tensors | {name: torch.ones(64) for name in names})
    with pytest.raises(ModelError, match=f"holds the tensor {names[0]}.*, which the model described beside it"):
        load_model(str(path))


def test_weights_that_are_not_finite_are_the_files_fault(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", tensors | {"blk.1.attn_q.weight": torch.full((64, 64), torch.nan)})
    with pytest.raises(ModelError, match=r"tensor blk.1.attn_q.weight holds 4096 values of 4096 that are NaN"):
        load_model(str(path))


def test_fields_that_are_not_known_are_told(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", tensors, fields={**FIELDS, "attention.temperature": 2.0})
    with pytest.warns(ModelWarning, match="llama.attention.temperature: not known here"):
        load_model(str(path))


def test_tensors_must_lie_apart_and_aligned(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", tensors)
    content = path.read_bytes()
    name = b"blk.0.attn_k.weight"
    place = content.index(name) + len(name) + 4 + 16 + 4
    (offset,) = struct.unpack_from("<Q", content, place)
    path.write_bytes(content[:place] + struct.pack("<Q", 0) + content[place + 8 :])
    with pytest.raises(ModelError, match=r"tensors \S+ and \S+ overlap"):
        load_model(str(path))
    path.write_bytes(content[:place] + struct.pack("<Q", offset + 1) + content[place + 8 :])
    with pytest.raises(
        ModelError, match=r"tensor blk.0.attn_k.weight begins \d+ bytes into the data, expected a multiple"
    ):
        load_model(str(path))


def header_of(*fields: bytes, version: bytes = struct.pack("<I", 3), tensors: int = 0) -> bytes:
    return b"GGUF" + version + struct.pack("<QQ", tensors, len(fields)) + b"".join(fields)


def named(name: bytes, content: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name + content


def test_headers_that_are_no_headers_are_refused() -> None:
    nested = struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000 + struct.pack("<IQ", 4, 0)
    one = struct.pack("<II", 4, 1)
    for content, message in (
        (header_of(named(b"x", nested)), "arrays nested over 4 deep"),
        (header_of(named(b"x", one), named(b"x", one)), "has the field x twice"),
        (header_of(version=struct.pack(">I", 3)), "is big-endian, expected little-endian"),
        (header_of(named(b"general.alignment", struct.pack("<II", 4, 48))), "got general.alignment 48"),
        (header_of(tensors=1) + named(b"t", struct.pack("<I", 9)), "tensor t has 9 axes, expected 1 to 4"),
        (header_of(tensors=1) + named(b"t", struct.pack("<IQIQ", 1, 0, 0, 0)), r"tensor t has shape \[0\]"),
        (header_of(tensors=2) + 2 * named(b"t", struct.pack("<IQIQ", 1, 8, 0, 0)), "has the tensor t twice"),
        (header_of(tensors=2**60), "is cut short"),
    ):
        with pytest.raises(ModelError, match=message):
            read_header(content, "here")


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_is_refused_or_harmless(seed: int, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    """Nothing but a ModelError comes of bits that are flipped, bytes that are cut out or put in."""
    path = write(tmp_path / "m.gguf", tensors)
    content = bytearray(path.read_bytes())
    random = Random(seed)
    header_bytes = content.index(b"blk.1.ffn_up.weight") if seed % 2 else len(content)
    for _ in range(1 + seed % 4):
        at = random.randrange(header_bytes)
        if seed % 3 == 0:
            content[at : at + random.randrange(9)] = random.randbytes(random.randrange(9))
        else:
            content[at] ^= 1 << random.randrange(8)
    path.write_bytes(content)
    with warnings.catch_warnings(), suppress(ModelError):
        warnings.simplefilter("ignore", ModelWarning)
        load_model(str(path))


@pytest.mark.parametrize("kept", [0.1, 0.6, 0.999])
def test_a_file_that_is_cut_says_so(kept: float, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", tensors)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ModelError, match=r"m.gguf is cut short: it ends after \d+ bytes, .*; fetch it again"):
        load_model(str(path))


def test_quantisations_that_cannot_be_read_are_named(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", tensors)
    content = path.read_bytes()
    name = b"blk.0.ffn_up.weight"
    place = content.index(name) + len(name) + 4 + 16
    assert content[place : place + 4] == bytes(4)
    for code, message in ((99, "has the unknown quantisation 99"), (24, "is in I8, which .* cannot dequantise")):
        path.write_bytes(content[:place] + struct.pack("<I", code) + content[place + 4 :])
        with pytest.raises(ModelError, match=rf"tensor blk.0.ffn_up.weight {message}"):
            load_model(str(path))


@pytest.mark.parametrize("content", [b"", b"PK\3\4" + bytes(100), b"GGUF\2\0\0\0" + bytes(100), b"GG"])
def test_what_is_no_gguf_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"m.gguf( is empty|: got a file of b'.*' version \d+, expected b'GGUF')"):
        load_model(str(tmp_path / "m.gguf"))


def test_a_file_that_is_not_there_and_a_missing_package_are_told(
    tmp_path: Path, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "model.gguf", tensors)
    with pytest.raises(UnknownName, match=r"did you mean '.*/model.gguf'"):
        load_model(str(tmp_path / "modle.gguf"))
    monkeypatch.setattr("attnlab.bench.llm.models.load.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"not installed: gguf; mend with: pip install 'attnlab\[generate\]'"):
        load_model(str(tmp_path / "model.gguf"))


def test_arrays_are_read_when_asked_for(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    file = GgufFile(write(tmp_path / "m.gguf", tensors))
    assert file.array("tokenizer.ggml.tokens") == ["<a>", "b" * 300]
    with pytest.raises(ModelError, match="expected an array"):
        file.array("llama.block_count")
    got = file.tensor("blk.0.attn_norm.weight")
    assert np.array_equal(got.numpy(), tensors["blk.0.attn_norm.weight"].numpy())
    got.zero_()
    assert file.tensor("blk.0.attn_norm.weight").abs().min() > 0


def test_what_is_said_of_a_damaged_name_is_one_short_line() -> None:
    name = b"x\n\x1b[31m\xff" * 500
    with pytest.raises(ModelError, match=r"has 9 axes") as raised:
        read_header(header_of(tensors=1) + named(name, struct.pack("<I", 9)), "here")
    assert len(str(raised.value)) <= 1000
    assert str(raised.value).isprintable()


def test_more_tokens_than_rows_are_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<a>", "b"])
    writer.add_tensor("token_embd.weight", np.ones((1, 64), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match="got 2 tokens for 1 rows of the embedding; expected no more tokens"):
        load_tokenizer(str(tmp_path / "m.gguf"))


def test_half_split_rows_undoes_the_order_in_gguf() -> None:
    rows = torch.arange(2 * 64.0)[:, None]
    stored = rows.view(2, 2, 32, 1).transpose(1, 2).reshape(128, 1)  # as the converter to GGUF writes them
    assert stored[:4, 0].tolist() == [0, 32, 1, 33]
    assert torch.equal(half_split_rows(stored, heads=2), rows)
