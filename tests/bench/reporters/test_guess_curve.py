"""Curves of synthetic guesses in a report: where guesses begin to gain, and how a measured method lies on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.llm.generation.events import CallLog, Pass, RequestLog, series_of
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.reporters.model.report import Section, build_report
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.words import plain
from attnlab.bench.store.records import BenchRecord, Burst, Launch, Measurement, Outcome, Series

from . import synthetic

MS = 1e6
NEW = 13  # one from the prompt, and twelve that come by ones, twos or threes
FIRST, PLAIN, VERIFY = 40.0, 10.0, 15.0  # ms of the prompt's pass, a plain one and one that judges two guesses
CASE = "toy-random-P32-N13-{}fp32"


def measurement(decoding: str, accepted: int | None, draft: float = 0.0, verify: float = VERIFY) -> Measurement:
    """Two guesses in each pass, of which as many are right each time; plain decoding where that is None."""
    case = GenerateCase.parse(CASE.format(decoding))
    stride = 1 if accepted is None else accepted + 1
    step = PLAIN if accepted is None else verify + 2 * draft
    ends = range(1, NEW + 1, stride)
    times = tuple((FIRST + step * n) * MS for n in range(len(ends)))
    passes = [Pass("prefill", FIRST * MS, 1e6, 32)]
    for _ in ends[1:]:
        passes += [Pass("draft", draft * MS, 0.0, 1)] * (2 if draft else 0)
        judged: Any = ((), ()) if accepted is None else ((2,), (accepted,))
        passes.append(Pass("decode" if accepted is None else "verify", (step - 2 * draft) * MS, 1e6, stride, *judged))
    log = CallLog((RequestLog(0.0, 32, times, tuple(ends)),), tuple(passes), {})
    bursts = []
    for number in range(6):
        whole = Series("latency", "ns", "wall", "lower", (times[-1],))
        bursts.append(Burst(1.7e9 + 60 * number, (whole, *series_of(log))))
    return Measurement(
        operator="generate",
        implementation="mine",
        case=case.values(),
        case_id=case.id,
        outcome=Outcome.PASSED,
        operations=GENERATE.operations(case),
        bytes_moved=GENERATE.bytes_moved(case),
        timing=synthetic.timing(),
        launches=(Launch(1, tuple(bursts)),),
        median_ns=times[-1],
        ci_low_ns=times[-1],
        ci_high_ns=times[-1],
    )


def section_of(found: Sequence[Measurement]) -> Section:
    discover()
    bench = BenchRecord("generate", ("mine",), "mine", tuple(m.case_id for m in found), rounds=6)
    made: Any = synthetic.stored_run(benches=(bench,))
    (section,) = build_report([replace(made, measurements=tuple(found), damages=())]).sections
    return section


CURVE = (
    measurement("", None),
    measurement("synthetic.2.a0-", 0),
    measurement("synthetic.2.a0.6-", 1),
    measurement("synthetic.2.a1-", 2),
)


def said_of(*others: Measurement) -> list[str]:
    (study,) = section_of((*CURVE, *others)).studies
    assert isinstance(study, Study)
    return [plain(sentence) for sentence in study.sentences]


def test_where_guesses_begin_to_gain() -> None:
    """A pass of 15 ms against 10 ms for each token: even at one token and a half a pass, a quarter of two guesses."""
    (told,) = (s for s in said_of() if s.startswith("Synthetic"))
    assert "Synthetic guesses, 2 a pass at 0 of a plain pass each, by mine" in told
    assert told.endswith("gain from 25.0 % accepted on.")


def test_nothing_of_a_drafter_is_said_of_a_point_of_a_curve() -> None:
    said = said_of()
    assert not any("had" in s and "of its guesses accepted" in s for s in said)
    assert not any("synthetic.2" in s and "first token after" in s for s in said)


def test_a_case_with_synthetic_guesses_has_no_fastest() -> None:
    section = section_of(CURVE)
    assert [pick.case.case_id for pick in section.picks] == [CURVE[0].case_id]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (measurement("prompt_lookup.2-", 1), "lies on the curve"),
        (measurement("draft_model.2-", 1, draft=4.0), "below the curve"),
        (measurement("draft_model.2-", 1, draft=4.0), "a guess costs 0.400 of a plain pass, on the curve 0."),
        (measurement("prompt_lookup.2-", 1, verify=25.0), "its verify pass took 25.0 ms, on the curve 15.0 ms"),
    ],
)
def test_how_a_method_lies(other: Measurement, said: str) -> None:
    (told,) = (s for s in said_of(other) if " the curve" in s and not s.startswith("Synthetic"))
    assert said in told


def test_the_picture_joins_what_differs_in_chances_alone() -> None:
    (study,) = section_of((*CURVE, measurement("synthetic.2.a1.c0.2-", 2, draft=2.0))).studies
    (panel,) = next(plot for plot in study.plots if plot.name == "speculation").panels
    assert panel.kind == "curve"
    assert [[round(p.x, 2) for p in curve.points] for curve in panel.curves] == [[0.0, 0.5, 1.0], [1.0]]
    even = [p.y for p in panel.curves[0].points]
    assert even == pytest.approx([160 / 220, 160 / 130, 160 / 100])
