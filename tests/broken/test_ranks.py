"""Broken implementations over ranks are rejected on every case that they differ on, and honest ones pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.ops.pipeline.contract import PIPELINE
from attnlab.bench.ops.ring_attention.contract import RING_ATTENTION
from attnlab.bench.ops.tensor_parallel_linear.contract import TENSOR_PARALLEL_LINEAR
from attnlab.bench.ranks.of_ranks import end_groups
from attnlab.impls.pipeline.gpipe import GPipe
from attnlab.impls.pipeline.one_forward_one_back import OneForwardOneBack
from attnlab.impls.ring_attention.all_gather import AllGather
from attnlab.impls.ring_attention.ring import RingInTurn
from attnlab.impls.ring_attention.ring_overlapped import RingOverlapped
from attnlab.impls.tensor_parallel_linear.all_reduce import AllReduce
from attnlab.impls.tensor_parallel_linear.reduce_scatter import ReduceScatter

from . import ringing, shared_layers, staging, summing
from .checking import tally
from .collection import Collection

RINGS, SUMS = (RingInTurn, RingOverlapped, AllGather), (AllReduce, ReduceScatter)
CASES = [
    (RING_ATTENTION, RINGS, ringing.DEFECTS, "Hq4-Hkv2-S64-D16-fp32"),
    (RING_ATTENTION, RINGS, ringing.DEFECTS, "B2-Hq2-S48-D32-bf16-zigzag"),
    (RING_ATTENTION, RINGS, ringing.DEFECTS, "Hq4-Hkv1-S64-D16-fp16-full"),
    (TENSOR_PARALLEL_LINEAR, SUMS, summing.DEFECTS, "M8-H32-I64-fp32-gelu-bias"),
    (TENSOR_PARALLEL_LINEAR, SUMS, summing.DEFECTS, "M16-H32-I96-bf16-bias-forward_backward"),
    (GENERATE, (shared_layers.Sharded,), shared_layers.DEFECTS, "toy-random-P21-N4-fp32-tp2"),
    (GENERATE, (shared_layers.Sharded,), shared_layers.DEFECTS, "toy-random-B2-P21-N4-bf16-tp2"),
    (PIPELINE, (GPipe,), staging.DEFECTS, "L4-mb3-M5-H16-bf16"),
    (PIPELINE, (GPipe, OneForwardOneBack), staging.DEFECTS, "L4-mb3-M5-H16-fp32-forward_backward"),
]


@pytest.fixture(scope="module", autouse=True)
def ranks() -> Iterator[None]:
    """One group for all tests here, which start it."""
    yield
    end_groups()


@pytest.mark.parametrize(("operator", "honest", "defects", "case_id"), CASES, ids=[case[-1] for case in CASES])
def test_ranks(operator: Any, honest: Any, defects: Any, case_id: str, record_property: Any) -> None:
    case = operator.case_type.parse(case_id)
    assert case.id == case_id
    collected = Collection(operator.name)
    for target, applies in defects.items():
        collected.broken(applies)(target)
    counted = tally(operator, case, honest, collected)
    for name, value in (("operator", operator.name), ("honest", counted.honest), ("broken", counted.broken)):
        record_property(name, value)
    record_property("passed", counted.honest - len(counted.alarms))
    record_property("rejected", counted.broken - len(counted.through))
    assert not counted.alarms
    assert not counted.through
