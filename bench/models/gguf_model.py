"""A model of the Llama family in a GGUF file: its configuration, and its tensors as ours."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from attnlab.bench.errors import ModelError
from attnlab.bench.models.assembly import GGUF_NAMES, assemble
from attnlab.bench.models.config import ModelConfig, RopeScaling
from attnlab.bench.models.gguf_file import GgufFile
from attnlab.bench.models.rotary import inverse_frequencies, stretch
from attnlab.bench.models.weights import ModelWeights

ARCHITECTURE = "llama"
ROPE_FACTORS = "rope_freqs.weight"
LLAMA_3_CONTEXT = 8192
"""Llama 3.1 and 3.2 were first trained on so many tokens; a GGUF file holds the resulting factors alone."""

Number = TypeVar("Number", int, float)


class GgufModel:
    """The tensors of a GGUF file with queries and keys in half-split order."""

    def __init__(self, file: GgufFile, config: ModelConfig) -> None:
        self._file = file
        self._heads = {"attn_q": config.q_heads, "attn_k": config.kv_heads}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self._file.shapes()

    def place(self, name: str) -> str:
        return str(self._file.path)

    def check(self, name: str) -> None:
        self._file.check(name)

    def tensor(self, name: str) -> Tensor:
        heads = next((heads for part, heads in self._heads.items() if f".{part}." in name), None)
        weight = self._file.tensor(name)
        return weight if heads is None else half_split_rows(weight, heads)


def load_gguf(path: Path, dtype: torch.dtype, device: torch.device | str, origin: str, name: str) -> ModelWeights:
    """The model in `path`; raises ModelError, naming file and tensor, where it cannot be read or is another."""
    file = GgufFile(path)
    config = config_of(file, name)
    return assemble(config, GgufModel(file, config), GGUF_NAMES, dtype, device, origin)


def config_of(file: GgufFile, name: str) -> ModelConfig:
    """The configuration in a file's fields; raises ModelError for another architecture than Llama's."""
    architecture = file.field("general.architecture")
    if architecture != ARCHITECTURE:
        raise ModelError(f"{file.path}: got architecture {architecture!r}, expected {ARCHITECTURE!r}")

    def number(key: str, kind: type[Number], default: Number | None = None) -> Number:
        value = file.field(f"{ARCHITECTURE}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ModelError(f"{file.path}: got {value!r} for {ARCHITECTURE}.{key}, expected one {kind.__name__}")
        return value

    shapes = file.shapes()
    q_heads, hidden = number("attention.head_count", int), number("embedding_length", int)
    config = ModelConfig(
        name=name,
        vocab_size=shapes.get("token_embd.weight", (0,))[0] or number("vocab_size", int),
        hidden_size=hidden,
        intermediate_size=number("feed_forward_length", int),
        layers=number("block_count", int),
        q_heads=q_heads,
        kv_heads=number("attention.head_count_kv", int, q_heads),
        head_dim=number("attention.key_length", int, hidden // max(1, q_heads)),
        rope_theta=number("rope.freq_base", float, 10_000.0),
        norm_eps=shortest(number("attention.layer_norm_rms_epsilon", float)),
        context_length=number("context_length", int),
        tied_embeddings=GGUF_NAMES.outer["head"] not in shapes,
        bos_id=optional_id(file, "tokenizer.ggml.bos_token_id"),
        eos_ids=end_ids(file),
        source=file.path.name,
    )
    refuse_what_is_not_computed(file, config)
    return with_rope_factors(config, file) if ROPE_FACTORS in shapes else config


def refuse_what_is_not_computed(file: GgufFile, config: ModelConfig) -> None:
    turned = file.field(f"{ARCHITECTURE}.rope.dimension_count", config.head_dim)
    if turned != config.head_dim:
        raise ModelError(f"{file.path}: got {turned} rotated channels of {config.head_dim}, expected all of a head")
    scaling = file.field(f"{ARCHITECTURE}.rope.scaling.type", "none")
    if scaling != "none":
        raise ModelError(f"{file.path}: got rope scaling {scaling!r}, expected none, or Llama 3's factors")
    experts = file.field(f"{ARCHITECTURE}.expert_count", 0)
    if experts != 0:
        raise ModelError(f"{file.path}: got a mixture of {experts} experts, expected a dense model")
    biased = next((name for name in file.shapes() if name.endswith("attn_q.bias")), None)
    if biased is not None:
        raise ModelError(f"{file.path}: got tensor {biased}, expected projections without bias")


def optional_id(file: GgufFile, key: str) -> int | None:
    value = file.header.fields.get(key)
    return value if isinstance(value, int) else None


def end_ids(file: GgufFile) -> tuple[int, ...]:
    """Ids that end an answer: the text's end, and the turn's where it is another."""
    found = (optional_id(file, f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot"))
    return tuple(dict.fromkeys(index for index in found if index is not None))


def shortest(value: float) -> float:
    """The shortest decimal that is the same float32: 1e-5 where the file's float32 reads 9.999999747e-06."""
    return float(f"{value:.6g}")


def with_rope_factors(config: ModelConfig, file: GgufFile) -> ModelConfig:
    """Llama 3's scaling, whose factors the file holds; raises ModelError where they are another rule's."""
    file.check(ROPE_FACTORS)
    factors = file.tensor(ROPE_FACTORS).double()
    scaling = RopeScaling(float(factors.max()), 1.0, 4.0, LLAMA_3_CONTEXT)
    expected = stretch(inverse_frequencies(config), scaling)
    if factors.shape != expected.shape or not torch.allclose(factors, expected, rtol=1e-4):
        raise ModelError(f"{file.path}: got factors in {ROPE_FACTORS} that are not of Llama 3's rule")
    return dataclasses.replace(config, rope_scaling=scaling)


def half_split_rows(weight: Tensor, heads: int) -> Tensor:
    """`[heads * D, in]` from GGUF's order, where the two rows that rotate together are neighbours, to ours.

    In the half-split form of RoPE, row i of a head rotates with row i + D/2.
    """
    rows, columns = weight.shape
    pairs = weight.view(heads, rows // heads // 2, 2, columns)
    return pairs.transpose(1, 2).reshape(rows, columns)
