"""A model of the Llama family in a GGUF file: its configuration, and its tensors as ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from attnlab.bench.errors import ModelError
from attnlab.bench.models.assembly import GGUF_NAMES, assemble, tell_unknown
from attnlab.bench.models.config import ModelConfig
from attnlab.bench.models.gguf_file import Field, GgufFile, StoredArray
from attnlab.bench.models.gguf_rope import SCALING_FIELDS, GgufRope
from attnlab.bench.models.gguf_shards import open_gguf
from attnlab.bench.models.weights import ModelWeights

ARCHITECTURE = "llama"
Number = TypeVar("Number", int, float)


class GgufModel:
    """The tensors of a GGUF file with queries and keys in half-split order."""

    def __init__(self, file: GgufFile, config: ModelConfig) -> None:
        self._file = file
        self._heads = {"attn_q": config.q_heads, "attn_k": config.kv_heads}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self._file.shapes()

    def place(self, name: str) -> str:
        return self._file.place(name)

    def check(self, name: str) -> None:
        self._file.check(name)

    def tensor(self, name: str) -> Tensor:
        heads = next((heads for part, heads in self._heads.items() if f".{part}." in name), None)
        weight = self._file.tensor(name)
        return weight if heads is None else half_split_rows(weight, heads)


def load_gguf(path: Path, dtype: torch.dtype, device: torch.device | str, origin: str, name: str) -> ModelWeights:
    """The model in `path`; raises ModelError, naming file and tensor, where it cannot be read or is another."""
    file = open_gguf(path)
    config = config_of(file, name)
    taken = rope_of(file, config).taken()
    return assemble(config, GgufModel(file, config), GGUF_NAMES, dtype, device, origin, taken)


def config_of(file: GgufFile, name: str) -> ModelConfig:
    """The configuration in a file's fields; raises ModelError for another architecture than Llama's."""
    architecture = file.field("general.architecture")
    if architecture != ARCHITECTURE:
        raise ModelError(f"{file.path}: got architecture {architecture!r}, expected {ARCHITECTURE!r}")

    def number(key: str, kind: type[Number], default: Number | None = None) -> Number:
        value = file.field(f"{ARCHITECTURE}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, kind):
            got = f"{value.count} values, one a layer" if isinstance(value, StoredArray) else repr(value)
            raise ModelError(f"{file.path}: got {got} for {ARCHITECTURE}.{key}, expected one {kind.__name__}")
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
        source=str(file.path),
    )
    refuse_what_is_not_computed(file, config)
    tell_unknown(str(file.path), unknown_fields(file))
    return dataclasses.replace(config, rope_scaling=rope_of(file, config).scaling())


def rope_of(file: GgufFile, config: ModelConfig) -> GgufRope:
    return GgufRope(file, ARCHITECTURE, config.head_dim, config.rope_theta, config.context_length)


NEUTRAL: Mapping[str, tuple[Field, ...]] = {
    "expert_count": (0,),
    "expert_used_count": (0,),
    "rope.scaling.alpha": (0.0,),
    "rope.scaling.yarn_attn_factor": (1.0,),
    "rope.scaling.yarn_ext_factor": (1.0, -1.0),
    "rope.scaling.yarn_log_multiplier": (0.0,),
    "attention.scale": (0.0,),
    "attention.sliding_window": (0,),
    "attention.causal": (True,),
    "attention.clamp_kqv": (0.0,),
    "attention.max_alibi_bias": (0.0,),
    "attn_logit_softcapping": (0.0,),
    "final_logit_softcapping": (0.0,),
    "logit_scale": (0.0, 1.0),
    "residual_scale": (0.0, 1.0),
    "embedding_scale": (0.0, 1.0),
}
"""Fields that change what is computed, with the values at which they do not; other values are refused."""

COMPUTED = (
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    *SCALING_FIELDS,
    "tensor_data_layout",
    "vocab_size",
)
"""Fields that are computed, or change nothing by themselves."""


def refuse_what_is_not_computed(file: GgufFile, config: ModelConfig) -> None:
    for key, meant, whole in (("rope.dimension_count", "rotated channels", "all of a head"),
                              ("attention.value_length", "channels of a value", "as many as a key's")):  # fmt: skip
        got = file.field(f"{ARCHITECTURE}.{key}", config.head_dim)
        if got != config.head_dim:
            raise ModelError(f"{file.path}: got {got} {meant} of {config.head_dim}, expected {whole}")
    for key, neutral in NEUTRAL.items():
        value = file.field(f"{ARCHITECTURE}.{key}", neutral[0])
        if value not in neutral:
            expected = " or ".join(map(repr, neutral))
            raise ModelError(
                f"{file.path}: got {ARCHITECTURE}.{key} {value!r}, which is not computed here; expected {expected}, "
                "or no such field"
            )


def unknown_fields(file: GgufFile) -> list[str]:
    """Fields of the architecture that may change what is computed, and that nothing here knows."""
    known = {f"{ARCHITECTURE}.{key}" for key in (*NEUTRAL, *COMPUTED)}
    return [key for key in file.header.fields if key.startswith(f"{ARCHITECTURE}.") and key not in known]


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


def half_split_rows(weight: Tensor, heads: int) -> Tensor:
    """`[heads * D, in]` from GGUF's order, where the two rows that rotate together are neighbours, to ours.

    In the half-split form of RoPE, row i of a head rotates with row i + D/2.
    """
    rows, columns = weight.shape
    pairs = weight.view(heads, rows // heads // 2, 2, columns)
    return pairs.transpose(1, 2).reshape(rows, columns)
