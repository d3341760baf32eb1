"""How outputs of collectives are judged: an error budget for reductions, and to the bit for what is only moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import ErrorBudget, Outputs, Probe, YardstickOutput, zeros
from attnlab.bench.ops._shared.collectives import CollectiveCase, CollectiveInputs, borders
from attnlab.bench.ops._shared.rowwise import FULL_CHECK_NUMBERS

FEW = 8  # numbers of a block, below which a wrong block may be right by chance


def sampled(case: CollectiveCase) -> Tensor:
    """The columns of the outputs that are compared: all of small outputs, else those at borders and a seeded sample."""
    width, wanted = case.gets, max(1, FULL_CHECK_NUMBERS // case.world_size)
    if wanted >= width:
        return torch.arange(width)
    others = torch.randint(width, (wanted,), generator=torch.Generator().manual_seed(width))
    taken: Tensor = torch.cat([torch.tensor(borders(width, case.world_size)), others]).unique()
    return taken


def select(outputs: Outputs, taken: Tensor) -> Outputs:
    """The sampled columns."""
    return tuple(out.index_select(1, taken.to(out.device)) for out in outputs)


def reduced(op: str, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Rows [p, n] taken together in `dtype`, the first with the second and so on, each sum rounded to it -> [n]."""
    if op == "max":
        return rows.amax(0)
    total: Tensor = rows[0].to(dtype)
    for row in rows[1:]:
        total = total + row.to(dtype)
    return total.div(len(rows)) if op == "avg" else total


def reduced_terms(op: str, rows: Tensor) -> Tensor:
    """For each column the root of the sum of squares of what is added up [n], in float64."""
    if op == "max":
        return rows.amax(0).double().abs()
    return rows.double().square().sum(0).sqrt() / (rows.shape[0] if op == "avg" else 1)


def reduction_budget(rows: Callable[[Any, CollectiveInputs, Tensor], Tensor]) -> ErrorBudget[Any, CollectiveInputs]:
    """The check of a reduction: in float64 the oracle; the yardstick rounds each sum of two to the case's dtype.

    rows(case, inputs, taken): what is taken together for the sampled columns of each rank's output, [p, p, taken], a
    summand first.
    """

    def oracle(case: Any, inputs: CollectiveInputs, taken: Tensor) -> Outputs:
        return (reduced(inputs.op, rows(case, inputs, taken).double(), torch.float64),)

    def yardstick(case: Any, inputs: CollectiveInputs, taken: Tensor) -> YardstickOutput:
        given = rows(case, inputs, taken)
        return YardstickOutput((reduced(inputs.op, given, case.torch_dtype),), (reduced_terms(inputs.op, given),))

    def without(change: Callable[[Tensor], Tensor], op: str | None = None) -> Callable[..., Outputs]:
        def outputs(case: Any, inputs: CollectiveInputs, taken: Tensor, expected: Outputs) -> Outputs:
            return (reduced(op or inputs.op, change(rows(case, inputs, taken)).double(), torch.float64),)

        return outputs

    def own_only(case: Any, inputs: CollectiveInputs, taken: Tensor, expected: Outputs) -> Outputs:
        given, out = rows(case, inputs, taken).double(), expected[0].clone()
        for rank in range(1, case.world_size):
            out[rank] = given[rank, rank]
        return (out,)

    return ErrorBudget(
        sample=sampled,
        select=select,
        oracle=oracle,
        yardstick=yardstick,
        probes=(
            Probe("zeros", lambda case: True, zeros),
            Probe("last rank dropped", several, without(lambda given: given[:-1])),
            Probe("a rank twice", several, without(lambda given: torch.cat([given[:-1], given[:1]]))),
            Probe(
                "average forgotten",
                lambda case: several(case) and case.op == "avg",
                without(lambda given: given, "sum"),
            ),
            Probe("right on rank 0 only", several, own_only),
            Probe("columns shifted", several, shifted),
        ),
        dtype=lambda case: case.dtype,
    )


def move_budget(whole: Callable[[Any, Tensor], Tensor]) -> ErrorBudget[Any, CollectiveInputs]:
    """The check of numbers that are moved: to the bit. whole(case, x): the outputs [p, n] of ranks that give x."""

    def moved(case: Any, inputs: CollectiveInputs, taken: Tensor) -> Outputs:
        return select((whole(case, inputs.x),), taken)

    def yardstick(case: Any, inputs: CollectiveInputs, taken: Tensor) -> YardstickOutput:
        out = moved(case, inputs, taken)
        return YardstickOutput(out, tuple(x.double().abs() for x in out))

    def given(change: Callable[[Tensor], Tensor]) -> Callable[..., Outputs]:
        def outputs(case: Any, inputs: CollectiveInputs, taken: Tensor, expected: Outputs) -> Outputs:
            return tuple(x.double() for x in select((whole(case, change(inputs.x)),), taken))

        return outputs

    return ErrorBudget(
        sample=sampled,
        select=select,
        oracle=lambda case, inputs, taken: tuple(x.double() for x in moved(case, inputs, taken)),
        yardstick=yardstick,
        probes=(
            Probe("zeros", lambda case: True, zeros),
            Probe("ranks in the wrong order", several, given(lambda x: x.flip(0))),
            Probe("last rank dropped", several, given(lambda x: torch.cat([x[:-1], torch.zeros_like(x[:1])]))),
            Probe("a rank twice", several, given(lambda x: torch.cat([x[:-1], x[:1]]))),
            Probe("columns shifted", several, shifted),
        ),
        dtype=lambda case: case.dtype,
        exact=True,
    )


def several(case: CollectiveCase) -> bool:
    """Whether a wrong block is wrong in some number, however it is taken together."""
    return case.world_size > 1 and case.block >= FEW


def shifted(case: Any, inputs: Any, taken: Any, expected: Outputs) -> Outputs:
    """The probe of blocks that begin one number too late."""
    return tuple(out.roll(1, 1) for out in expected)
