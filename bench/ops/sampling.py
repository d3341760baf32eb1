"""Operator `sampling`: drawing next tokens from logits, cut off by top-k, top-p and min-p."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.axes import axis, dtype_axis, size
from attnlab.bench.contract import Mixed, Operator, TensorSpec, columns, constant, dynamic
from attnlab.bench.distribution import Distribution
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops import sampling_data, sampling_probes
from attnlab.bench.ops.sampling_edges import law_of
from attnlab.bench.ops.typed import TypedCase
from attnlab.bench.registry import registry
from attnlab.bench.sampling_params import NUMBER, SamplingParams, read_number, write_number

TOKEN_BYTES = 8


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
    if not re.fullmatch("|".join(sampling_data.SOURCES), str(value)):
        known = ", ".join(sampling_data.SOURCES)
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
        pattern="|".join(sampling_data.SOURCES),
        read=_read_source,
        help=", ".join(sampling_data.SOURCES),
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


def make_inputs(case: SamplingCase, draw: str, seed: int, device: torch.device) -> SamplingInputs:
    """Seeded logits, uniform numbers and tokens seen."""
    generator = torch.Generator().manual_seed(seed)
    logits = sampling_data.logits(case, draw, seed, generator).to(case.torch_dtype)
    uniforms = sampling_data.uniforms(case, draw, seed, generator)
    seen = None
    if case.params.penalises:
        seen = sampling_data.tokens_seen(case, draw, logits, seed, generator).to(device)
    return SamplingInputs(logits.to(device), uniforms.to(device), case.params, seen)


def mixed(case: SamplingCase, inputs: SamplingInputs) -> dict[str, Mixed]:
    """Logits that are each drawn for themselves; in other sources they hang on each other."""
    return columns(inputs, "logits", "uniforms", "seen") if case.inputs in sampling_data.EACH_BY_ITSELF else {}


def outputs(case: SamplingCase) -> tuple[TensorSpec, ...]:
    return (TensorSpec("tokens", (case.batch, case.draws), torch.int64),)


def operations(case: SamplingCase) -> int:
    """None that count: no products of matrices, one exponential a logit at most."""
    return 0


def bytes_moved(case: SamplingCase) -> int:
    """Logits and the tokens seen, read once; uniforms, where they matter; tokens written."""
    logits = case.batch * case.vocab * case.torch_dtype.itemsize
    seen = case.batch * case.history * TOKEN_BYTES if case.params.penalises else 0
    uniforms = 0 if case.params.greedy else case.batch * case.draws * torch.float32.itemsize
    return logits + seen + uniforms + case.batch * case.draws * TOKEN_BYTES


SAMPLING: Operator[SamplingCase, SamplingInputs] = Operator(
    name="sampling",
    summary="drawing the next token: temperature, top-k, top-p, min-p and a penalty of repetition",
    case_type=SamplingCase,
    inputs_type=SamplingInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=Distribution(law=law_of, probes=sampling_probes.PROBES),
    length_axis="vocab",
    needle_draws=sampling_data.NEEDLE_KINDS,
    needle_cases=sampling_data.needle_cases,
    mixed=mixed,
)
registry.operators.add(SAMPLING.name, SAMPLING, __name__)
