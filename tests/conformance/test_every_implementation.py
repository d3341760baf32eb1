"""Every registered implementation is right on every case, or says why it cannot serve: nothing else."""

from __future__ import annotations

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.store.records import Outcome

from . import cases

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def pairs():
    """Each implementation with each case that it is held to."""
    for operator, case_set in cases.OF_OPERATOR.items():
        for implementation in discover().implementations(operator):
            for case_id in case_set.compiled if implementation.compiled else case_set.all:
                name = f"{operator}-{implementation.name}-{case_id}"
                yield pytest.param(operator, implementation.name, case_id, id=name)


@pytest.mark.parametrize("kind", DEVICES)
@pytest.mark.parametrize(("operator", "name", "case_id"), list(pairs()))
def test_conforms(operator, name, case_id, kind, conform):
    case = discover().operators.get(operator).case_type.parse(case_id)
    outcome, reason = conform(operator, name, case, kind)
    assert outcome in (Outcome.PASSED, Outcome.UNAVAILABLE), reason
    assert (outcome is Outcome.PASSED) == (reason is None)


MUST_SERVE_ALL = ["naive", "tiled", "sdpa_math"]


@pytest.mark.parametrize("name", MUST_SERVE_ALL)
def test_what_may_not_hide_behind_a_reason(name, conform):
    """An implementation in plain torch that called itself unavailable would pass the test above."""
    for case_id in cases.ATTENTION[:3]:
        case = discover().operators.get("attention").case_type.parse(case_id)
        assert conform("attention", name, case, "cpu") == (Outcome.PASSED, None)


@pytest.mark.parametrize(
    ("operator", "name", "case_ids"),
    [
        ("decode_attention", "naive", cases.DECODE),
        ("kv_append", "eager", cases.APPEND),
        ("sampling", "naive", cases.SAMPLING[1:3]),
        ("sampling", "candidates", cases.SAMPLING[1:3]),
        ("decode_attention", "sdpa", (cases.DECODE[0], cases.DECODE[2], cases.DECODE[8])),
        ("decode_attention", "sdpa_rows", (cases.DECODE[0], cases.DECODE[2], cases.DECODE[8])),
        ("decode_attention", "native", (cases.DECODE[0], cases.DECODE[2])),
        *((operator, "native", cases.OF_OPERATOR[operator].all[:2]) for operator in ("rmsnorm", "rope", "swiglu")),
        ("linear", "dequantised", cases.LINEAR_FORMATS),
        ("linear", "int8pack", cases.LINEAR_FORMATS[:1]),
        ("linear", "int_mm", cases.LINEAR_FORMATS[1:2]),
        ("linear", "scaled_mm", cases.LINEAR_FORMATS[2:4]),
        ("linear", "int4pack_cpu", cases.LINEAR_FORMATS[4:6]),
        *((operator, "naive", cases.OF_OPERATOR[operator].all[:2]) for operator in cases.PARTS),
    ],
)
def test_what_serves_every_layout(operator, name, case_ids, conform):
    for case_id in case_ids:
        case = discover().operators.get(operator).case_type.parse(case_id)
        assert conform(operator, name, case, "cpu") == (Outcome.PASSED, None), case_id
