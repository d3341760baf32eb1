"""The shape of a decoder of the Llama, Qwen and Gemma families, and published ones by name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from attnlab.bench.errors import ModelError
from attnlab.bench.models.rope_scaling import Llama3Scaling, RopeScaling

if TYPE_CHECKING:
    import torch

ACTIVATIONS = ("silu", "gelu_tanh")
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
    """Of the gate: `silu`, or `gelu_tanh`, GELU by its approximation with tanh."""
    scaled_embedding: bool = False
    """Embeddings are multiplied by the root of the hidden size, rounded to the dtype of the weights."""
    query_scalar: float | None = None
    """Scores are divided by its root; None for the head size."""
    score_softcap: float | None = None
    """c of c · tanh(score / c), before the mask; None for none."""
    logit_softcap: float | None = None
    """c of c · tanh(logit / c); None for none."""
    bos_id: int | None = None
    eos_ids: tuple[int, ...] = ()
    source: str = field(default="", compare=False)
    """Where the numbers come from."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "intermediate_size", "layers", "q_heads", "kv_heads", "head_dim",
                     "context_length"):  # fmt: skip
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
    def layer_parameters(self) -> int:
        """Weights of one layer: attention, gated MLP, norms and biases."""
        q_size, kv_size = self.q_heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * self.hidden_size * (q_size + kv_size)
        biases = q_size + 2 * kv_size if self.qkv_bias else 0
        norms = self.hidden_size * (4 if self.branch_norms else 2) + (2 * self.head_dim if self.qk_norm else 0)
        return attention + biases + 3 * self.hidden_size * self.intermediate_size + norms

    def weight_bytes(self, dtype: str | torch.dtype) -> int:
        """Bytes of all weights in `dtype`, such as `"bfloat16"` or `torch.bfloat16`."""
        return self.parameters * DTYPE_BYTES[str(dtype).removeprefix("torch.")]


LLAMA_3_2_SCALING = Llama3Scaling(32.0, low_frequency_factor=1.0, high_frequency_factor=4.0, original_length=8192)


def _published() -> Iterator[ModelConfig]:
    smollm2 = ModelConfig(
        name="smollm2_135m",
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        layers=30,
        q_heads=9,
        kv_heads=3,
        head_dim=64,
        rope_theta=100_000.0,
        norm_eps=1e-5,
        context_length=8192,
        tied_embeddings=True,
        bos_id=1,
        eos_ids=(2,),
        source="HuggingFaceTB/SmolLM2-135M-Instruct, config.json",
    )
    yield smollm2
    yield dataclasses.replace(
        smollm2,
        name="smollm2_360m",
        hidden_size=960,
        intermediate_size=2560,
        layers=32,
        q_heads=15,
        kv_heads=5,
        source="HuggingFaceTB/SmolLM2-360M-Instruct, config.json",
    )
    yield dataclasses.replace(
        smollm2,
        name="smollm2_1b7",
        hidden_size=2048,
        intermediate_size=8192,
        layers=24,
        q_heads=32,
        kv_heads=32,
        rope_theta=130_000.0,
        source="HuggingFaceTB/SmolLM2-1.7B-Instruct, config.json",
    )
    llama = ModelConfig(
        name="llama3_8b",
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        layers=32,
        q_heads=32,
        kv_heads=8,
        head_dim=128,
        rope_theta=500_000.0,
        norm_eps=1e-5,
        context_length=8192,
        tied_embeddings=False,
        bos_id=128000,
        eos_ids=(128001, 128009),
        source="meta-llama/Meta-Llama-3-8B-Instruct, config.json and generation_config.json",
    )
    yield llama
    yield dataclasses.replace(
        llama,
        name="llama32_1b",
        hidden_size=2048,
        intermediate_size=8192,
        layers=16,
        head_dim=64,
        context_length=131072,
        tied_embeddings=True,
        rope_scaling=LLAMA_3_2_SCALING,
        eos_ids=(128001, 128008, 128009),
        source="meta-llama/Llama-3.2-1B-Instruct, config.json",
    )
    yield ModelConfig(
        name="qwen25_7b",
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        layers=28,
        q_heads=28,
        kv_heads=4,
        head_dim=128,
        rope_theta=1_000_000.0,
        norm_eps=1e-6,
        context_length=32768,
        tied_embeddings=False,
        qkv_bias=True,
        bos_id=151643,
        eos_ids=(151645, 151643),
        source="Qwen/Qwen2.5-7B-Instruct, config.json and generation_config.json",
    )
    yield ModelConfig(
        name="mistral_7b",
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=14336,
        layers=32,
        q_heads=32,
        kv_heads=8,
        head_dim=128,
        rope_theta=10_000.0,
        norm_eps=1e-5,
        context_length=32768,
        tied_embeddings=False,
        sliding_window=4096,
        bos_id=1,
        eos_ids=(2,),
        source="mistralai/Mistral-7B-v0.1, config.json",
    )
    qwen3 = ModelConfig(
        name="qwen3_8b",
        vocab_size=151936,
        hidden_size=4096,
        intermediate_size=12288,
        layers=36,
        q_heads=32,
        kv_heads=8,
        head_dim=128,
        rope_theta=1_000_000.0,
        norm_eps=1e-6,
        context_length=40960,
        tied_embeddings=False,
        qk_norm=True,
        bos_id=151643,
        eos_ids=(151645, 151643),
        source="Qwen/Qwen3-8B, config.json and generation_config.json",
    )
    yield qwen3
    gemma2 = ModelConfig(
        name="gemma2_9b",
        vocab_size=256000,
        hidden_size=3584,
        intermediate_size=14336,
        layers=42,
        q_heads=16,
        kv_heads=8,
        head_dim=256,
        rope_theta=10_000.0,
        norm_eps=1e-6,
        context_length=8192,
        tied_embeddings=True,
        sliding_window=4096,
        windowed=(True, False) * 21,
        branch_norms=True,
        activation="gelu_tanh",
        scaled_embedding=True,
        score_softcap=50.0,
        logit_softcap=30.0,
        bos_id=2,
        eos_ids=(1, 107),
        source="google/gemma-2-9b-it, config.json and generation_config.json",
    )
    yield gemma2
    gemma3 = dataclasses.replace(
        gemma2,
        name="gemma3_1b",
        vocab_size=262144,
        hidden_size=1152,
        intermediate_size=6912,
        layers=26,
        q_heads=4,
        kv_heads=1,
        rope_theta=1_000_000.0,
        context_length=32768,
        sliding_window=512,
        windowed=tuple((layer + 1) % 6 != 0 for layer in range(26)),
        local_rope_theta=10_000.0,
        qk_norm=True,
        score_softcap=None,
        logit_softcap=None,
        eos_ids=(1, 106),
        source="google/gemma-3-1b-it, config.json and generation_config.json",
    )
    yield gemma3
    toy = ModelConfig(
        name="toy",
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        layers=3,
        q_heads=4,
        kv_heads=2,
        head_dim=16,
        rope_theta=10_000.0,
        norm_eps=1e-5,
        context_length=1024,
        tied_embeddings=True,
        bos_id=1,
        eos_ids=(2,),
        source="made for tests",
    )
    yield toy
    small = {name: getattr(toy, name) for name in ("vocab_size", "hidden_size", "intermediate_size", "q_heads",
             "kv_heads", "context_length", "bos_id", "eos_ids", "source")} | {"head_dim": 24}  # fmt: skip
    yield dataclasses.replace(qwen3, name="toy_qwen3", layers=3, tied_embeddings=True, **small)
    yield dataclasses.replace(
        gemma2, name="toy_gemma2", layers=4, sliding_window=7, windowed=(True, False) * 2, query_scalar=40.0,
        score_softcap=2.0, logit_softcap=6.0, **small,
    )  # fmt: skip
    yield dataclasses.replace(
        gemma3, name="toy_gemma3", layers=4, sliding_window=7, windowed=(True, True, False, True),
        local_rope_theta=100.0, **small,
    )  # fmt: skip


PUBLISHED: Mapping[str, ModelConfig] = MappingProxyType({config.name: config for config in _published()})
"""By the name that the axis `model` takes. Names are identifiers, because a case's id splits at hyphens."""
