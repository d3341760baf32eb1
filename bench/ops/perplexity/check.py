"""The check of `perplexity`: logarithms of the right tokens' probabilities against float64 on the same weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import (
    EPSILON,
    FLOOR_ROUNDOFFS,
    BudgetExpectation,
    ErrorBudget,
    Outputs,
    Probe,
    YardstickOutput,
    root_mean_square,
    zeros,
)
from attnlab.bench.llm.generation.stored import SAME, rounding
from attnlab.bench.llm.models.reference import as_it_is
from attnlab.bench.llm.quality.scoring import reading_of, right_logs
from attnlab.bench.ops.perplexity.probes import COSTLY

if TYPE_CHECKING:
    from attnlab.bench.llm.models.reference import Rounding
    from attnlab.bench.ops.perplexity.case import PerplexityCase, PerplexityInputs

FULL_CHECK_TOKENS = 1024
"""Of all windows: beyond, the first and the last are compared."""
CAP_WITH_CODES = 0.08
"""Of the error of the furthest of the yardstick's passes, where numbers become codes on the way."""
NUDGES = ((1.0, 3), (2.0, 6))
"""With codes on the way, beside the plain pass: how strong activations are nudged, and in how many passes."""
ALIKE = 2.0
"""The furthest of several passes over the nearest: below it, luck has no part in how far they are."""


def sample(case: PerplexityCase) -> Tensor:
    """Which windows of a call are compared."""
    if case.batch * case.window <= FULL_CHECK_TOKENS or case.batch <= 2:
        return torch.arange(case.batch)
    return torch.tensor([0, case.batch - 1])


def select(outputs: Outputs, windows: Tensor) -> Outputs:
    return tuple(out.index_select(0, windows.to(out.device)) for out in outputs)


def logs_of(case: PerplexityCase, inputs: PerplexityInputs, dtype: torch.dtype, before: Rounding = as_it_is) -> Tensor:
    """float64 [B, scored], by passes in `dtype`; before: what becomes of activations before they are rounded."""
    rounded = rounding(case.weights)
    reading = reading_of(case.format)
    return right_logs(inputs.weights, inputs.ids, inputs.scored, dtype, lambda x: rounded(before(x)), reading)


def nudged(seed: int, strength: float = 1.0) -> Rounding:
    """Activations times 1 ± half a step of their dtype, times `strength`: as another order of sums leaves them."""
    generator = torch.Generator().manual_seed(seed)

    def nudge(x: Tensor) -> Tensor:
        sign = torch.randint(0, 2, x.shape, generator=generator).to(x) * 2 - 1
        return x * (1 + sign * (strength * torch.finfo(x.dtype).eps / 2))

    return nudge


def readings_with_codes(case: PerplexityCase, inputs: PerplexityInputs) -> list[Tensor]:
    """Passes in the case's dtype of which numbers that lie near to a boundary fall to either side.

    Where few lie there, such passes may all agree by luck, and honest code has other luck. So more of them follow,
    unless all are about equally far from the plain one, beyond what the dtype rounds.
    """
    plain = logs_of(case, inputs, case.torch_dtype)
    readings, least = [plain], FLOOR_ROUNDOFFS[case.dtype] * EPSILON[case.dtype] * root_mean_square(plain)
    for strength, count in NUDGES:
        some = [logs_of(case, inputs, case.torch_dtype, nudged(n, strength)) for n in range(count)]
        readings += some
        away = [root_mean_square(reading - plain) for reading in some]
        if min(away) > least and max(away) < ALIKE * min(away):
            break
    return readings


def furthest(readings: Sequence[Tensor], right: Tensor) -> Tensor:
    """Of each element the reading that is furthest from what is right: of a mean of all, one that is right might be."""
    together = torch.stack(list(readings))
    return together.gather(0, (together - right).abs().argmax(0, keepdim=True))[0]


def _taken(inputs: PerplexityInputs, windows: Tensor) -> PerplexityInputs:
    return replace(inputs, ids=inputs.ids[windows.to(inputs.ids.device)])


def oracle(case: PerplexityCase, inputs: PerplexityInputs, windows: Tensor) -> Outputs:
    return (logs_of(case, _taken(inputs, windows), torch.float64),)


def yardstick(right: Outputs, case: PerplexityCase, inputs: PerplexityInputs, windows: Tensor) -> YardstickOutput:
    """Passes in the case's dtype; a logarithm is as large as what it is made of.

    Where numbers become codes on the way, which of them fall to the other side of a boundary is luck, and one can move
    a logarithm by far more than the others do: several passes are made, each with its own luck.
    """
    taken = _taken(inputs, windows)
    if cap(case) is None:
        logs = logs_of(case, taken, case.torch_dtype)
    else:
        logs = furthest(readings_with_codes(case, taken), right[0])
    return YardstickOutput((logs.float(),), (logs.float().abs(),))


def cap(case: PerplexityCase) -> float | None:
    """Codes of activations and of a cache are wider steps than a dtype's; None: the dtype's own cap."""
    return CAP_WITH_CODES if case.codes_activations or case.cache != SAME else None


def one_early(case: PerplexityCase, inputs: PerplexityInputs, windows: Tensor, expected: Outputs) -> Outputs:
    """Each place holds what belongs to the one before: the first token, which nothing comes before, is counted."""
    return (expected[0].roll(1, 1),)


def one_late(case: PerplexityCase, inputs: PerplexityInputs, windows: Tensor, expected: Outputs) -> Outputs:
    return (expected[0].roll(-1, 1),)


def other_window(case: PerplexityCase, inputs: PerplexityInputs, windows: Tensor, expected: Outputs) -> Outputs:
    return (expected[0].roll(1, 0),)


ALWAYS: tuple[Probe[PerplexityCase, PerplexityInputs], ...] = (
    Probe("zeros", lambda case: True, zeros),
    Probe("one token early", lambda case: case.scored > 1, one_early),
    Probe("one token late", lambda case: case.scored > 1, one_late),
    Probe("another window", lambda case: len(sample(case)) > 1, other_window),
)


class LogBudget:
    """The error budget of logarithms of probabilities; costly wrong results are tried on one set of inputs only."""

    def expect(self, case: PerplexityCase, inputs: PerplexityInputs) -> BudgetExpectation:
        right = oracle(case, inputs, sample(case))
        return _budget(tuple(_probes(inputs)), right).expect(case, inputs)


def _probes(inputs: PerplexityInputs) -> Iterator[Probe[PerplexityCase, PerplexityInputs]]:
    yield from ALWAYS
    if inputs.probed:
        yield from COSTLY


def _budget(
    probes: tuple[Probe[PerplexityCase, PerplexityInputs], ...], right: Outputs
) -> ErrorBudget[PerplexityCase, PerplexityInputs]:
    return ErrorBudget(
        sample=sample,
        select=select,
        oracle=lambda case, inputs, windows: right,
        yardstick=partial(yardstick, right),
        probes=probes,
        dtype=lambda case: case.dtype,
        names=("logs",),
        cap=cap,
    )
