"""Broken implementations through the whole of `measure`: the outcome, its reason, and never a figure of speed."""

from __future__ import annotations

import pytest

from attnlab.bench.machine.clocks.wall import Wall
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.renewal import SHARED
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.ops.attention_backward import ATTENTION_BACKWARD, AttentionBackwardCase
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Outcome

from .attention import ATTENTION_DEFECTS
from .backward import BACKWARD_DEFECTS
from .checking import CPU, implementation_of
from .collection import Collection, Defect
from .gradients import Gradients
from .honest import Online

CASE = "Hq4-Hkv2-Sq70-D16-fp16-causal"
UNLIMITED = Ceilings("none", 1, 1e15, {"float16": 1e18}, None, 0.0)
SETUP = Setup(CPU, (Wall(),), UNLIMITED, Effort(1.0, 0.05, 0.05, min_samples=2))


def named(defects: Collection, *names: str) -> list[Defect]:
    found = {defect.name: defect for defect in defects}
    return [found[name] for name in names]


FORWARD = named(
    ATTENTION_DEFECTS,
    "Zeros",
    "OneKeyAhead",
    "ScaleTwoPercentUp",
    "HeadsModulo",
    "OneRowUnwritten",
    "OtherDtype",
    "HeadsAfterRows",
    "ComputedInPrepare",
    "PreviousResult",
    "CachedByShape",
    "QueriesScaledInPlace",
    "RightEveryOtherCall",
)
BACKWARD = named(BACKWARD_DEFECTS, "DeltaOmitted", "LastOfGroup", "OneKeyAhead", "ComputedInPrepare")


@pytest.mark.parametrize(
    ("operator", "kind", "defect"),
    [
        *((ATTENTION, AttentionCase, defect) for defect in FORWARD),
        *((ATTENTION_BACKWARD, AttentionBackwardCase, defect) for defect in BACKWARD),
    ],
    ids=lambda value: value.name if isinstance(value, Defect) else "",
)
def test_a_broken_implementation_has_its_outcome_and_no_speed(operator, kind, defect) -> None:  # type: ignore[no-untyped-def]
    case = kind.parse(CASE)
    assert defect.applies(case)
    measured = measure(operator, case, defect.implementation, SETUP)
    assert measured.outcome is defect.outcome(case)
    assert measured.reason
    assert measured.median_ns is None
    assert measured.launches == ()
    assert measured.timing is None


@pytest.mark.parametrize(
    ("operator", "kind", "honest"),
    [(ATTENTION, AttentionCase, Online), (ATTENTION_BACKWARD, AttentionBackwardCase, Gradients)],
)
def test_an_honest_one_passes_and_is_timed(operator, kind, honest) -> None:  # type: ignore[no-untyped-def]
    measured = measure(operator, kind.parse(CASE), implementation_of(operator.name, honest), SETUP)
    assert (measured.outcome, measured.reason) == (Outcome.PASSED, None)
    assert measured.median_ns is not None
    assert measured.check is not None
    sets = [one.inputs for one in measured.check.sets]
    checked = ["drawn", "redrawn", *["needles"] * operator.needle_draws]
    assert sets[: len(checked)] == checked
    timed = sets[len(checked) :]
    assert timed in (["timed"] * SHARED, ["timed"] * (SHARED + 1)), "one more where a call was made again"
