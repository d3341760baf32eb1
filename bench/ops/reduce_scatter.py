"""Operator `reduce_scatter`: every rank gets a block of the sum, average or maximum of what all of them give."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared import collectives
from attnlab.bench.ops._shared.collective_checks import reduction_budget
from attnlab.bench.ops._shared.collectives import CollectiveInputs, InBlocks


@dataclass(frozen=True)
class ReduceScatterCase(InBlocks):
    """One size of a message, dtype, number of ranks and reduction."""

    kind = "reduce_scatter"

    op: str = collectives.op_axis()

    @property
    def gets(self) -> int:
        return self.block


def operations(case: ReduceScatterCase) -> int:
    """FLOP: each number of a rank taken together with that of the one before, and the average of them."""
    return (case.world_size - 1 + (case.op == "avg")) * case.count


def rows(case: ReduceScatterCase, inputs: CollectiveInputs, taken: Tensor) -> Tensor:
    """Of each rank's row the block of each rank."""
    blocks: Tensor = inputs.x.unflatten(1, (case.world_size, case.block))
    return blocks.index_select(2, taken.to(inputs.x.device))


REDUCE_SCATTER: Operator[ReduceScatterCase, CollectiveInputs] = Operator(
    name="reduce_scatter",
    summary="sum, average or maximum over ranks, a block of it for each",
    case_type=ReduceScatterCase,
    operations=operations,
    check=reduction_budget(rows),
    **collectives.shared(lambda p: (p - 1) / p),
)
registry.operators.add(REDUCE_SCATTER.name, REDUCE_SCATTER, __name__)
