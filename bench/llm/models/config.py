"""The shape of a decoder of the Llama, Qwen and Gemma families, and published ones by name."""

from __future__ import annotations

import dataclasses
import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import ModelError
from attnlab.bench.llm.models.rope_fields import RopeFields
from attnlab.bench.llm.models.rope_scaling import RopeScaling

if TYPE_CHECKING:
    import torch

ACTIVATIONS = ("silu", "gelu_tanh", "clamped_swish")
DTYPE_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}

LARGEST_HEAD = 2**16
"""Channels: what is worked out for each pair of them must not take for ever where a damaged file says more."""


@dataclass(frozen=True)
class ModelConfig:
    """Embedding, layers of grouped-query attention and a gated MLP behind RMSNorm, and a head."""

    name: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    q_heads: int
    kv_heads: int
    head_dim: int
    rope_theta: float
    norm_eps: float
    context_length: int
    """Tokens that prompt and answer may have together."""
    tied_embeddings: bool
    """The head is the embedding itself."""
    rope_scaling: RopeScaling | None = None
    """None for plain frequencies."""
    sliding_window: int | None = None
    """Keys that a query sees at most, its own among them, in layers with the window; None for all."""
    windowed: tuple[bool, ...] = ()
    """For each layer whether it has the window; empty where all have it."""
    local_rope_theta: float | None = None
    """Base of RoPE in layers with the window, whose frequencies nothing scales; None for the same as elsewhere."""
    qkv_bias: bool = False
    qk_norm: bool = False
    """RMSNorm over each head of queries and keys, before RoPE."""
    branch_norms: bool = False
    """RMSNorm over what attention and MLP give, before it is added."""
    activation: str = "silu"
    """Of the gate: `silu`; `gelu_tanh`, GELU by its approximation with tanh; or of experts, `clamped_swish`."""
    scaled_embedding: bool = False
    """Embeddings are multiplied by the root of the hidden size, rounded to the dtype of the weights."""
    query_scalar: float | None = None
    """Scores are divided by its root; None for the head size."""
    score_softcap: float | None = None
    """c of c · tanh(score / c), before the mask; None for none."""
    logit_softcap: float | None = None
    """c of c · tanh(logit / c); None for none."""
    sinks: bool = False
    """A learned logit for each query head in the softmax's denominator."""
    output_bias: bool = False
    """Of attention's output projection."""
    experts: int = 0
    """Gated MLPs of each layer, of which a router takes some for each token; 0 for one MLP for all."""
    experts_per_token: int = 0
    bos_id: int | None = None
    eos_ids: tuple[int, ...] = ()
    source: str = field(default="", compare=False)
    """Where the numbers come from."""

    def __post_init__(self) -> None:
        for name in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "layers",
            "q_heads",
            "kv_heads",
            "head_dim",
            "context_length",
        ):
            if getattr(self, name) < 1:
                raise ModelError(f"{self._place}: got {name} {getattr(self, name)}, expected 1 or more")
        if self.head_dim > LARGEST_HEAD:
            raise ModelError(f"{self._place}: got head_dim {self.head_dim}, expected at most {LARGEST_HEAD}")
        if self.q_heads % self.kv_heads or self.head_dim % 2:
            raise ModelError(
                f"{self._place}: got {self.q_heads} query heads over {self.kv_heads} key-value heads of size "
                f"{self.head_dim}, expected a multiple, and an even size"
            )

        if not (0 < self.rope_theta < math.inf and 0 <= self.norm_eps < math.inf):
            raise ModelError(
                f"{self._place}: got rope_theta {self.rope_theta:g} and norm_eps {self.norm_eps:g}, expected finite "
                "numbers above 0"
            )
        self._check_layers()
        for name in ("local_rope_theta", "query_scalar", "score_softcap", "logit_softcap"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ModelError(f"{self._place}: got {name} {value:g}, expected a finite number above 0")
        if self.activation not in ACTIVATIONS:
            raise ModelError(f"{self._place}: got activation {self.activation!r}, expected {' or '.join(ACTIVATIONS)}")

        moe = self.experts > 0
        if not 0 <= self.experts_per_token <= self.experts or moe != (self.experts_per_token > 0):
            raise ModelError(
                f"{self._place}: got {self.experts_per_token} of {self.experts} experts a token, expected 1 to all, or "
                f"none of none"
            )
        if moe != (self.activation == "clamped_swish"):
            raise ModelError(
                f"{self._place}: got activation {self.activation} with {self.experts} experts, expected "
                "clamped_swish with experts alone"
            )

    def _check_layers(self) -> None:
        if self.sliding_window is not None and self.sliding_window < 1:
            raise ModelError(f"{self._place}: got a window of {self.sliding_window} keys, expected 1 or more")
        if self.windowed and len(self.windowed) != self.layers:
            raise ModelError(
                f"{self._place}: got {len(self.windowed)} layers with and without a window, expected {self.layers}"
            )
        if any(self.windowed) and self.sliding_window is None:
            raise ModelError(f"{self._place}: got layers with a window, and no size of it; expected one")

    def window_of(self, layer: int) -> int | None:
        """Keys that a query of that layer sees at most, its own among them; None for all."""
        return self.sliding_window if not self.windowed or self.windowed[layer] else None

    def skipping(self, layers_kept: Sequence[int]) -> ModelConfig:
        """The shape of a model of some of the layers only, in the order given."""
        windowed = tuple(self.windowed[layer] for layer in layers_kept) if self.windowed else ()
        return dataclasses.replace(self, layers=len(layers_kept), windowed=windowed)

    def is_local(self, layer: int) -> bool:
        """Whether RoPE has the local base in that layer."""
        return self.local_rope_theta is not None and self.window_of(layer) is not None

    def rope_of(self, local: bool) -> tuple[float, RopeScaling | None]:
        """Base and scaling of RoPE; `local`: in layers where `is_local` holds."""
        if local and self.local_rope_theta is not None:
            return self.local_rope_theta, None
        return self.rope_theta, self.rope_scaling

    @property
    def scale(self) -> float:
        """What scores are multiplied by."""
        return float((self.query_scalar or self.head_dim) ** -0.5)

    def settled(self, shortest: int, longest: int) -> ModelConfig:
        """The same for passes over `shortest` to `longest` tokens, its rotary frequencies those of that length.

        Raises UsageError where they change on the way.
        """
        if self.rope_scaling is None:
            return self
        scaling = self.rope_scaling.settled(shortest, longest, self.head_dim)
        return self if scaling is self.rope_scaling else dataclasses.replace(self, rope_scaling=scaling)

    @property
    def _place(self) -> str:
        return self.source or f"model {self.name}"

    @property
    def parameters(self) -> int:
        """Weights, a tied head counted once."""
        head = 0 if self.tied_embeddings else self.vocab_size * self.hidden_size
        return self.vocab_size * self.hidden_size + head + self.hidden_size + self.layers * self.layer_parameters

    @property
    def read_parameters(self) -> int:
        """Weights that a pass needs at least: of experts those of one token."""
        return self.parameters - self.layers * self._expert_parameters * (self.experts - self.experts_per_token)

    @property
    def _expert_parameters(self) -> int:
        return 3 * self.hidden_size * self.intermediate_size + 2 * self.intermediate_size + self.hidden_size

    @property
    def layer_parameters(self) -> int:
        """Weights of one layer: attention, gated MLP or experts and their router, norms, sinks and biases."""
        q_size, kv_size = self.q_heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * self.hidden_size * (q_size + kv_size)
        biases = q_size + 2 * kv_size if self.qkv_bias else 0
        norms = self.hidden_size * (4 if self.branch_norms else 2) + (2 * self.head_dim if self.qk_norm else 0)
        rest = (self.hidden_size if self.output_bias else 0) + (self.q_heads if self.sinks else 0)
        mlp = 3 * self.hidden_size * self.intermediate_size
        if self.experts:
            mlp = self.experts * (self._expert_parameters + self.hidden_size + 1)
        return attention + biases + mlp + norms + rest

    def weight_bytes(self, dtype: str | torch.dtype) -> int:
        """Bytes of all weights in `dtype`, such as `"bfloat16"` or `torch.bfloat16`."""
        return self.parameters * DTYPE_BYTES[str(dtype).removeprefix("torch.")]


def _published(name: str, fields: Mapping[str, Any]) -> ModelConfig:
    """The model of one table of `published.toml`."""
    shape = dict(fields)
    rope = shape.pop("rope_scaling", {})
    context, head_dim, theta = (shape[key] for key in ("context_length", "head_dim", "rope_theta"))
    return ModelConfig(
        name=name,
        rope_scaling=RopeFields(f"model {name}", rope, context, head_dim, theta).scaling(),
        windowed=tuple(itertools.islice(itertools.cycle(shape.pop("windowed", ())), shape["layers"])),
        eos_ids=tuple(shape.pop("eos_ids", ())),
        **shape,
    )


PUBLISHED: Mapping[str, ModelConfig] = MappingProxyType(
    {
        name: _published(name, fields)
        for name, fields in tomllib.loads(Path(__file__).with_name("published.toml").read_text("utf-8")).items()
    }
)
"""By the name that the axis `model` takes. Names are identifiers, because a case's id splits at hyphens."""
