"""A model in a GGUF file: its configuration, and its tensors as ours.

Fields, and what an architecture has where a field is left out, are those of llama.cpp, `src/models/*.cpp`. Tensors are
as its `convert_hf_to_gguf.py` writes them: in `llama` alone queries and keys are in another order, and norms of Gemma
have had their one added.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from attnlab.bench.errors import ModelError
from attnlab.bench.llm.models.assembly import GGUF_NAMES, assemble, tell_unknown
from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.families import FAMILIES, MOST_LAYERS, ModelFamily
from attnlab.bench.llm.models.gguf_file import Field, GgufFile, StoredArray
from attnlab.bench.llm.models.gguf_rope import SCALING_FIELDS, GgufRope
from attnlab.bench.llm.models.gguf_shards import open_gguf
from attnlab.bench.llm.models.rope_scaling import RopeScaling
from attnlab.bench.llm.models.weights import ModelWeights

ARCHITECTURES = {
    **{name: FAMILIES[name] for name in ("llama", "qwen2", "qwen3", "gemma", "gemma2")},
    "gemma3": FAMILIES["gemma3_text"],
}
"""By `general.architecture`."""

INTERLEAVED = "llama"
"""The architecture whose rows that rotate together are neighbours."""

LARGEST = {"gemma2": 46, "gemma3": 62}
"""Layers of the models of 27B, whose scores are divided by the root of the hidden size over the heads, and of no
other."""

Number = TypeVar("Number", int, float)


class GgufModel:
    """The tensors of a GGUF file with queries and keys in half-split order."""

    def __init__(self, file: GgufFile, config: ModelConfig) -> None:
        self._file = file
        interleaved = file.field("general.architecture") == INTERLEAVED
        self._heads = {"attn_q": config.q_heads, "attn_k": config.kv_heads} if interleaved else {}

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
    """The configuration in a file's fields; raises ModelError for an architecture that is not known here."""
    fields = GgufFields(file)
    family, shapes = fields.family, file.shapes()
    q_heads, hidden = fields.number("attention.head_count", int), fields.number("embedding_length", int)
    layers, head_dim = fields.number("block_count", int), hidden // max(1, q_heads)
    window, windowed = fields.windows(layers)
    theta = fields.number("rope.freq_base", float, 10_000.0)
    scalar = hidden // max(1, q_heads) if layers == LARGEST.get(fields.architecture) else None
    head_dim = fields.number("attention.key_length", int, head_dim)
    config = ModelConfig(
        name=name,
        vocab_size=fields.vocabulary(shapes.get("token_embd.weight", (0,))[0]),
        hidden_size=hidden,
        intermediate_size=fields.number("feed_forward_length", int),
        layers=layers,
        q_heads=q_heads,
        kv_heads=fields.number("attention.head_count_kv", int, q_heads),
        head_dim=head_dim,
        rope_theta=theta,
        norm_eps=shortest(fields.number("attention.layer_norm_rms_epsilon", float)),
        context_length=fields.number("context_length", int),
        tied_embeddings=GGUF_NAMES.outer["head"] not in shapes,
        sliding_window=window,
        windowed=windowed,
        query_scalar=None if scalar in (None, head_dim) else scalar,
        score_softcap=fields.cap("attn_logit_softcapping", family.score_softcap),
        logit_softcap=fields.cap("final_logit_softcapping", family.logit_softcap),
        bos_id=optional_id(file, "tokenizer.ggml.bos_token_id"),
        eos_ids=end_ids(file),
        source=str(file.path),
        **family.features,
    )
    fields.refuse_what_is_not_computed(config)
    tell_unknown(str(file.path), fields.unknown())
    scaling = rope_of(file, config).scaling()
    return dataclasses.replace(
        config, rope_scaling=scaling, local_rope_theta=fields.local_theta(window, theta, scaling)
    )


def rope_of(file: GgufFile, config: ModelConfig) -> GgufRope:
    architecture = str(file.field("general.architecture"))
    return GgufRope(file, architecture, config.head_dim, config.rope_theta, config.context_length)


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
"""Fields that change what is computed, with the values at which they do not; other values are refused. Families with
windows and soft caps compute some of them."""

WINDOW, PATTERN, LOCAL_BASE = "attention.sliding_window", "attention.sliding_window_pattern", "rope.freq_base_swa"
CAPS = ("attn_logit_softcapping", "final_logit_softcapping")
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


class GgufFields:
    """The fields of one architecture in a file; methods raise ModelError, naming file and field."""

    def __init__(self, file: GgufFile) -> None:
        architecture = file.field("general.architecture")
        if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
            raise ModelError(
                f"{file.path}: got architecture {architecture!r}, expected one of {', '.join(ARCHITECTURES)}"
            )
        self.file, self.architecture = file, architecture
        self.family: ModelFamily = ARCHITECTURES[architecture]
        windows = (WINDOW, PATTERN, LOCAL_BASE) if self.family.period else ()
        self.taken = {*COMPUTED, *windows, *(key for key in CAPS if key in self.family.takes)}

    def number(self, key: str, kind: type[Number], default: Number | None = None) -> Number:
        value = self.file.field(f"{self.architecture}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, kind):
            got = f"{value.count} values, one a layer" if isinstance(value, StoredArray) else repr(value)
            raise ModelError(f"{self.file.path}: got {got} for {self.architecture}.{key}, expected one {kind.__name__}")
        return value

    def vocabulary(self, rows: int) -> int:
        """Rows of the embedding, which a field may not contradict."""
        size = self.number("vocab_size", int, rows or None)
        if rows and size != rows:
            raise ModelError(
                f"{self.file.path}: got {self.architecture}.vocab_size {size}, expected {rows}, the embedding's rows"
            )
        return size

    def cap(self, key: str, default: float | None) -> float | None:
        """A soft cap; None where the family has none, or none by default and the field is left out or 0."""
        if key not in self.taken:
            return None
        value = self.number(key, float, default or 0.0)
        return None if not value and default is None else shortest(value)

    def windows(self, layers: int) -> tuple[int | None, tuple[bool, ...]]:
        """Keys that a query sees in layers with a window, and which have it; as `ModelConfig` has them."""
        period = self.family.period
        if period is None:
            return None, ()
        size = self.number(WINDOW, int, self.family.window if self.architecture == "gemma2" else 0)
        if not size:
            return None, ()
        key = f"{self.architecture}.{PATTERN}"
        if isinstance(self.file.header.fields.get(key), StoredArray):
            said = self.file.array(key)
            if len(said) != layers or not all(value in (0, 1) for value in said):
                raise ModelError(
                    f"{self.file.path}: got {len(said)} values for {key}, expected true or false for each of {layers} "
                    "layers"
                )
            windowed = tuple(map(bool, said))
        else:
            period = self.number(PATTERN, int, period)
            if period < 0 or layers > MOST_LAYERS:
                raise ModelError(f"{self.file.path}: got {key} {period} of {layers} layers, expected 0 or more")
            windowed = tuple(period == 0 or layer % period < period - 1 for layer in range(layers))
        return (size, () if all(windowed) else windowed) if any(windowed) else (None, ())

    def local_theta(self, window: int | None, theta: float, scaling: RopeScaling | None) -> float | None:
        """Base of RoPE in layers with a window, where it is another there, or scaling is left out.

        Gemma 3 leaves scaling out in such layers; Gemma 2 has it in all.
        """
        if window is None:
            return None
        own = self.family.local_rope_theta
        local = self.number(LOCAL_BASE, float, theta if own is None else own)
        if local == theta and (own is None or scaling is None):
            return None
        if own is None and scaling is not None:
            raise ModelError(
                f"{self.file.path}: got {self.architecture}.{LOCAL_BASE} {local:g} with rope scaling, which is not "
                f"computed here; expected {theta:g}, or no such field"
            )
        return local

    def refuse_what_is_not_computed(self, config: ModelConfig) -> None:
        for key, meant, whole in (
            ("rope.dimension_count", "rotated channels", "all of a head"),
            ("attention.value_length", "channels of a value", "as many as a key's"),
        ):
            got = self.file.field(f"{self.architecture}.{key}", config.head_dim)
            if got != config.head_dim:
                raise ModelError(f"{self.file.path}: got {got} {meant} of {config.head_dim}, expected {whole}")
        for key, neutral in NEUTRAL.items():
            value = self.file.field(f"{self.architecture}.{key}", neutral[0])
            if key not in self.taken and value not in neutral:
                expected = " or ".join(map(repr, neutral))
                raise ModelError(
                    f"{self.file.path}: got {self.architecture}.{key} {value!r}, which is not computed here; expected "
                    f"{expected}, or no such field"
                )

    def unknown(self) -> list[str]:
        """Fields of the architecture that may change what is computed, and that nothing here knows."""
        known = {f"{self.architecture}.{key}" for key in (*NEUTRAL, *self.taken)}
        mine = f"{self.architecture}."
        return [key for key in self.file.header.fields if key.startswith(mine) and key not in known]


def optional_id(file: GgufFile, key: str) -> int | None:
    value = file.header.fields.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


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
