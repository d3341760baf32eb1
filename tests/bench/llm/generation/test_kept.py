"""What is worked out of launches is kept for those asked for last, and for no others."""

from __future__ import annotations

from dataclasses import replace

from attnlab.bench.llm.generation.kept import kept_of_launches
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome, Series


def measured(*values: float) -> Measurement:
    burst = Burst(0.0, (Series("latency", "ns", "wall", "lower", values),))
    return Measurement("op", "one", {}, "c", Outcome.PASSED, launches=(Launch(0, (burst,)),))


def test_it_is_worked_out_once_for_each_argument_and_anew_for_other_launches() -> None:
    asked: list[str] = []

    @kept_of_launches
    def first(measurement: Measurement, quantity: str) -> float:
        asked.append(quantity)
        return measurement.values(quantity)[0] if measurement.values(quantity) else 0.0

    one, other = measured(1.0), measured(2.0)
    flagged = replace(one, flags=("flag",))
    assert [first(one, "latency"), first(flagged, "latency"), first(one, "setup")] == [1.0, 1.0, 0.0]
    assert asked == ["latency", "setup"]
    assert [first(other, "latency"), first(one, "latency")] == [2.0, 1.0]
