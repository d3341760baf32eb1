"""Operator `all_reduce`: every rank gets the sum, average or maximum of what all of them give."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import Operator, TensorSpec, columns
from attnlab.bench.contract.ranks import whole_outputs
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared import collectives
from attnlab.bench.ops._shared.collectives import CollectiveCase, CollectiveInputs


@dataclass(frozen=True)
class AllReduceCase(CollectiveCase):
    """One size of a message, dtype, number of ranks and reduction."""

    kind = "all_reduce"

    op: str = collectives.op_axis()


def make_inputs(case: AllReduceCase, draw: str, seed: int, device: torch.device) -> CollectiveInputs:
    """x [p, n]: a whole message of each rank."""
    return collectives.drawn(case, case.count, draw, seed, device)


def outputs(case: AllReduceCase) -> tuple[TensorSpec, ...]:
    return (TensorSpec("out", (case.world_size, case.count), case.torch_dtype),)


def outputs_of_rank(case: AllReduceCase, rank: int) -> tuple[TensorSpec, ...]:
    return (TensorSpec("out", (case.count,), case.torch_dtype),)


def operations(case: AllReduceCase) -> int:
    """FLOP: each number of a rank taken together with that of the one before, and the average of them."""
    return (case.world_size - 1 + (case.op == "avg")) * case.count


def bytes_moved(case: AllReduceCase) -> int:
    """Each rank's message read, and its result written."""
    return 2 * case.world_size * case.message_bytes


def rows(case: AllReduceCase, inputs: CollectiveInputs, taken: Tensor) -> Tensor:
    """The same for each rank."""
    given = inputs.x.index_select(1, taken.to(inputs.x.device))
    return given[:, None].expand(-1, case.world_size, -1)


ALL_REDUCE: Operator[AllReduceCase, CollectiveInputs] = Operator(
    name="all_reduce",
    summary="sum, average or maximum over ranks, for each of them",
    case_type=AllReduceCase,
    inputs_type=CollectiveInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=collectives.reduction_budget(rows, lambda case: case.count),
    length_axis="message_bytes",
    headlines=collectives.HEADLINES,
    facts=collectives.facts_of(lambda p: 2 * (p - 1) / p),
    results=whole_outputs,
    mixed=lambda case, inputs: columns(inputs, "x"),
    ranks=collectives.ranks_of(outputs_of_rank),
)
registry.operators.add(ALL_REDUCE.name, ALL_REDUCE, __name__)
