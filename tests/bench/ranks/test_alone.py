"""Parts of a call that ranks time alone, what they tell of a call, and objects whose methods are called on all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import distributed as dist

from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.contract.ranks import RankFailed
from attnlab.bench.contract.registry import discover
from attnlab.bench.ranks.crew import Crew
from attnlab.bench.ranks.of_ranks import end_groups

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def ranks() -> Iterator[None]:
    """One group for all tests here, which start it."""
    yield
    end_groups()


@pytest.mark.parametrize(
    ("operator", "name", "case_id", "parts", "told"),
    [
        ("ring_attention", "ring", "Hq2-S64-D16-fp32", {"communication", "computation", "one_rank"}, set()),
        ("tensor_parallel_linear", "all_reduce", "M8-H16-I32-fp32", {"communication", "one_rank"}, set()),
        ("pipeline", "gpipe", "L2-mb2-M4-H16-fp32", {"one_rank"}, {"busy"}),
    ],
)
def test_parts_and_what_is_told(operator: str, name: str, case_id: str, parts: set[str], told: set[str]) -> None:
    contract = discover().operators.get(operator)
    case = contract.case_type.parse(case_id)
    inputs = contract.make_inputs(case, NORMAL_DRAW, 0, CPU)
    made = discover().implementations(operator).get(name)
    state = made.prepare(case, inputs)
    returned = made.run(inputs, state)
    assert [set(one) for one in returned.told] == [told, told]
    assert all(
        0 < one[figure] <= took for one, took in zip(returned.told, returned.times_ns, strict=True) for figure in told
    )
    for _ in range(3):  # many windows, one after another
        times = returned.alone(5)
        assert set(times) == parts
        assert all(len(values) == 5 and min(values) > 0 for values in times.values())
    again = made.run(inputs, state)
    assert all(torch.equal(one, other) for one, other in zip(again.whole, returned.whole, strict=True))


class Counter:
    """Sums what each rank was made with, over ranks, into its place of a tensor that all share."""

    def __init__(self, own: torch.Tensor) -> None:
        self.own = own

    def take(self, room: torch.Tensor) -> None:
        self.room = room

    def total(self, times: int) -> int:
        found = self.own.clone()
        dist.all_reduce(found)
        self.room[dist.get_rank()] = found.sum() * times
        return dist.get_rank()

    def fail(self) -> None:
        if dist.get_rank() == 1:
            raise ValueError("lost count")
        dist.barrier()


def test_a_crew_answers_in_the_order_of_ranks_and_writes_where_all_can_read() -> None:
    crew = Crew(Counter, [(torch.tensor([1.0, 2.0]),), (torch.tensor([3.0, 4.0]),)], "cpu")
    room = crew.room("take", (2,), torch.float32)
    assert crew.ask("total", 2) == [0, 1]
    assert room.tolist() == [20.0, 20.0]
    with pytest.raises(RankFailed, match=r"rank 1 of 2 failed while in fail.*ValueError: lost count"):
        crew.ask("fail")
