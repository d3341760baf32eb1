"""The clock of calls over ranks: the slowest counts, each is kept, and too few cores are told."""

from __future__ import annotations

import os
from typing import Any

import pytest

from attnlab.bench.contract.ranks import RankedOutputs
from attnlab.bench.errors import MeasurementError
from attnlab.bench.measuring.timing import take_burst
from attnlab.bench.ranks.clock import ranks_clocks


class Call:
    """One whose ranks take these times in turn; it is renewed before each."""

    def __init__(self, *times: tuple[float, ...]) -> None:
        self._times, self.outputs, self.renewed = list(times), None, 0
        self.outputs: Any

    def __call__(self) -> None:
        self.outputs = RankedOutputs((), self._times.pop(0))

    def renew(self) -> None:
        self.renewed += 1


def test_a_sample_is_of_the_slowest_rank_and_those_of_each_stand_beside() -> None:
    a, b = Call((3.0, 5.0), (7.0, 2.0)), Call((4.0, 4.0), (1.0, 6.0))
    (clock,) = ranks_clocks("cpu")
    burst = take_burst([clock.start([a, b], 0)], 4)
    assert {series.quantity: series.values for series in burst.series} == {
        "latency": (5.0, 4.0, 7.0, 6.0),
        "latency_rank_0": (3.0, 4.0, 7.0, 1.0),
        "latency_rank_1": (5.0, 4.0, 2.0, 6.0),
    }
    assert {(series.clock, series.unit) for series in burst.series} == {("ranks_wall", "ns")}
    assert (a.renewed, b.renewed) == (2, 2)


@pytest.mark.parametrize(("cores", "told"), [({0, 1, 2}, 0), ({0, 1}, 1)])
def test_ranks_that_have_no_core_each_are_told(cores: set[int], told: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: cores)
    (clock,) = ranks_clocks("cpu")
    timer = clock.start([Call((1.0, 2.0, 3.0))], 0)
    timer.burst(1)
    assert list(timer.notes()) == ["3 ranks share 2 cores: they take turns, and times are of that too"][:told]


def test_what_no_rank_timed_is_refused() -> None:
    (clock,) = ranks_clocks("cpu")

    class Plain(Call):
        def __call__(self) -> None:
            self.outputs = 1

    with pytest.raises(MeasurementError, match="got int of a call over ranks; expected what OfRanks"):
        clock.start([Plain()], 0).burst(1)


def test_what_ranks_tell_and_parts_that_are_timed_alone_stand_beside() -> None:
    class Telling(Call):
        asked = 0

        def __call__(self) -> None:
            self.outputs = RankedOutputs((), (3.0, 5.0), ({"busy": 2.0}, {"busy": 4.0}), self.alone)

        def alone(self, count: int) -> dict[str, tuple[float, ...]]:
            self.asked += 1
            return {"communication": tuple(float(number) for number in range(count))}

    call = Telling()
    (clock,) = ranks_clocks("cpu")
    timer = clock.start([call], 0)
    first, *others = [take_burst([timer], 2) for _ in range(4)]
    assert {series.quantity: series.values for series in first.series} == {
        "latency": (5.0, 5.0),
        "latency_rank_0": (3.0, 3.0),
        "latency_rank_1": (5.0, 5.0),
        "busy_rank_0": (2.0, 2.0),
        "busy_rank_1": (4.0, 4.0),
        "communication": (0.0, 1.0, 2.0),
    }
    assert all("communication" not in {series.quantity for series in other.series} for other in others)
    assert call.asked == 1
