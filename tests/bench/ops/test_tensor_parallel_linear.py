"""Operator `tensor_parallel_linear`: ids, shards, costs by hand, and gradients against automatic differentiation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, NORMAL_DRAW
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops.tensor_parallel_linear.case import TensorParallelCase, TensorParallelInputs
from attnlab.bench.ops.tensor_parallel_linear.contract import TENSOR_PARALLEL_LINEAR as OPERATOR
from attnlab.bench.ops.tensor_parallel_linear.contract import join, outputs, rank_outputs, shard

CPU = torch.device("cpu")
FROZEN: dict[str, dict[str, Any]] = {
    "bf16": {},
    "p4-M7-H64-I128-fp32-gelu-bias-forward_backward": {
        "world_size": 4,
        "rows": 7,
        "hidden": 64,
        "intermediate": 128,
        "dtype": "float32",
        "activation": "gelu",
        "bias": "bias",
        "passes": "forward_backward",
    },
}
IDS = ["M5-H8-I12-fp32", "p3-M5-H8-I12-fp32-gelu-bias-forward_backward", "p4-M6-H8-I16-bf16-bias-forward_backward"]


def drawn(case: TensorParallelCase, draw: str = NORMAL_DRAW, seed: int = 0) -> TensorParallelInputs:
    return OPERATOR.make_inputs(case, draw, seed, CPU)


@pytest.mark.parametrize(("id", "axes"), FROZEN.items())
def test_ids_are_frozen(id: str, axes: dict[str, Any]) -> None:
    assert TensorParallelCase(**axes).id == id
    assert TensorParallelCase.parse(id) == TensorParallelCase(**axes)


def test_columns_that_ranks_cannot_share() -> None:
    with pytest.raises(ImpossibleCase, match="got intermediate=100 with world_size=3; expected a multiple of it"):
        TensorParallelCase(world_size=3, intermediate=100)


@pytest.mark.parametrize("case_id", IDS)
def test_the_oracle_is_what_automatic_differentiation_gives(case_id: str) -> None:
    case = TensorParallelCase.parse(case_id)
    inputs = drawn(case)
    x, up, down = (t.double().requires_grad_() for t in (inputs.x, inputs.up, inputs.down))
    before = [functional.linear(x, w) for w in up]
    if inputs.up_bias is not None:
        before = [b + more.double() for b, more in zip(before, inputs.up_bias, strict=True)]
    after = functional.gelu(before[0]) if case.activation == "gelu" else functional.silu(before[0]) * before[1]
    out = functional.linear(after, down, None if inputs.down_bias is None else inputs.down_bias.double())
    expected = OPERATOR.check.expect(case, inputs).expected
    for of_rank in expected[0]:
        torch.testing.assert_close(of_rank, out.detach(), rtol=1e-12, atol=1e-13)
    if inputs.dout is not None:
        dx, dup, ddown = torch.autograd.grad(out, (x, up, down), inputs.dout.double())
        for of_rank in expected[1]:
            torch.testing.assert_close(of_rank, dx, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(expected[2], dup, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(expected[3], ddown, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("case_id", IDS)
def test_every_wrong_result_that_is_tried_shows(case_id: str) -> None:
    case = TensorParallelCase.parse(case_id)
    for draw, seed in ((NORMAL_DRAW, 0), (NEEDLE_DRAW, 0), (NEEDLE_DRAW, 1)):
        expectation = OPERATOR.check.expect(case, drawn(case, draw, seed))
        assert not expectation.blunt
        assert {"ranks not summed", "a rank's part twice"} <= set(expectation.probes)
        assert ("bias on every rank" in expectation.probes) == case.has_bias
        assert ("gradient not summed" in expectation.probes) == case.goes_back


def test_parts_of_ranks_add_up_and_gradients_of_weights_are_joined() -> None:
    case = TensorParallelCase.parse("p3-M5-H8-I12-fp32-forward_backward")
    inputs = drawn(case)
    shards = [shard(case, inputs, rank) for rank in range(3)]
    assert torch.equal(torch.cat([one.up for one in shards], 1), inputs.up)
    assert torch.equal(torch.cat([one.down for one in shards], 1), inputs.down)
    specs = [rank_outputs(case, rank) for rank in range(3)]
    joined = join(case, [tuple(torch.full(s.shape, float(rank)) for s in some) for rank, some in enumerate(specs)])
    assert [tuple(one.shape) for one in joined] == [spec.shape for spec in outputs(case)]
    assert joined[2][0, :, 0].tolist() == [0.0] * 4 + [1.0] * 4 + [2.0] * 4


def test_costs_by_hand() -> None:
    case = TensorParallelCase.parse("M3-H4-I8-bf16-bias")
    assert OPERATOR.operations(case) == 2 * 3 * 4 * 8 * 3
    assert OPERATOR.bytes_moved(case) == 2 * (3 * 4 * 8 + 2 * 8 + 2 * 4 + 2 * 2 * 3 * 4)
    both = TensorParallelCase.parse("M3-H4-I8-bf16-gelu-forward_backward")
    assert OPERATOR.operations(both) == 3 * 2 * 3 * 4 * 8 * 2
    assert OPERATOR.bytes_moved(both) == 2 * 2 * (2 * 4 * 8 + 2 * 2 * 3 * 4)
