"""The check of `perplexity`: logarithms of the right tokens' probabilities against float64 on the same weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import BudgetExpectation, ErrorBudget, Outputs, Probe, YardstickOutput, zeros
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
OTHER_READINGS = 3
"""With codes on the way, beside the plain one."""


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


def nudged(seed: int) -> Rounding:
    """Activations times 1 ± half a step of their dtype: as another order of sums leaves them."""
    generator = torch.Generator().manual_seed(seed)

    def nudge(x: Tensor) -> Tensor:
        sign = torch.randint(0, 2, x.shape, generator=generator).to(x) * 2 - 1
        return x * (1 + sign * (torch.finfo(x.dtype).eps / 2))

    return nudge


def furthest(readings: Sequence[Tensor]) -> Tensor:
    """Of each element the reading that is furthest from the mean of all."""
    together = torch.stack(list(readings))
    away = (together - together.mean(0)).abs()
    return together.gather(0, away.argmax(0, keepdim=True))[0]


def _taken(inputs: PerplexityInputs, windows: Tensor) -> PerplexityInputs:
    return replace(inputs, ids=inputs.ids[windows.to(inputs.ids.device)])


def oracle(case: PerplexityCase, inputs: PerplexityInputs, windows: Tensor) -> Outputs:
    return (logs_of(case, _taken(inputs, windows), torch.float64),)


def yardstick(case: PerplexityCase, inputs: PerplexityInputs, windows: Tensor) -> YardstickOutput:
    """Passes in the case's dtype; a logarithm is as large as what it is made of.

    Where numbers become codes on the way, which of them fall to the other side of a boundary is luck, and one can move
    a logarithm by far more than the others do: several passes are made, each with its own luck.
    """
    taken = _taken(inputs, windows)
    logs = logs_of(case, taken, case.torch_dtype)
    if cap(case) is not None:
        logs = furthest([logs, *(logs_of(case, taken, case.torch_dtype, nudged(n)) for n in range(OTHER_READINGS))])
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
        return _budget(tuple(_probes(inputs))).expect(case, inputs)


def _probes(inputs: PerplexityInputs) -> Iterator[Probe[PerplexityCase, PerplexityInputs]]:
    yield from ALWAYS
    if inputs.probed:
        yield from COSTLY


def _budget(
    probes: tuple[Probe[PerplexityCase, PerplexityInputs], ...],
) -> ErrorBudget[PerplexityCase, PerplexityInputs]:
    return ErrorBudget(
        sample=sample,
        select=select,
        oracle=oracle,
        yardstick=yardstick,
        probes=probes,
        dtype=lambda case: case.dtype,
        names=("logs",),
        cap=cap,
    )
