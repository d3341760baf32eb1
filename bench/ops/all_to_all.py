"""Operator `all_to_all`: every rank gives each of them a block, and gets one of each."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared import collectives
from attnlab.bench.ops._shared.collective_checks import move_budget
from attnlab.bench.ops._shared.collectives import CollectiveInputs, InBlocks


@dataclass(frozen=True)
class AllToAllCase(InBlocks):
    """One size of a message, dtype and number of ranks."""

    kind = "all_to_all"


def whole(case: AllToAllCase, x: Tensor) -> Tensor:
    """[p, n] of x [p, n]: block s of rank r is block r of rank s."""
    blocks: Tensor = x.unflatten(1, (case.world_size, case.block))
    return blocks.transpose(0, 1).flatten(1)


ALL_TO_ALL: Operator[AllToAllCase, CollectiveInputs] = Operator(
    name="all_to_all",
    summary="a block of each rank for each rank: blocks transposed",
    case_type=AllToAllCase,
    operations=collectives.no_operations,
    check=move_budget(whole),
    **collectives.shared(lambda p: (p - 1) / p),
)
registry.operators.add(ALL_TO_ALL.name, ALL_TO_ALL, __name__)
