"""Rope scaling as a Hugging Face configuration spells it: read, and written back.

Kinds, their fields and defaults are those of transformers 5.24, `modeling_rope_utils.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnlab.bench.errors import ModelError, UsageError
from attnlab.bench.llm.models.rope_scaling import (
    DynamicScaling,
    FactorScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    RopeScaling,
    YarnScaling,
    long_rope,
    yarn_attention,
)

ORIGINAL = "original_max_position_embeddings"
LLAMA_3_FIELDS = ("factor", "low_freq_factor", "high_freq_factor", ORIGINAL)
"""In the order of `Llama3Scaling`."""

EVERYWHERE = ("rope_type", "type", "rope_theta", "partial_rotary_factor")
TAKEN: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": LLAMA_3_FIELDS,
    "yarn": ("factor", ORIGINAL, "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"),
    "longrope": ("factor", ORIGINAL, "attention_factor", "short_factor", "long_factor"),
}
"""Fields that each kind takes."""

OTHER_NAMES = {"su": "longrope"}
"""What releases of before called a kind."""


@dataclass(frozen=True)
class RopeFields:
    """Rotary parameters of one configuration; each method raises ModelError, naming file and field.

    context: `max_position_embeddings`. beside: `original_max_position_embeddings` outside of the parameters.
    """

    place: str
    values: Mapping[str, Any]
    context: int
    head_dim: int
    theta: float
    beside: Any = None

    def kind(self) -> str:
        got = next((self.values[key] for key in ("rope_type", "type") if self.values.get(key) is not None), "default")
        kind = OTHER_NAMES.get(got, got) if isinstance(got, str) else None
        if kind not in TAKEN:
            known = " or ".join(map(repr, TAKEN))
            raise ModelError(f"{self.place}: got rope_type {short(got)}, expected {known}")
        other = [
            key for key, value in self.values.items() if value is not None and key not in (*EVERYWHERE, *TAKEN[kind])
        ]
        if other:
            raise ModelError(f"{self.place}: got {' and '.join(other)} with rope_type {got!r}, which does not take it")
        return kind

    def scaling(self) -> RopeScaling | None:
        """The rule; None for plain frequencies."""
        make = {
            "default": lambda: None,
            "linear": lambda: LinearScaling(self.number("factor")),
            "dynamic": lambda: DynamicScaling(self.number("factor"), self.context),
            "llama3": self.llama_3,
            "yarn": self.yarn,
            "longrope": self.longrope,
        }[self.kind()]
        try:
            rule = make()
            if isinstance(rule, YarnScaling):
                rule.ramp(self.theta, self.head_dim)
            return rule
        except ModelError:
            raise
        except UsageError as error:
            raise ModelError(f"{self.place}: {error}") from error

    def llama_3(self) -> RopeScaling:
        missing = [key for key in LLAMA_3_FIELDS[:-1] if self.values.get(key) is None]
        if missing:
            raise ModelError(f"{self.place}: rope_type 'llama3' lacks a number for {' and '.join(missing)}")
        factor, low, high = (self.number(key) for key in LLAMA_3_FIELDS[:-1])
        if high <= low:
            raise ModelError(f"{self.place}: got high_freq_factor {high:g}, expected above low_freq_factor {low:g}")
        return Llama3Scaling(factor, low, high, self.original())

    def yarn(self) -> RopeScaling:
        """A factor of null, but not one left out, is the ratio of the lengths."""
        original = self.original()
        factor = self.number("factor", self.context / original if "factor" in self.values else None)
        weights = [self.values.get(key) or 0 for key in ("mscale", "mscale_all_dim")]
        if all(weights):
            whole, all_dim = (yarn_attention(factor, self.number(key)) for key in ("mscale", "mscale_all_dim"))
            attention = whole / all_dim
        else:
            attention = yarn_attention(factor)
        truncate = self.values.get("truncate", True)
        if not isinstance(truncate, bool):
            raise ModelError(f"{self.place}: got truncate {short(truncate)}, expected true or false")
        fast, slow = self.number("beta_fast", 32.0), self.number("beta_slow", 1.0)
        if fast < slow:
            raise ModelError(f"{self.place}: got beta_fast {fast:g}, expected at least beta_slow {slow:g}")
        return YarnScaling(factor, original, self.number("attention_factor", attention), fast, slow, truncate)

    def longrope(self) -> RopeScaling:
        original = self.original()
        if original < 2:
            raise ModelError(f"{self.place}: got {ORIGINAL} {original}, expected 2 or more")
        factor = self.number("factor", self.context / original)
        attention = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
        return long_rope(
            self.factors("short_factor"),
            self.factors("long_factor"),
            original,
            self.number("attention_factor", attention),
        )

    def original(self) -> int:
        """Tokens that the model was first trained on; where nothing says so, as many as it takes."""
        inside = self.values.get(ORIGINAL)
        if None not in (inside, self.beside) and inside != self.beside:
            raise ModelError(
                f"{self.place}: got {ORIGINAL} {short(inside)} among the rotary parameters and {short(self.beside)} "
                "beside them, expected one"
            )
        found = next((value for value in (inside, self.beside) if value is not None), self.context)
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            raise ModelError(f"{self.place}: got {short(found)} for {ORIGINAL}, expected a whole number above 0")
        return found

    def factors(self, key: str) -> tuple[float, ...]:
        """One for each pair of channels."""
        got = self.values.get(key)
        pairs = self.head_dim // 2
        if not isinstance(got, list) or len(got) != pairs or not all(map(is_number, got)):
            raise ModelError(f"{self.place}: got {short(got)} for {key}, expected a list of {pairs} numbers above 0")
        return tuple(map(float, got))

    def number(self, key: str, default: float | None = None) -> float:
        """A number above 0; `default` where it is left out or null."""
        value = self.values.get(key)
        value = default if value is None else value
        if not is_number(value):
            raise ModelError(f"{self.place}: got {short(value)} for {key}, expected a number above 0, at most 1e13")
        return float(value)  # type: ignore[arg-type]


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1e13


def written(scaling: RopeScaling) -> dict[str, Any]:
    """The fields that give `scaling` again."""
    match scaling:
        case LinearScaling(factor):
            return {"rope_type": "linear", "factor": factor}
        case DynamicScaling(factor, _):
            return {"rope_type": "dynamic", "factor": factor}
        case Llama3Scaling(factor, low, high, original):
            return {"rope_type": "llama3"} | dict(zip(LLAMA_3_FIELDS, (factor, low, high, original), strict=True))
        case YarnScaling():
            return {
                "rope_type": "yarn",
                "factor": scaling.factor,
                ORIGINAL: scaling.original_length,
                "attention_factor": scaling.attention_factor,
                "beta_fast": scaling.beta_fast,
                "beta_slow": scaling.beta_slow,
                "truncate": scaling.truncate,
            }
        case LongRopeScaling(short_factors, long_factors, original, attention):
            return longrope_written(short_factors, long_factors, original, attention)
        case FactorScaling(factors, attention):  # of one rule for all lengths
            return longrope_written(factors, factors, 2, attention)
    raise TypeError(f"got {scaling!r}, expected a rule that configurations have")


def longrope_written(
    short_factors: tuple[float, ...], long_factors: tuple[float, ...], original: int, attention: float
) -> dict[str, Any]:
    return {
        "rope_type": "longrope",
        "short_factor": list(short_factors),
        "long_factor": list(long_factors),
        ORIGINAL: original,
        "attention_factor": attention,
        "factor": 1.0,
    }


def short(value: Any) -> str:
    """What was got, of at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
