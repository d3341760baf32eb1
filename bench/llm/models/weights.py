"""The weights of a decoder as tensors, and what each must look like."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.experts import ExpertWeights, expert_shapes
from attnlab.bench.llm.quantization.coding import Activations
from attnlab.bench.llm.quantization.weight import QuantizedWeight, joined, split
from attnlab.bench.llm.side_by_side import follow, join

EXPERT = "expert_"
SIDE_BY_SIDE = ("query", "key", "value"), ("gate", "up")
"""Projections of one input."""


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Weights of one layer, each projection `[out, in]`; H hidden, I intermediate, D head size.

    The rows of `query` and `key`, and of their biases, are in half-split rotary order: row i of a head turns
    with row i + D/2. A norm's weight is what the normed row is multiplied by, in Gemma the file's plus one.
    """

    attention_norm: Tensor  # [H]
    query: Tensor  # [Hq * D, H]
    key: Tensor  # [Hkv * D, H]
    value: Tensor  # [Hkv * D, H]
    output: Tensor  # [H, Hq * D]
    mlp_norm: Tensor  # [H]
    gate: Tensor  # [I, H]
    up: Tensor  # [I, H]
    down: Tensor  # [H, I]
    query_bias: Tensor | None = None  # [Hq * D]
    key_bias: Tensor | None = None  # [Hkv * D]
    value_bias: Tensor | None = None  # [Hkv * D]
    query_norm: Tensor | None = None  # [D], of each head
    key_norm: Tensor | None = None  # [D], of each head
    attention_branch_norm: Tensor | None = None  # [H], of what attention gives
    mlp_branch_norm: Tensor | None = None  # [H], of what the MLP gives
    sinks: Tensor | None = None  # [Hq], a logit for each head in the softmax's denominator
    output_bias: Tensor | None = None  # [H]
    experts: ExpertWeights | None = None
    """In the place of gate, up and down, which then have no rows."""
    quantized: dict[str, QuantizedWeight] = field(default_factory=dict)
    """Projections that are stored in a format, by field; the field itself is then NaN throughout."""
    activations: dict[str, Activations] = field(default_factory=dict)
    """What becomes of what a projection is given, by field, where a format has codes for it."""

    @property
    def dense(self) -> dict[str, Tensor]:
        """The tensors that are numbers in the dtype, by field."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: x for name, x in values.items() if isinstance(x, Tensor) and name not in self.quantized}

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.dense.values(), *(self.experts.tensors() if self.experts else ()))

    @property
    def nbytes(self) -> int:
        return sum(x.nbytes for x in self.tensors()) + sum(w.nbytes for w in self.quantized.values())

    @classmethod
    def of(cls, tensors: Mapping[str, Any]) -> LayerWeights:
        """From tensors by field, those of experts under `expert_` and theirs."""
        own = {name: x for name, x in tensors.items() if not name.startswith(EXPERT)}
        experts = {name.removeprefix(EXPERT): x for name, x in tensors.items() if name.startswith(EXPERT)}
        if not experts:
            return cls(**own)
        none = tensors["query"].new_empty(0, 0)
        return cls(**own, gate=none, up=none, down=none, experts=ExpertWeights(**experts))

    def named(self, role: str) -> Tensor:
        """The tensor of a role of `layer_shapes`."""
        place = self.experts if role.startswith(EXPERT) else self
        found: Tensor = getattr(place, role.removeprefix(EXPERT))
        return found

    def changed(self, values: Mapping[str, Any]) -> LayerWeights:
        """The same with other values of some fields."""
        return dataclasses.replace(self, **values)

    def storing(self, made: Mapping[str, QuantizedWeight]) -> LayerWeights:
        """The same with these projections stored in formats."""
        empty = {name: placeholder(x := getattr(self, name), x.shape) for name in made}
        activations = {name: w.format.activations for name, w in made.items() if w.format.activations != "same"}
        return self.changed({**empty, "quantized": dict(made), "activations": activations})

    def to(self, device: torch.device | str, dtype: torch.dtype) -> LayerWeights:
        """In numbers of the dtype, what is stored in a format too."""
        numbers = {name: x.to(device, dtype) for name, x in self.dense.items()}
        values = {name: w.dequantised(dtype).to(device) for name, w in self.quantized.items()}
        experts = self.experts.to(device, dtype) if self.experts else None
        return self.changed({**numbers, **values, "quantized": {}, "experts": experts})

    def in_dtype(self, dtype: torch.dtype) -> LayerWeights:
        """The same, what is in no format in another dtype."""
        numbers: dict[str, Any] = {name: x.to(dtype) for name, x in self.dense.items()}
        if self.experts:
            numbers["experts"] = self.experts.to(self.query.device, dtype)
        empty = {name: placeholder(numbers["attention_norm"], getattr(self, name).shape) for name in self.quantized}
        return self.changed(
            {**numbers, **empty, "quantized": {n: w.in_dtype(dtype) for n, w in self.quantized.items()}}
        )

    def joined(self) -> LayerWeights:
        """The same, with query, key and value, and gate and up, in one memory each: see `rows_of` and `joined`."""
        values: dict[str, Any] = {}
        stored = dict(self.quantized)
        for names in SIDE_BY_SIDE[:1] if self.experts else SIDE_BY_SIDE:
            matrices = [getattr(self, name) for name in names]
            if not stored.keys() & set(names):
                values |= {} if follow(*matrices) else dict(zip(names, join(*matrices), strict=True))
            elif stored.keys() >= set(names):
                whole = joined([stored[name] for name in names])
                parts = [] if whole is None else split(whole, [len(matrix) for matrix in matrices])
                stored |= zip(names, parts, strict=bool(parts))
        return self.changed({**values, "quantized": stored})


@dataclass(frozen=True, eq=False)
class ModelWeights:
    """A whole model on one device, in one dtype; never written to."""

    config: ModelConfig
    embedding: Tensor  # [V, H]
    layers: tuple[LayerWeights, ...]
    output_norm: Tensor  # [H]
    head: Tensor  # [V, H], the embedding itself where the model ties them
    origin: str
    """File and hash, or seed, for provenance."""
    quantized_head: QuantizedWeight | None = None
    """The head where it is stored in a format; `head` is then NaN throughout."""

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def nbytes(self) -> int:
        """Bytes of all weights as they are stored, a tied head counted once."""
        own = self.embedding.nbytes + self.output_norm.nbytes + sum(layer.nbytes for layer in self.layers)
        head = self.head if self.quantized_head is None else self.quantized_head
        return own + (0 if head is self.embedding else head.nbytes)

    @property
    def pass_nbytes(self) -> int:
        """Bytes that one pass must read: all but an embedding that is not the head too, of which it reads rows, and
        experts beyond those of one token."""
        table = 0 if self.head is self.embedding else self.embedding.nbytes
        unread = self.config.parameters - self.config.read_parameters
        return self.nbytes - table - unread * self.dtype.itemsize

    @property
    def fingerprint(self) -> str:
        """One line that tells these weights from others, such as `toy, random, seed 0, float32`."""
        return f"{self.config.name}, {self.origin}, {str(self.dtype).removeprefix('torch.')}"

    def to(self, device: torch.device | str, dtype: torch.dtype) -> ModelWeights:
        """The same weights elsewhere, in numbers of the dtype; tensors that are there already are shared."""
        embedding = self.embedding.to(device, dtype)
        head = embedding if self.head is self.embedding else self.head.to(device, dtype)
        return dataclasses.replace(
            self,
            embedding=embedding,
            layers=tuple(layer.to(device, dtype) for layer in self.layers),
            output_norm=self.output_norm.to(device, dtype),
            head=head,
        )

    def in_dtype(self, dtype: torch.dtype) -> ModelWeights:
        """The same on its device, what is in no format in another dtype."""
        embedding = self.embedding.to(dtype)
        stored = None if self.quantized_head is None else self.quantized_head.in_dtype(dtype)
        other = self.head.to(dtype) if stored is None else placeholder(embedding, self.head.shape)
        return dataclasses.replace(
            self,
            embedding=embedding,
            layers=tuple(layer.in_dtype(dtype) for layer in self.layers),
            output_norm=self.output_norm.to(dtype),
            head=embedding if self.head is self.embedding else other,
            quantized_head=stored,
        )

    def joined(self) -> ModelWeights:
        """The same, with projections of one input side by side in memory, so that one product can do them all."""
        return dataclasses.replace(self, layers=tuple(layer.joined() for layer in self.layers))

    def settled(self, shortest: int, longest: int) -> ModelWeights:
        """The same tensors for passes over `shortest` to `longest` tokens, see `ModelConfig.settled`."""
        config = self.config.settled(shortest, longest)
        return self if config is self.config else dataclasses.replace(self, config=config)

    def skipping(self, layers_kept: Sequence[int]) -> ModelWeights:
        """A model of some of the layers only, in the order given, that shares this one's tensors.

        What it predicts is much like the whole model's, so that it drafts for it.
        """
        kept = tuple(layers_kept)
        if not kept or any(not 0 <= index < len(self.layers) for index in kept):
            raise UsageError(f"got layers {list(kept)} to keep, expected some of 0 to {len(self.layers) - 1}")
        return dataclasses.replace(
            self,
            config=self.config.skipping(kept),
            layers=tuple(self.layers[index] for index in kept),
            origin=f"{self.origin}, layers {','.join(map(str, kept))} of {len(self.layers)}",
        )


def placeholder(like: Tensor, shape: Sequence[int]) -> Tensor:
    """NaN where a weight of that shape is stored otherwise: whoever multiplies by it sees that at once."""
    return torch.full((), torch.nan, dtype=like.dtype, device=like.device).expand(*shape)


def model_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor outside the layers, by its field in `ModelWeights`; no head where it is tied."""
    table = (config.vocab_size, config.hidden_size)
    shapes: dict[str, tuple[int, ...]] = {"embedding": table, "output_norm": (config.hidden_size,)}
    return shapes if config.tied_embeddings else shapes | {"head": table}


def layer_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of a layer, by its field in `LayerWeights`; biases and further norms where it has them."""
    hidden, intermediate = config.hidden_size, config.intermediate_size
    q_size, kv_size = config.q_heads * config.head_dim, config.kv_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "attention_norm": (hidden,),
        "query": (q_size, hidden),
        "key": (kv_size, hidden),
        "value": (kv_size, hidden),
        "output": (hidden, q_size),
        "mlp_norm": (hidden,),
    }
    if config.experts:
        each = expert_shapes(config.experts, hidden, intermediate)
        shapes |= {f"{EXPERT}{name}": shape for name, shape in each.items()}
    else:
        shapes |= {"gate": (intermediate, hidden), "up": (intermediate, hidden), "down": (hidden, intermediate)}
    if config.qkv_bias:
        shapes |= {"query_bias": (q_size,), "key_bias": (kv_size,), "value_bias": (kv_size,)}
    if config.qk_norm:
        shapes |= {"query_norm": (config.head_dim,), "key_norm": (config.head_dim,)}
    if config.output_bias:
        shapes["output_bias"] = (hidden,)
    if config.sinks:
        shapes["sinks"] = (config.q_heads,)
    if config.branch_norms:
        shapes |= {"attention_branch_norm": (hidden,), "mlp_branch_norm": (hidden,)}
    return shapes
