"""Cases and inputs of operator `sampling`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from attnlab.bench.contract.axes import axis, dtype_axis, size
from attnlab.bench.contract.operator_spec import constant, dynamic
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.sampling_params import NUMBER, SamplingParams, read_number, write_number
from attnlab.bench.ops._shared.typed import TypedCase

if TYPE_CHECKING:
    from typing import Any


SOURCES = ("normal", "peaked", "flat", "ties", "one_hot", "minus_inf")


def _number(letter: str, name: str, help: str) -> Any:
    """An axis of one field of SamplingParams, with its default."""

    def read(value: Any) -> int | float | None:
        if value is None or value == "none":
            number = None
        else:
            number = read_number(name, value) if isinstance(value, str) else value
        return getattr(SamplingParams(**{name: number}), name)  # type: ignore[arg-type,no-any-return]

    return axis(
        prefix=letter,
        pattern=NUMBER,
        read=read,
        write=lambda value: "none" if value is None else write_number(value),
        help=help,
        default=getattr(SamplingParams, name),
    )


def _read_source(value: Any) -> str:
    if not re.fullmatch("|".join(SOURCES), str(value)):
        known = ", ".join(SOURCES)
        raise ImpossibleCase(f"unknown source of inputs {value!r}; expected one of {known}")
    return str(value)


@dataclass(frozen=True)
class SamplingCase(TypedCase):
    """One shape, dtype, set of parameters and source of logits."""

    kind = "sampling"

    batch: int = size("B", help="rows of logits", default=1)
    vocab: int = size("V", help="tokens of the vocabulary", default=128_256)
    draws: int = size("N", help="draws a row", default=1)
    temperature: float = _number("t", "temperature", "divides the logits; 0 is greedy")
    top_k: int | None = _number("k", "top_k", "the k largest logits, and ties of the last")
    top_p: float = _number("p", "top_p", "the fewest tokens that hold this mass")
    min_p: float = _number("m", "min_p", "least probability, over the largest one")
    repetition_penalty: float = _number("r", "repetition_penalty", "of tokens seen before; 1 is none")
    history: int = size("H", help="tokens seen before, where they are penalised", default=128)
    dtype: str = dtype_axis("float32")
    inputs: str = axis(
        pattern="|".join(SOURCES),
        read=_read_source,
        help=", ".join(SOURCES),
        default="normal",
    )

    def validate(self) -> None:
        if self.vocab < 2:
            raise ImpossibleCase(f"got vocab={self.vocab}; expected at least 2 tokens to choose from")
        if not self.params.penalises and self.history != self.axes()["history"].default(self):
            raise ImpossibleCase(
                f"got history={self.history} with repetition_penalty 1, which looks at none; leave history out"
            )

    @property
    def params(self) -> SamplingParams:
        return SamplingParams(self.temperature, self.top_k, self.top_p, self.min_p, self.repetition_penalty)


@dataclass(frozen=True)
class SamplingInputs:
    """Inputs of sampling; the result is tokens [B, N] in int64.

    logits [B, V] in the case's dtype, finite or -inf, one finite in each row. uniforms float32 [B, N] in [0, 1): all
    the randomness there is, one number a draw, so that the tokens are the same on every call. Ours turn one into the
    first token, by its id, at which the sum of the kept probabilities exceeds uniform · total, so that they agree on
    the tokens up to rounding; any other use that follows the distribution conforms. A row's tokens hang on its own
    logits, numbers and seen tokens alone, and not on its place: equal rows draw the same by equal numbers. seen int64
    [B, L]: the tokens before, negative ones none; None where nothing is penalised. Arithmetic is float32 for every
    dtype.
    """

    logits: Tensor = dynamic("logits [B, V]")
    uniforms: Tensor = dynamic("uniform numbers [B, N], float32")
    params: SamplingParams = constant("temperature, truncations and penalty")
    seen: Tensor | None = dynamic("tokens before, int64 [B, L], or None")
