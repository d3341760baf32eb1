"""Which implementation is named: what fresh processes tell apart, and nothing on a busy machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from attnlab.bench.reporters.model.report import Section
from attnlab.bench.store.records import Burst, HostState, Launch, Measurement, Series, Turn

from .test_findings import of, said


def taken(medians_ns: Sequence[float], waited: float = 0.0) -> tuple[Turn, ...]:
    """A round for each median, in bursts in which its threads waited for a core for that share of the time."""
    host = HostState(1e8, 1e8, 0, waited_ns=waited * 1e8)
    return tuple(
        Turn(number, Launch(number, (Burst(0.0, (Series("latency", "ns", "wall", "lower", (ns,)),), host=host),) * 4))
        for number, ns in enumerate(medians_ns, start=1)
    )


def one_case(synthetic: SimpleNamespace, **turns: tuple[Turn, ...]) -> Section:
    """All with the same fine time and interval in one process: only turns can tell them apart."""
    case = synthetic.cases()[0]
    found = [
        replace(synthetic.timed(name, case, ns=1e6 * (1 + place / 20)), turns=t)
        for place, (name, t) in enumerate(turns.items())
    ]
    return of(synthetic, found)


@pytest.mark.parametrize(
    ("ratios", "told"),
    [
        ([1.05, 1.06, 1.04, 1.05, 1.07, 1.05], True),
        (
            [1.05, 1.06, 1.04, 1.05, 0.99, 1.05],
            False,
        ),  # once the other way: six rounds leave no doubt only if all agree
        ([1.01, 1.01, 1.01, 1.01, 1.01, 1.01], False),  # sure, and less than the least gain
        ([1.05] * 5, False),  # five rounds give no interval
    ],
)
def test_fresh_processes_tell_apart_and_nothing_else(
    synthetic: SimpleNamespace, ratios: list[float], told: bool
) -> None:
    """The intervals within one process are far apart, at 1 and 1.05 ms ± 1 %."""
    rounds = [1e6, 1.2e6, 0.9e6, 1e6, 1.1e6, 1e6][: len(ratios)]
    slower = [ns * ratio for ns, ratio in zip(rounds, ratios, strict=True)]
    (pick,) = one_case(synthetic, a=taken(rounds), b=taken(slower)).picks
    assert pick.told_apart is told
    assert pick.lead == (pytest.approx(1.05) if told else None)


def test_the_best_is_the_best_of_fresh_processes(synthetic: SimpleNamespace) -> None:
    """`a` came out faster in the one process whose time is shown, and slower in every other."""
    section = one_case(synthetic, a=taken([1.1e6] * 6), b=taken([1e6] * 6))
    assert section.picks[0].names == section.picks[0].fastest == ("b",)
    assert "Use b: the fastest in the one case, 1.10× as fast as the next; both are right." in said(section)


def test_without_turns_what_is_near_is_not_told_apart(synthetic: SimpleNamespace) -> None:
    section = one_case(synthetic, a=(), b=())
    assert not section.picks[0].told_apart
    assert "No turns were taken in fresh processes in the one case" in said(section)


def test_a_busy_machine_has_no_winner_however_clear(synthetic: SimpleNamespace) -> None:
    section = one_case(synthetic, a=taken([1e6] * 6, waited=0.5), b=taken([2e6] * 6))
    assert section.picks[0].unclear
    assert section.picks[0].fastest == ()
    text = said(section)
    assert "Which is fastest is not known in the one case, as the machine was busy" in text
    assert "Use " not in text


def test_one_far_behind_may_have_been_held_up(synthetic: SimpleNamespace) -> None:
    """190 times slower without turns, under load: no word of a winner; quiet turns see through the noise."""
    case = synthetic.cases()[0]
    host = HostState(1e8, 1e8, 0, waited_ns=5e7)
    slow = synthetic.timed("slow", case, ns=190e6)
    busy = replace(
        slow,
        turns=(),
        launches=tuple(
            replace(launch, bursts=tuple(replace(burst, host=host) for burst in launch.bursts))
            for launch in slow.launches
        ),
    )
    quick = synthetic.timed("quick", case, ns=1e6)
    assert of(synthetic, [busy, quick]).picks[0].unclear
    assert of(synthetic, [replace(busy, turns=taken([190e6] * 6)), quick]).picks[0].told_apart


def test_turns_within_one_process_take_a_larger_gain(synthetic: SimpleNamespace) -> None:
    """Bursts in turn of one process each, as of operators whose process takes long to start."""
    case = synthetic.cases()[0]
    timing = replace(synthetic.timing(), stopped="number of rounds")

    def member(name: str, ns: float, ahead_s: float) -> Measurement:
        bursts = [Burst(10.0 * n + ahead_s, (Series("latency", "ns", "wall", "lower", (ns,)),)) for n in range(6)]
        made: Measurement = synthetic.timed(name, case, ns=ns, timing=timing, ci_low_ns=None, ci_high_ns=None)
        return replace(made, launches=(Launch(1, tuple(bursts)),), turns=())

    def told_apart(ns: float) -> bool:
        (pick,) = of(synthetic, [member("a", 1e6, 0.0), member("b", ns, 1.0)]).picks
        return pick.told_apart

    assert told_apart(1.06e6)
    assert not told_apart(1.04e6)
