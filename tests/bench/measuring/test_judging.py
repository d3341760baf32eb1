"""Questions to a judge that get no answer, and answers of workers that are no times: both fail closed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.bench.contract.contents import Content
from attnlab.bench.measuring.judging.client import Judge
from attnlab.bench.measuring.judging.handing import read, write
from attnlab.bench.measuring.judging.plain import take
from attnlab.bench.measuring.judging.process import Contract, JudgeOrder
from attnlab.bench.measuring.judging.refusals import NotJudged
from attnlab.bench.measuring.judging.verdicts import Findings, Question, Ruling
from attnlab.bench.measuring.observation import Observation
from attnlab.bench.measuring.plausibility import no_times
from attnlab.bench.measuring.settlement import Grounds, settle
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Burst, Deviation, Measurement, Outcome, Series, SetDeviations, TimingRecord

QUESTION = Question("drawn", "drawn", Content(0, 1), 1, ())
CEILINGS = Ceilings("here", 1, 1e12, {}, None, 0.0)
BLANK = Measurement("toy", "mine", {}, "N8", Outcome.UNAVAILABLE)
RECORD = TimingRecord("wall", "warm", 2, 5, 1e6, True, 20, "target")


def bursts(*values: float) -> list[Burst]:
    return [Burst(0.0, (Series("latency", "ns", "wall", "lower", values),))]


def test_a_judge_that_cannot_be_had_is_no_fault_of_the_implementation(tmp_path: Path) -> None:
    def begin() -> Any:
        raise OSError("no process")

    judge, findings = Judge(JudgeOrder("cpu"), begin), Findings()
    with pytest.raises(NotJudged) as caught:
        judge.judge(Contract("toy", "toy_operator"), "N8", QUESTION, tmp_path / "outputs")
    findings.give_up(caught.value)
    settled = settle(replace(BLANK, outcome=Outcome.PASSED), BLANK, Grounds(findings, (), True), CEILINGS)
    assert settled.outcome is Outcome.FAILED
    assert settled.reason == "the check could not be made: the judge's process could not be started"


@pytest.mark.parametrize(
    ("values", "seen", "says"),
    [
        ((0.0, 1e6), None, "a time of 0 ns"),
        ((float("nan"),), None, "a time of nan ns"),
        ((-5.0, 1e6), None, "a time of -5 ns"),
        ((1.0, 1.0), None, "which the clock cannot tell from nothing"),
        ((1e6, 1e6), Observation(1e6), "its process gave times of 2.00 ms in all, taken within 1.00 ms"),
        ((1e6, 1e6), Observation(1e8, 3e6), "took 1.00 ms by its own process, and 3.00 ms a call as seen from outside"),
        ((), None, "its process gave no times"),
    ],
)
def test_what_is_no_time(values: tuple[float, ...], seen: Observation | None, says: str) -> None:
    assert says in (no_times(RECORD, bursts(*values), seen) or "")
    assert no_times(RECORD, bursts(1e6, 1e6), Observation(1e8, 1.2e6)) is None


def test_a_claim_to_have_passed_needs_outputs_that_were_accepted() -> None:
    claim = replace(BLANK, outcome=Outcome.PASSED)
    owed = (("drawn", "drawn", Content(0, 1)),)
    assert "gave no outputs to be judged on drawn inputs" in (
        settle(claim, BLANK, Grounds(Findings(), owed, True), CEILINGS).reason or ""
    )
    findings = Findings()
    wrong = Deviation("relative RMS error", 1.0, 0.1, output="out")
    findings.add(QUESTION, Ruling((SetDeviations("drawn", (wrong,)),)))
    settled = settle(claim, BLANK, Grounds(findings, owed, True), CEILINGS)
    assert settled.outcome is Outcome.WRONG_VALUES
    assert settled.median_ns is None


def test_bytes_come_back_once_and_only_at_their_size(tmp_path: Path) -> None:
    file = tmp_path / "outputs"
    taken = take(torch.arange(6.0).view(2, 3).mT)
    write(file, [(taken,), (taken,)])
    with pytest.raises(ValueError, match="48 bytes were handed over; expected 24"):
        read(file, 1, [24])
    write(file, [(taken,)])
    ((found,),) = read(file, 1, [24])
    assert found.tobytes() == taken.data.tobytes()
    assert not file.exists()
