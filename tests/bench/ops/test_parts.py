"""The parts of a decoder as operators: ids, costs by hand, draws, and cases that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.operator_spec import Operator, tensors
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops._shared.rowwise import edges, sample_rows
from attnlab.bench.ops.embedding import EMBEDDING, EmbeddingCase
from attnlab.bench.ops.gelu import GELU, GeluCase
from attnlab.bench.ops.layernorm import LAYERNORM, LayerNormCase
from attnlab.bench.ops.linear.case import LinearCase
from attnlab.bench.ops.linear.contract import LINEAR
from attnlab.bench.ops.linear.reference import sample
from attnlab.bench.ops.rmsnorm import RMSNORM, RmsNormCase
from attnlab.bench.ops.rope import ROPE, RopeCase
from attnlab.bench.ops.swiglu import SWIGLU, SwigluCase

CPU = torch.device("cpu")

FROZEN: list[tuple[type[Case], str, dict[str, object]]] = [
    (RmsNormCase, "bf16", {}),
    (RmsNormCase, "M3-N576-fp32-outliers", {"rows": 3, "width": 576, "dtype": "float32", "inputs": "outliers"}),
    (LayerNormCase, "M3-N768-fp16", {"rows": 3, "width": 768, "dtype": "float16"}),
    (SwigluCase, "M3-N1536-bf16", {"rows": 3, "width": 1536}),
    (GeluCase, "M3-N1536-bf16-outliers-tanh", {"rows": 3, "width": 1536, "approximate": "tanh", "inputs": "outliers"}),
    (EmbeddingCase, "M9-N576-V49152-fp32", {"rows": 9, "width": 576, "vocabulary": 49152, "dtype": "float32"}),
    (
        RopeCase,
        "B2-Hq9-Hkv3-Sq5-D64-P4096-fp32-interleaved",
        {
            "batch": 2,
            "q_heads": 9,
            "kv_heads": 3,
            "q_len": 5,
            "head_dim": 64,
            "positions": 4096,
            "dtype": "float32",
            "style": "interleaved",
        },
    ),
    (LinearCase, "bf16", {}),
    (
        LinearCase,
        "M256-N960-K576-bf16-bias-outliers",
        {"m": 256, "n": 960, "k": 576, "bias": True, "inputs": "outliers"},
    ),
]


@pytest.mark.parametrize(("kind", "id", "axes"), FROZEN)
def test_ids_stay_what_they_are(kind: type[Case], id: str, axes: dict[str, object]) -> None:
    case = kind.build(axes)
    assert case.id == id
    assert kind.parse(id) == case


COSTS: list[tuple[Operator[Any, Any], str, int, int]] = [
    # rows of 10 halves: 2 · 3 · 10 numbers, 10 of the weight
    (RMSNORM, "M3-N10-bf16", 4 * 30, 2 * (30 + 30 + 10)),
    (LAYERNORM, "M3-N10-fp32", 7 * 30, 4 * (30 + 30 + 20)),
    (SWIGLU, "M3-N10-bf16", 4 * 30, 2 * (60 + 30)),
    (GELU, "M3-N10-fp32", 5 * 30, 4 * 60),
    (GELU, "M3-N10-fp32-tanh", 9 * 30, 4 * 60),
    (EMBEDDING, "M3-N10-V7-bf16", 0, 8 * 3 + 2 * (30 + 30)),
    # 9 ids of 7 rows: each is read, once
    (EMBEDDING, "M9-N10-V7-bf16", 0, 8 * 9 + 2 * (70 + 90)),
    # 2 sequences of 3 tokens, 4 + 2 heads of 8; 6 of 100 positions, 4 cosines and 4 sines each
    (ROPE, "B2-Hq4-Hkv2-Sq3-D8-P100-bf16", 3 * 288, 2 * 2 * 288 + 8 * 6 + 4 * 6 * 8),
    (ROPE, "B2-Hq4-Hkv2-Sq3-D8-P5-bf16-sinusoidal", 288, 2 * 2 * 288 + 8 * 6 + 4 * 5 * 8),
    (LINEAR, "M3-N5-K7-bf16", 2 * 3 * 5 * 7, 2 * (21 + 35 + 15)),
    (LINEAR, "M3-N5-K7-fp32-bias", 2 * 3 * 5 * 7 + 15, 4 * (21 + 35 + 15 + 5)),
]


@pytest.mark.parametrize(("operator", "id", "operations", "bytes_moved"), COSTS)
def test_costs_by_hand(operator: Operator[Any, Any], id: str, operations: int, bytes_moved: int) -> None:
    case = operator.case_type.parse(id)
    assert (operator.operations(case), operator.bytes_moved(case)) == (operations, bytes_moved)


@pytest.mark.parametrize(
    ("kind", "axes", "said"),
    [
        (RopeCase, {"head_dim": 5}, "an even one"),
        (RopeCase, {"style": "neox"}, "expected one of half, interleaved, sinusoidal"),
        (GeluCase, {"approximate": "erf"}, "expected one of none, tanh"),
        (RmsNormCase, {"inputs": "zeros"}, "expected one of normal, outliers"),
        (LinearCase, {"bias": "maybe"}, "expected bias or none"),
    ],
)
def test_cases_that_cannot_be(kind: type[Case], axes: dict[str, object], said: str) -> None:
    with pytest.raises(ImpossibleCase, match=said):
        kind.build(axes)


PARTS: list[tuple[Operator[Any, Any], str]] = [
    (RMSNORM, "M8-N33-fp32"),
    (LAYERNORM, "M8-N33-fp32"),
    (SWIGLU, "M8-N33-fp32"),
    (GELU, "M8-N33-fp32"),
    (EMBEDDING, "M8-N33-V20-fp32"),
    (ROPE, "B2-Hq4-Hkv2-Sq3-D16-P40-fp32"),
    (LINEAR, "M3-N33-K70-fp32-bias"),
]


@pytest.mark.parametrize(("operator", "id"), PARTS)
def test_a_seed_changes_dynamic_inputs_alone(operator: Operator[Any, Any], id: str) -> None:
    """An expectation is kept by seed, and must hold for whichever weights are there."""
    case = operator.case_type.parse(id)
    first, again, other = (tensors(operator.make_inputs(case, "drawn", seed, CPU)) for seed in (0, 0, 1))
    dynamic = set(tensors(operator.make_inputs(case, "drawn", 0, CPU), "dynamic"))
    assert dynamic
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name]), name
        assert torch.equal(tensor, other[name]) == (name not in dynamic), name


@pytest.mark.parametrize(("operator", "id"), PARTS)
def test_needles_make_every_probe_plain(operator: Operator[Any, Any], id: str) -> None:
    """In half precision, too, no probe is accepted on all sets of needles together."""
    for dtype in ("fp32", "bf16"):
        case = operator.case_type.parse(id.replace("fp32", dtype))
        found = [
            operator.check.expect(case, operator.make_inputs(case, "needles", seed, CPU))
            for seed in range(operator.needle_draws)
        ]
        assert found[0].probes
        assert not set.intersection(*(set(one.blunt) for one in found))


@pytest.mark.parametrize("operator", [RMSNORM, LAYERNORM])
def test_each_row_meets_each_kind_of_needle(operator: Operator[Any, Any]) -> None:
    """One row of one draw has the last column dominate, one is tiny, one is zeros."""
    case = operator.case_type.parse("M1-N100-bf16")
    rows = [operator.make_inputs(case, "needles", seed, CPU).x[0].double() for seed in range(operator.needle_draws)]
    shares = [float(row[-1].square() / row.square().sum()) for row in rows if row.any()]
    assert max(shares) > 0.8
    assert sum(not row.any() for row in rows) == 1
    assert sum(0 < float(row.square().mean()) < 1e-4 for row in rows) == 1


def test_positions_are_all_different_until_they_run_out() -> None:
    for id, distinct in (("B2-Hq1-Sq10-D2-P100-fp32", 20), ("B3-Hq1-Sq10-D2-P7-fp32", 7)):
        case = RopeCase.parse(id)
        assert case.distinct == distinct
        assert len(ROPE.make_inputs(case, "drawn", 3, CPU).positions.unique()) == distinct
    edges = ROPE.make_inputs(RopeCase.parse("Hq1-Sq4-D2-P100-fp32"), "needles", 0, CPU).positions
    assert sorted(edges.flatten().tolist()) == [0, 1, 99, 99]


def test_heads_are_views_of_one_projection() -> None:
    inputs = ROPE.make_inputs(RopeCase.parse("B2-Hq4-Hkv2-Sq3-D8-P9-bf16"), "drawn", 0, CPU)
    assert inputs.q.stride() == inputs.k.stride() == (3 * 8 * 8, 8 * 8, 8, 1)


def test_large_outputs_are_sampled_with_their_edges() -> None:
    assert sample_rows(100, 1000).tolist() == list(range(100))
    rows = sample_rows(100_000, 1 << 20).tolist()
    assert len(rows) == 64
    assert set(edges(100_000)) <= set(rows)
    taken = sample(LinearCase(m=4096, n=14336, k=4096))
    assert {0, 4095} <= set(taken.rows.tolist())
    assert {0, 14335, 14334 // 4096 * 4096} <= set(taken.columns.tolist())
    assert len(taken.rows) * len(taken.columns) * 4096 * 2 < 4e9


def test_weights_are_drawn_by_no_seed_of_rows() -> None:
    """A generator that looks at 32 bits of a seed would give the weights the numbers of the rows of seed 0."""
    case = LinearCase(m=8, n=8, k=256, dtype="float32")
    for seed in range(3):
        inputs = LINEAR.make_inputs(case, "drawn", seed, CPU)
        together = torch.corrcoef(torch.stack([inputs.x.flatten(), inputs.weight.flatten()]))
        assert together[0, 1].abs() < 0.1
