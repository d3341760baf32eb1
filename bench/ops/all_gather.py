"""Operator `all_gather`: every rank gets what all of them give, in the order of ranks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared import collectives
from attnlab.bench.ops._shared.collective_checks import move_budget
from attnlab.bench.ops._shared.collectives import CollectiveInputs, InBlocks


@dataclass(frozen=True)
class AllGatherCase(InBlocks):
    """One size of a message, dtype and number of ranks; a rank gives a block of a message."""

    kind = "all_gather"

    @property
    def gives(self) -> int:
        return self.block


def whole(case: AllGatherCase, x: Tensor) -> Tensor:
    """[p, n] of x [p, n / p]: the same for each rank."""
    return x.reshape(1, -1).expand(case.world_size, -1)


ALL_GATHER: Operator[AllGatherCase, CollectiveInputs] = Operator(
    name="all_gather",
    summary="what each rank gives, for all of them",
    case_type=AllGatherCase,
    operations=collectives.no_operations,
    check=move_budget(whole),
    **collectives.shared(lambda p: (p - 1) / p),
)
registry.operators.add(ALL_GATHER.name, ALL_GATHER, __name__)
