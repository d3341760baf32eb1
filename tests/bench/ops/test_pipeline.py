"""Operator `pipeline`: ids, shards, schedules, costs by hand, and gradients against automatic differentiation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import gelu

from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops.pipeline.case import PipelineCase, PipelineInputs
from attnlab.bench.ops.pipeline.contract import PIPELINE, join, outputs, rank_outputs, shard
from attnlab.impls.pipeline._schedules import all_then_back, one_forward_one_back

CPU = torch.device("cpu")
FROZEN: dict[str, dict[str, Any]] = {
    "bf16": {},
    "p4-L12-mb16-M32-H512-fp32-forward_backward": {
        "world_size": 4,
        "layers": 12,
        "micro_batches": 16,
        "rows": 32,
        "hidden": 512,
        "dtype": "float32",
        "passes": "forward_backward",
    },
}


def drawn(case: PipelineCase) -> PipelineInputs:
    return PIPELINE.make_inputs(case, NORMAL_DRAW, 0, CPU)


@pytest.mark.parametrize(("id", "axes"), FROZEN.items())
def test_ids_are_frozen(id: str, axes: dict[str, Any]) -> None:
    assert PipelineCase(**axes).id == id
    assert PipelineCase.parse(id) == PipelineCase(**axes)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"world_size": 9}, "got world_size=9 stages of 8 layers; expected at least a layer a stage"),
        ({"world_size": 3}, "got layers=8 with world_size=3; expected a multiple of it"),
    ],
)
def test_impossible_cases(axes: dict[str, Any], said: str) -> None:
    with pytest.raises(ImpossibleCase, match=said):
        PipelineCase(**axes)


def test_the_bubble_of_the_schedule_by_hand() -> None:
    assert PipelineCase(world_size=4, micro_batches=12).ideal_bubble == 3 / 15
    assert PipelineCase(world_size=1).ideal_bubble == 0.0
    (fact,) = PIPELINE.facts(PipelineCase(), 0, CPU)
    assert (fact.quantity, fact.value) == ("ideal_bubble", 1 / 9)


@pytest.mark.parametrize("passes", ["forward", "forward_backward"])
def test_the_oracle_is_what_automatic_differentiation_gives(passes: str) -> None:
    case = PipelineCase(layers=4, micro_batches=3, rows=5, hidden=8, dtype="fp32", passes=passes)
    inputs = drawn(case)
    x, up, down = (t.double().requires_grad_() for t in (inputs.x, inputs.up, inputs.down))
    y = x
    for first, second in zip(up, down, strict=True):
        y = y + gelu(y @ first.mT) @ second.mT
    expectation = PIPELINE.check.expect(case, inputs)
    assert not expectation.blunt
    wanted = [y.detach()]
    if inputs.dout is not None:
        wanted += torch.autograd.grad(y, (x, up, down), inputs.dout.double())
    for got, want in zip(expectation.expected, wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12)


def test_what_stages_hold_and_give() -> None:
    case = PipelineCase(
        layers=6, world_size=3, micro_batches=2, rows=4, hidden=8, dtype="fp32", passes="forward_backward"
    )
    inputs = drawn(case)
    shards = [shard(case, inputs, rank) for rank in range(3)]
    assert [one.x is not None for one in shards] == [True, False, False]
    assert [one.dout is not None for one in shards] == [False, False, True]
    assert torch.equal(torch.cat([one.up for one in shards]), inputs.up)
    specs = [rank_outputs(case, rank) for rank in range(3)]
    assert [[spec.name for spec in some] for some in specs] == [
        ["dx", "dup", "ddown"],
        ["dup", "ddown"],
        ["out", "dup", "ddown"],
    ]
    joined = join(case, [tuple(torch.full(s.shape, float(rank)) for s in some) for rank, some in enumerate(specs)])
    assert [tuple(one.shape) for one in joined] == [spec.shape for spec in outputs(case)]
    assert (float(joined[0].mean()), float(joined[1].mean())) == (2.0, 0.0)
    assert joined[2][:, 0, 0].tolist() == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]


def told(steps: Any) -> str:
    return " ".join(f"{'B' if step.back else 'F'}{step.micro_batch}" for step in steps)


def test_schedules_by_hand() -> None:
    case = PipelineCase(layers=3, world_size=3, micro_batches=4, passes="forward_backward")
    shards = [shard(case, drawn(case), rank) for rank in range(3)]
    assert told(all_then_back(shards[1])) == "F0 F1 F2 F3 B3 B2 B1 B0"
    assert [told(one_forward_one_back(one)) for one in shards] == [
        "F0 F1 F2 B0 F3 B1 B2 B3",
        "F0 F1 B0 F2 B1 F3 B2 B3",
        "F0 B0 F1 B1 F2 B2 F3 B3",
    ]


def test_costs_by_hand() -> None:
    case = PipelineCase.parse("L4-mb3-M5-H16-bf16")
    assert PIPELINE.operations(case) == 2 * 2 * 4 * (3 * 5) * 16 * 64
    assert PIPELINE.bytes_moved(case) == 2 * (2 * 4 * 16 * 64 + 2 * 3 * 5 * 16)
