"""How rotary frequencies are stretched beyond the context that a model was first trained on: every rule, once.

The rules are those of transformers 5.24 (`modeling_rope_utils.py`). What remains of each is a divisor for every
frequency, and one amplitude of cosines and sines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from attnlab.bench.errors import UsageError

LEAST, MOST = 1e-12, 1e13
"""Of a factor or a length; beyond them angles are no numbers."""


def plain_frequencies(theta: float, head_dim: int) -> list[float]:
    """theta^(-2i/D) for each pair of channels, D/2 numbers, radians a position. Su et al. 2021, arXiv:2104.09864."""
    return [theta ** (-2 * pair / head_dim) for pair in range(head_dim // 2)]


@dataclass(frozen=True)
class RopeScaling:
    """One rule; raises UsageError where a number of it is out of all proportion."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            for number in value if isinstance(value, tuple) else (value,):
                if not LEAST < number < MOST and not isinstance(value, bool):
                    raise UsageError(
                        f"got {field.name} {number:g} of {type(self).__name__}, expected {LEAST:g} to {MOST:g}"
                    )

    @property
    def amplitude(self) -> float:
        """By what cosines and sines are multiplied."""
        return 1.0

    def divisors(self, theta: float, head_dim: int) -> list[float]:
        """By what each of the plain frequencies is divided, D/2 numbers.

        Raises UsageError where that depends on the length of the sequence, see `settled`, or does not fit the head.
        """
        raise UsageError(f"{type(self).__name__} depends on the length of a sequence; expected a settled rule")

    def settled(self, shortest: int, longest: int, head_dim: int) -> RopeScaling | None:
        """The rule that holds in passes over `shortest` to `longest` tokens; None for plain frequencies.

        Raises UsageError where it changes between them: keys in a cache were turned by another rule.
        """
        return self


@dataclass(frozen=True)
class LinearScaling(RopeScaling):
    """Every frequency is divided by `factor`."""

    factor: float

    def divisors(self, theta: float, head_dim: int) -> list[float]:
        return [self.factor] * (head_dim // 2)


@dataclass(frozen=True)
class FactorScaling(RopeScaling):
    """Each frequency has a divisor of its own, `factors` of D/2 numbers."""

    factors: tuple[float, ...]
    attention_factor: float = 1.0

    @property
    def amplitude(self) -> float:
        return self.attention_factor

    def divisors(self, theta: float, head_dim: int) -> list[float]:
        if len(self.factors) != head_dim // 2:
            raise UsageError(f"got {len(self.factors)} factors for heads of {head_dim}, expected {head_dim // 2}")
        return list(self.factors)


@dataclass(frozen=True)
class Llama3Scaling(RopeScaling):
    """How Llama 3.1 stretches its slow frequencies (Meta, llama-models, `apply_scaling`).

    A frequency of more than `high_frequency_factor` turns within `original_length` tokens stays, one of fewer than
    `low_frequency_factor` is divided by `factor`, and those between are blended by their turns.
    """

    factor: float = 8.0
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    original_length: int = 8192

    def __post_init__(self) -> None:
        if not (self.factor > 0 and 0 < self.low_frequency_factor < self.high_frequency_factor):
            raise UsageError(
                f"got {self}; expected a factor above 0, and a low frequency factor above 0 and below the high one: "
                "read them from the model's configuration"
            )
        super().__post_init__()

    def divisors(self, theta: float, head_dim: int) -> list[float]:
        width = self.high_frequency_factor - self.low_frequency_factor
        turns = (self.original_length * f / (2 * math.pi) for f in plain_frequencies(theta, head_dim))
        kept = (min(max((turn - self.low_frequency_factor) / width, 0.0), 1.0) for turn in turns)
        return [1 / (share + (1 - share) / self.factor) for share in kept]


@dataclass(frozen=True)
class YarnScaling(RopeScaling):
    """Fast frequencies stay, slow ones are divided by `factor`, with a ramp between (Peng et al., arXiv:2309.00071).

    The ramp runs over pairs of channels, from the one that turns `beta_fast` times within `original_length` tokens
    to the one that turns `beta_slow` times; `truncate` takes whole pairs.
    """

    factor: float
    original_length: int
    attention_factor: float
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True

    @property
    def amplitude(self) -> float:
        return self.attention_factor

    def divisors(self, theta: float, head_dim: int) -> list[float]:
        first, last = self.ramp(theta, head_dim)
        slowed = (min(max((pair - first) / (last - first), 0.0), 1.0) for pair in range(head_dim // 2))
        return [1 / (share / self.factor + (1 - share)) for share in slowed]

    def ramp(self, theta: float, head_dim: int) -> tuple[float, float]:
        """Where the ramp begins and ends, counted in pairs; raises UsageError where it does not rise."""
        if theta <= 1:
            raise UsageError(f"got rope_theta {theta:g} with YaRN, expected above 1")
        first, last = (
            head_dim * math.log(self.original_length / (turns * 2 * math.pi)) / (2 * math.log(theta))
            for turns in (self.beta_fast, self.beta_slow)
        )
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, head_dim - 1)
        if first > last:
            raise UsageError(
                f"got beta_fast {self.beta_fast:g} and beta_slow {self.beta_slow:g} of YaRN within "
                f"{self.original_length} tokens, whose ramp over pairs of channels runs from {first:g} to {last:g}; "
                "expected it to rise"
            )
        return first, last + (0.001 if first == last else 0)


@dataclass(frozen=True)
class DynamicScaling(RopeScaling):
    """Sequences of more than `original_length` tokens have a greater theta, by their length (NTK-aware)."""

    factor: float
    original_length: int

    def settled(self, shortest: int, longest: int, head_dim: int) -> RopeScaling | None:
        if longest <= self.original_length:
            return None
        if shortest != longest:
            raise changes_between("dynamic", self.original_length, shortest, longest)
        if head_dim == 2:
            raise UsageError("got heads of 2 channels with dynamic rope scaling, expected 4 or more")
        grown = self.factor * longest / self.original_length - (self.factor - 1)
        if grown <= 0:
            raise UsageError(f"got factor {self.factor:g} of dynamic rope scaling, expected 1 or more")
        return FactorScaling(tuple(grown ** (2 * pair / (head_dim - 2)) for pair in range(head_dim // 2)))


@dataclass(frozen=True)
class LongRopeScaling(RopeScaling):
    """Sequences of more than `original_length` tokens have other divisors than shorter ones (arXiv:2402.13753)."""

    short_factors: tuple[float, ...]
    long_factors: tuple[float, ...]
    original_length: int
    attention_factor: float

    def settled(self, shortest: int, longest: int, head_dim: int) -> RopeScaling | None:
        if shortest <= self.original_length < longest:
            raise changes_between("longrope", self.original_length, shortest, longest)
        factors = self.short_factors if longest <= self.original_length else self.long_factors
        return FactorScaling(factors, self.attention_factor)


def long_rope(
    short_factors: tuple[float, ...], long_factors: tuple[float, ...], original_length: int, attention_factor: float
) -> RopeScaling:
    """LongRoPE, or the one rule of all lengths where its factors are the same."""
    if short_factors == long_factors:
        return FactorScaling(short_factors, attention_factor)
    return LongRopeScaling(short_factors, long_factors, original_length, attention_factor)


def changes_between(kind: str, original_length: int, shortest: int, longest: int) -> UsageError:
    return UsageError(
        f"got a sequence that grows from {shortest} to {longest} tokens with rope_type '{kind}', whose frequencies "
        f"change above {original_length}, while keys in a cache were turned by the old ones; expected at most "
        f"{original_length} tokens in all" + (f", or a prompt of more than {original_length}" * (kind == "longrope"))
    )


def yarn_attention(factor: float, weight: float = 1.0) -> float:
    """The amplitude that YaRN recommends for a factor."""
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def product(divisors: Sequence[float], others: Sequence[float]) -> tuple[float, ...]:
    """Of divisors, pair by pair."""
    return tuple(a * b for a, b in zip(divisors, others, strict=True))
