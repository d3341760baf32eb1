"""Rope scaling in a GGUF file, as llama.cpp computes it.

`llama_model::load_hparams` and `llama_context` there read the fields; `rope_yarn` and `ggml_rope_cache_init` of
`ggml-cpu/ops.cpp` compute with them.
"""

from __future__ import annotations

import math

from attnlab.bench.errors import ModelError, UsageError
from attnlab.bench.llm.models.gguf_file import GgufFile
from attnlab.bench.llm.models.rope_scaling import (
    FactorScaling,
    LinearScaling,
    RopeScaling,
    YarnScaling,
    long_rope,
    product,
    yarn_attention,
)

FREQUENCIES, LONG, SHORT = "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"
"""Tensors of divisors, one for each pair of channels."""

SCALING_FIELDS = (
    "rope.scale_linear",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
)
"""Computed here; `finetuned` changes nothing."""

KINDS = ("none", "linear", "yarn", "longrope")
DIVIDED = "llama"
"""The architecture whose files may hold divisors."""


class GgufRope:
    """The rope fields of a file of `architecture`; each method raises ModelError, naming file and field."""

    def __init__(self, file: GgufFile, architecture: str, head_dim: int, theta: float, context: int) -> None:
        self._file, self._architecture = file, architecture
        self._head_dim, self._theta, self._context = head_dim, theta, context

    def taken(self) -> frozenset[str]:
        """Tensors that the rule has taken."""
        if self._architecture != DIVIDED:
            return frozenset()
        return frozenset((LONG, SHORT) if self._kind() == "longrope" else (FREQUENCIES,))

    def scaling(self) -> RopeScaling | None:
        """The rule; None for plain frequencies."""
        try:
            return self._longrope() if self._kind() == "longrope" else self._of_one_length()
        except ModelError:
            raise
        except UsageError as error:
            raise ModelError(f"{self._file.path}: {error}") from error

    def _of_one_length(self) -> RopeScaling | None:
        rule, amplitude = self._rule(), self._number("rope.scaling.attn_factor", 1.0)
        divided = self._architecture == DIVIDED and FREQUENCIES in self._file.shapes()
        if isinstance(rule, YarnScaling) and not divided:
            rule.ramp(self._theta, self._head_dim)
            return rule
        if not divided and amplitude == 1:
            return rule
        pairs = self._head_dim // 2
        factors = self._factors(FREQUENCIES) if divided else (1.0,) * pairs
        if rule is not None:
            factors = product(factors, rule.divisors(self._theta, self._head_dim))
        return FactorScaling(factors, rule.amplitude if isinstance(rule, YarnScaling) else amplitude)

    def _rule(self) -> LinearScaling | YarnScaling | None:
        """Without divisors of the file's own. `attn_factor` multiplies what YaRN recommends."""
        factor, kind = self._factor(), self._kind()
        if kind == "yarn":
            amplitude = self._number("rope.scaling.attn_factor", 1.0)
            return YarnScaling(
                factor,
                self._original(),
                amplitude * yarn_attention(factor),
                self._number("rope.scaling.yarn_beta_fast", 32.0),
                self._number("rope.scaling.yarn_beta_slow", 1.0),
            )
        return None if factor == 1 or kind == "none" else LinearScaling(factor)

    def _longrope(self) -> RopeScaling:
        if self._factor() != 1:
            raise ModelError(
                f"{self._file.path}: got {self._name('rope.scaling.factor')} {self._factor():g} with longrope, which "
                "is not computed here; expected 1, or no such field"
            )
        amplitude = self._number("rope.scaling.attn_factor", 1.0)
        return long_rope(self._factors(SHORT), self._factors(LONG), self._original(), amplitude)

    def _kind(self) -> str:
        kind = self._file.field(self._name("rope.scaling.type"), "linear")
        known = KINDS if self._architecture == DIVIDED else KINDS[:3]
        if kind not in known:
            raise ModelError(
                f"{self._file.path}: got {self._name('rope.scaling.type')} {kind!r}, which is not computed here; "
                f"expected {' or '.join(map(repr, known))}"
            )
        return str(kind)

    def _factor(self) -> float:
        """0 stands for 1; `scale_linear` is what older files say."""
        old = self._number("rope.scale_linear", 1.0, zero=1.0)
        return self._number("rope.scaling.factor", old, zero=1.0)

    def _original(self) -> int:
        key = self._name("rope.scaling.original_context_length")
        value = self._file.field(key, self._context)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ModelError(f"{self._file.path}: got {value!r} for {key}, expected a whole number above 0")
        return value

    def _factors(self, name: str) -> tuple[float, ...]:
        pairs = self._head_dim // 2
        shape = self._file.shapes().get(name)
        if shape is None:
            raise ModelError(f"{self._file.path} lacks the tensor {name}, which rope scaling of this type takes")
        if shape != (pairs,):
            raise ModelError(f"{self._file.path}: tensor {name} has shape {list(shape)}, expected [{pairs}]")
        self._file.check(name)
        factors = tuple(self._file.tensor(name).double().tolist())
        if not all(0 < factor < math.inf for factor in factors):
            raise ModelError(f"{self._file.path}: tensor {name} holds factors that are not finite and above 0")
        return factors

    def _number(self, key: str, default: float, zero: float | None = None) -> float:
        value = self._file.field(self._name(key), default)
        if not isinstance(value, float) or not 0 <= value < math.inf or (value == 0 and zero is None):
            raise ModelError(f"{self._file.path}: got {value!r} for {self._name(key)}, expected a number above 0")
        return zero if value == 0 and zero is not None else value

    def _name(self, key: str) -> str:
        return f"{self._architecture}.{key}"
