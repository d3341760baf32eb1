"""Every broken implementation is rejected on every case that it differs on, and every honest one passes.

With `-p no:xdist` or `tests/broken` on the command line, the last lines say how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from attnlab.bench.ops._shared.caching import DecodeCase
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.ops.attention_backward import ATTENTION_BACKWARD, AttentionBackwardCase
from attnlab.bench.ops.decode_attention.contract import DECODE_ATTENTION
from attnlab.bench.ops.kv_append import KV_APPEND, AppendCase
from attnlab.bench.store.records import Outcome

from .appending import APPEND_DEFECTS
from .appending import HONEST as HONEST_APPENDS
from .attention import ATTENTION_DEFECTS
from .backward import BACKWARD_DEFECTS
from .cases import APPEND_IDS, ATTENTION_IDS, BACKWARD_IDS, DECODE_IDS
from .checking import check, implementation_of, tally
from .collection import Defect
from .decoding import DECODE_DEFECTS
from .decoding import HONEST as HONEST_DECODES
from .gradients import HONEST_GRADIENTS
from .honest import HONEST, Attention, Online

Property = Callable[[str, object], None]
LONG = 4096  # keys from which two honest implementations have to do


def assert_told_apart(
    operator: Any,
    case: Any,
    honest: Iterable[type],
    defects: Iterable[Defect],
    record: Property,
) -> None:
    counted = tally(operator, case, honest, defects)
    record("operator", operator.name)
    record("honest", counted.honest)
    record("passed", counted.honest - len(counted.alarms))
    record("broken", counted.broken)
    record("rejected", counted.broken - len(counted.through))
    assert not counted.alarms
    assert not counted.through


@pytest.mark.parametrize("case_id", ATTENTION_IDS)
def test_attention(case_id: str, record_property: Property) -> None:
    case = AttentionCase.parse(case_id)
    assert case.id == case_id
    honest = HONEST if case.kv_len < LONG else (Attention, Online)
    assert_told_apart(ATTENTION, case, honest, ATTENTION_DEFECTS, record_property)


@pytest.mark.parametrize("case_id", BACKWARD_IDS)
def test_attention_backward(case_id: str, record_property: Property) -> None:
    case = AttentionBackwardCase.parse(case_id)
    assert_told_apart(ATTENTION_BACKWARD, case, HONEST_GRADIENTS, BACKWARD_DEFECTS, record_property)


@pytest.mark.parametrize("case_id", DECODE_IDS)
def test_decode_attention(case_id: str, record_property: Property) -> None:
    case = DecodeCase.parse(case_id)
    assert_told_apart(DECODE_ATTENTION, case, HONEST_DECODES, DECODE_DEFECTS, record_property)


@pytest.mark.parametrize("case_id", APPEND_IDS)
def test_kv_append(case_id: str, record_property: Property) -> None:
    case = AppendCase.parse(case_id)
    assert_told_apart(KV_APPEND, case, HONEST_APPENDS, APPEND_DEFECTS, record_property)


@pytest.mark.parametrize(
    ("defects", "kind", "ids"), [(DECODE_DEFECTS, DecodeCase, DECODE_IDS), (APPEND_DEFECTS, AppendCase, APPEND_IDS)]
)
def test_every_defect_of_a_cache_has_a_case_that_shows_it(defects: Any, kind: Any, ids: list[str]) -> None:
    cases = [kind.parse(case_id) for case_id in ids]
    assert [defect.name for defect in defects if not any(defect.applies(case) for case in cases)] == []


@pytest.mark.parametrize(
    ("defects", "kind", "ids"),
    [
        (ATTENTION_DEFECTS, AttentionCase, ATTENTION_IDS),
        (BACKWARD_DEFECTS, AttentionBackwardCase, BACKWARD_IDS),
    ],
)
def test_every_defect_has_a_case_in_each_dtype_that_shows_it(defects: Any, kind: Any, ids: list[str]) -> None:
    cases = [kind.parse(case_id) for case_id in ids]
    unused = [
        (defect.name, dtype)
        for defect in defects
        for dtype in ("float32", "float16", "bfloat16")
        if not any(defect.applies(case) for case in cases if case.dtype == dtype)
    ]
    only_float32 = {"TensorFloat32", "ComputedInBfloat16"}
    assert {(name, dtype) for name, dtype in unused if name not in only_float32} <= {
        ("HalfSums", "bfloat16"),  # bfloat16 rounds more coarsely than float16 sums
        ("MaximumFromZero", "float32"),
    }


def test_a_sound_implementation_is_taken_for_one() -> None:
    """The guard itself: nothing above would notice a check that rejects whatever it is given."""
    checked = check(ATTENTION, AttentionCase(q_len=20), implementation_of("attention", Attention))
    assert checked.outcome is Outcome.PASSED
    assert [one.inputs for one in checked.record.sets] == ["drawn", "redrawn", *["needles"] * 3]
    assert checked.record.deterministic
    assert checked.record.coverage == 1.0
