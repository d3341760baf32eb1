"""Collectives: ids, costs and oracles by hand, and cases that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, NORMAL_DRAW, Operator
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops._shared.collectives import CollectiveInputs, join, shard
from attnlab.bench.ops.all_gather import ALL_GATHER
from attnlab.bench.ops.all_reduce import ALL_REDUCE
from attnlab.bench.ops.all_to_all import ALL_TO_ALL
from attnlab.bench.ops.reduce_scatter import REDUCE_SCATTER

CPU = torch.device("cpu")
FROZEN: list[tuple[Operator[Any, Any], str, dict[str, object]]] = [
    (ALL_REDUCE, "fp32", {}),
    (ALL_REDUCE, "S4096-bf16-p4-avg", {"message_bytes": 4096, "dtype": "bfloat16", "world_size": 4, "op": "avg"}),
    (REDUCE_SCATTER, "S8192-fp16-max", {"message_bytes": 8192, "dtype": "float16", "op": "max"}),
    (ALL_GATHER, "S24-fp32-p3", {"message_bytes": 24, "world_size": 3}),
    (ALL_TO_ALL, "S64-fp32-p8", {"message_bytes": 64, "world_size": 8}),
]


@pytest.mark.parametrize(("operator", "id", "axes"), FROZEN)
def test_ids_stay_what_they_are(operator: Operator[Any, Any], id: str, axes: dict[str, object]) -> None:
    case = operator.case_type.build(axes)
    assert case.id == id
    assert operator.case_type.parse(id) == case


COSTS: list[tuple[Operator[Any, Any], str, int, int, float]] = [
    # 24 bytes are 6 numbers of float32: bytes given and got by each of 3 ranks, and what its link carries at least
    (ALL_REDUCE, "S24-fp32-p3", 2 * 6, 3 * (24 + 24), 24 * 4 / 3),
    (ALL_REDUCE, "S24-fp32-p3-avg", 3 * 6, 3 * (24 + 24), 24 * 4 / 3),
    (REDUCE_SCATTER, "S24-fp32-p3", 2 * 6, 3 * (24 + 8), 24 * 2 / 3),
    (ALL_GATHER, "S24-fp32-p3", 0, 3 * (8 + 24), 24 * 2 / 3),
    (ALL_TO_ALL, "S24-fp32-p3", 0, 3 * (24 + 24), 24 * 2 / 3),
]


@pytest.mark.parametrize(("operator", "id", "operations", "moved", "carried"), COSTS)
def test_costs(operator: Operator[Any, Any], id: str, operations: int, moved: int, carried: float) -> None:
    case = operator.case_type.parse(id)
    assert (operator.operations(case), operator.bytes_moved(case)) == (operations, moved)
    assert {fact.quantity: fact.value for fact in operator.facts(case, 0, CPU)} == {"message": 24, "bus_bytes": carried}


GIVEN = {  # x [p, n] of two ranks, and what each gets
    ("all_reduce", "S16-fp32"): ([[1, 2, 3, 4], [10, 20, 30, 40]], [[11, 22, 33, 44], [11, 22, 33, 44]]),
    ("all_reduce", "S16-fp32-avg"): ([[1, 2, 3, 4], [3, 4, 5, 6]], [[2, 3, 4, 5], [2, 3, 4, 5]]),
    ("all_reduce", "S16-fp32-max"): ([[1, 5, -3, 4], [3, 4, -5, 6]], [[3, 5, -3, 6], [3, 5, -3, 6]]),
    ("reduce_scatter", "S16-fp32"): ([[1, 2, 3, 4], [10, 20, 30, 40]], [[11, 22], [33, 44]]),
    ("all_gather", "S16-fp32"): ([[1, 2], [3, 4]], [[1, 2, 3, 4], [1, 2, 3, 4]]),
    ("all_to_all", "S16-fp32"): ([[1, 2, 3, 4], [5, 6, 7, 8]], [[1, 2, 5, 6], [3, 4, 7, 8]]),
}
OF_NAME = {operator.name: operator for operator in (ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, ALL_TO_ALL)}


@pytest.mark.parametrize(("name", "id"), GIVEN)
def test_what_is_expected(name: str, id: str) -> None:
    operator, (x, out) = OF_NAME[name], GIVEN[name, id]
    case = operator.case_type.parse(id)
    inputs = CollectiveInputs(torch.tensor(x, dtype=torch.float32), getattr(case, "op", "sum"))
    (expected,) = operator.check.expect(case, inputs).expected
    assert expected.tolist() == out


@pytest.mark.parametrize("name", OF_NAME)
def test_shards_are_views_and_joined_as_they_were(name: str) -> None:
    operator = OF_NAME[name]
    case = operator.case_type.parse("S24-fp32-p3")
    inputs = operator.make_inputs(case, NORMAL_DRAW, 0, CPU)
    shards = [shard(case, inputs, rank) for rank in range(3)]
    assert all(one.x.data_ptr() == inputs.x[rank].data_ptr() for rank, one in enumerate(shards))
    (whole,) = join(case, [(one.x,) for one in shards])
    assert torch.equal(whole, inputs.x)
    assert whole.data_ptr() != inputs.x.data_ptr()


@pytest.mark.parametrize("name", OF_NAME)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_probe_is_told_apart_on_both_draws(name: str, dtype: str) -> None:
    operator = OF_NAME[name]
    for axes in [{}, {"op": "avg"}, {"op": "max"}] if "reduce" in name else [{}]:
        case = operator.case_type.build({"message_bytes": 48 * 4, "dtype": dtype, "world_size": 3, **axes})
        for draw in (NORMAL_DRAW, NEEDLE_DRAW):
            expectation = operator.check.expect(case, operator.make_inputs(case, draw, 1, CPU))
            assert "last rank dropped" in expectation.probes
            assert expectation.blunt == ()


def test_sums_in_the_dtype_pass_on_many_ranks_as_every_hop_rounds_and_a_lost_rank_does_not() -> None:
    """Rings add up in the dtype, in an order of their own."""
    case = ALL_REDUCE.case_type.parse("S8192-bf16-p8")
    inputs = ALL_REDUCE.make_inputs(case, NORMAL_DRAW, 3, CPU)
    expectation = ALL_REDUCE.check.expect(case, inputs)
    total = inputs.x[5]
    for rank in (6, 7, 0, 1, 2, 3, 4):
        total = total + inputs.x[rank]
    assert all(deviation.within for deviation in expectation.judge([total.expand(8, -1)]))
    assert not all(deviation.within for deviation in expectation.judge([(total - inputs.x[2]).expand(8, -1)]))


def test_needles_stand_at_both_sides_of_borders_of_blocks() -> None:
    case = ALL_TO_ALL.case_type.parse("S4096-fp32-p4")
    drawn, needles = (ALL_TO_ALL.make_inputs(case, draw, 0, CPU).x for draw in (NORMAL_DRAW, NEEDLE_DRAW))
    larger = (needles != drawn).all(0).nonzero().flatten().tolist()
    assert {0, 255, 256, 511, 512, 767, 768, 1023} <= set(larger)


@pytest.mark.parametrize("name", ["reduce_scatter", "all_gather", "all_to_all"])
def test_a_world_size_that_does_not_divide_is_refused(name: str) -> None:
    with pytest.raises(
        ImpossibleCase, match=r"6 numbers of float32 give no equal blocks to 4 ranks; expected a multiple"
    ):
        OF_NAME[name].case_type.parse("S24-fp32-p4")


def test_bytes_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(
        ImpossibleCase, match="message_bytes: got 10, not a whole number of float32; expected a multiple"
    ):
        ALL_REDUCE.case_type.parse("S10-fp32")
