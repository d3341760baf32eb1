"""Operator `all_reduce`: every rank gets the sum, average or maximum of what all of them give."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared import collectives
from attnlab.bench.ops._shared.collective_checks import reduction_budget
from attnlab.bench.ops._shared.collectives import CollectiveCase, CollectiveInputs


@dataclass(frozen=True)
class AllReduceCase(CollectiveCase):
    """One size of a message, dtype, number of ranks and reduction."""

    kind = "all_reduce"

    op: str = collectives.op_axis()


def operations(case: AllReduceCase) -> int:
    """FLOP: each number of a rank taken together with that of the one before, and the average of them."""
    return (case.world_size - 1 + (case.op == "avg")) * case.count


def rows(case: AllReduceCase, inputs: CollectiveInputs, taken: Tensor) -> Tensor:
    """The same for each rank."""
    given = inputs.x.index_select(1, taken.to(inputs.x.device))
    return given[:, None].expand(-1, case.world_size, -1)


ALL_REDUCE: Operator[AllReduceCase, CollectiveInputs] = Operator(
    name="all_reduce",
    summary="sum, average or maximum over ranks, for each of them",
    case_type=AllReduceCase,
    operations=operations,
    check=reduction_budget(rows),
    **collectives.shared(lambda p: 2 * (p - 1) / p),
)
registry.operators.add(ALL_REDUCE.name, ALL_REDUCE, __name__)
