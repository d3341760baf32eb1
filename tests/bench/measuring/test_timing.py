"""Warm-up and sampling by clocks whose every answer is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from attnlab.bench.errors import ClockUnsupported, MeasurementError
from attnlab.bench.machine.clocks.wall import Wall
from attnlab.bench.measuring import stopping
from attnlab.bench.measuring.stopping import KnownWellEnough
from attnlab.bench.measuring.timing import Effort, Sampling, calls_a_burst, time_calls
from attnlab.bench.stats.summary import summarise

FOREVER = Effort(target=1e-9, sampling_limit_s=1e6, warmup_limit_s=1e6)


def named_calls(*names: str) -> tuple[list[Callable[[], object]], list[str]]:
    """Calls that write their names down."""
    made: list[str] = []
    return [lambda name=name: made.append(name) for name in names], made  # type: ignore[misc]


def stopwatch(clock: Any) -> Callable[[], int]:
    """Time that passes only in calls, by what the clock says of them."""
    return lambda: int(clock.elapsed_ns)


def test_calls_rotate_through_the_copies_over_bursts(fake_clock: Any) -> None:
    calls, made = named_calls("a", "b", "c")
    timed = time_calls(calls, (fake_clock((3e6,)),), Effort())
    assert made[:7] == ["a", "b", "c", "a", "b", "c", "a"]
    assert made == list(itertools.islice(itertools.cycle("abc"), len(made)))
    assert timed.record.copies == 3


class Refuses:
    """A clock that cannot time anything."""

    name = "picky"

    def start(self, calls: object, bytes_a_call: int, plan: object = None) -> Any:
        raise ClockUnsupported("the call allocates")


def test_a_clock_that_cannot_time_the_calls_is_replaced_and_said_so(fake_clock: Any) -> None:
    second, third = fake_clock((1e6,), name="second"), fake_clock((1e6,), name="third")
    timed = time_calls([lambda: None], (Refuses(), second, third), Effort(), bytes_a_call=77)
    assert timed.record.clock == "second"
    assert timed.notes == ("no times by clock picky: the call allocates",)
    assert [series.clock for series in timed.bursts[0].series] == ["second", "third"]
    assert (second.bytes_a_call, third.bytes_a_call) == (77, 77)


def test_nothing_is_timed_where_no_clock_can(fake_clock: Any) -> None:
    with pytest.raises(MeasurementError, match="no clock can time this: no times by clock picky: the call allocates"):
        time_calls([lambda: None], (Refuses(),), Effort())


def test_warm_up_ends_when_three_bursts_agree(fake_clock: Any) -> None:
    """Bursts of one call: 100 ms, then slowly faster, then the same."""
    times = [100e6, 90e6, 80e6, 70e6, 60e6, 60.5e6, 61e6]
    clock = fake_clock([*times, *[60e6] * 1000])
    timed = time_calls([lambda: None], (clock,), Effort(warmup_limit_s=1e6))
    assert timed.record.warmup_stable
    assert timed.record.warmup_calls == len(times)
    assert [burst for (burst,) in clock.told[: len(times)]] == times


def test_a_spread_over_three_percent_is_not_stable(fake_clock: Any) -> None:
    clock = fake_clock([60e6, 61.9e6])
    effort = Effort(warmup_limit_s=3.0, sampling_limit_s=1.0)
    timed = time_calls([lambda: None], (clock,), effort, stopwatch(clock))
    assert not timed.record.warmup_stable
    assert 3e9 <= timed.record.warmup_ns < 3.1e9, "it ended at its limit, to within a call"


def test_warm_up_calls_are_no_samples(fake_clock: Any) -> None:
    clock = fake_clock([9e9, *[50e6] * 1000])
    timed = time_calls([lambda: None], (clock,), Effort(warmup_limit_s=1e6), stopwatch(clock))
    assert max(v for b in timed.bursts for v in b.series[0].values) == 50e6
    assert timed.record.samples == sum(len(b.series[0].values) for b in timed.bursts)


def test_sampling_ends_at_its_target(fake_clock: Any) -> None:
    clock = fake_clock([1e6, 1.01e6])
    timed = time_calls([lambda: None], (clock,), Effort(target=0.01), stopwatch(clock))
    assert timed.record.stopped == "target"
    assert timed.summary.relative_half_width <= 0.01
    assert timed.record.samples == 210, "seven bursts, the first to pass 0.2 s"
    assert timed.record.effective == timed.summary.effective == 210


@pytest.mark.parametrize(
    ("least", "samples"),
    [
        ({"least_s": 1e-9, "least_bursts": 1}, 30),
        ({"least_s": 1.0}, 1020),
        ({"least_bursts": 20}, 600),
        ({"min_samples": 400}, 420),
        ({"least_s": 1.0, "sampling_limit_s": 0.5}, 510),
    ],
)
def test_there_is_a_least_time_and_a_least_number_of_bursts(
    fake_clock: Any, least: dict[str, Any], samples: int
) -> None:
    """Equal samples of 1 ms, 30 a burst: nothing else keeps it going; and a limit goes before what is least."""
    clock = fake_clock([1e6])
    timed = time_calls([lambda: None], (clock,), Effort(**least), stopwatch(clock))
    assert timed.record.samples == samples


def test_it_is_looked_at_when_the_samples_have_grown_by_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(stopping, "summarise", lambda x: looks.append(len(x)) or summarise(x))
    rule = KnownWellEnough(Effort(target=1e-9, max_samples=1000, least_s=1e-9, least_bursts=1))
    samples = [float(n * 37 % 101) + 1 for n in range(1000)]
    assert all(rule.reason(samples[:taken], 1, 1.0) is None for taken in range(10, 1000, 10))
    assert looks == [30, 40, 50, 70, 90, 120, 150, 190, 240, 300, 380, 480, 600, 750, 940]
    assert rule.reason(samples, 1, 1.0) == "limit of samples"


def test_a_rule_of_ones_own(fake_clock: Any) -> None:
    """Anything that says why it ends."""

    class AfterTwoBursts:
        def reason(self, samples: Sequence[float], bursts: int, spent_ns: float) -> str | None:
            return "two bursts" if bursts == 2 else None

    sampling = Sampling([lambda: None], (fake_clock([1e6]),), Effort(), rule=AfterTwoBursts())
    while not sampling.done:
        sampling.burst()
    assert (sampling.timed().record.samples, sampling.timed().record.stopped) == (60, "two bursts")


def test_each_burst_says_what_the_host_did_meanwhile() -> None:
    """A thread that computes: its processor time is known, and within what passed."""
    timed = time_calls([lambda: sum(range(20_000))], (Wall(),), Effort(sampling_limit_s=0.1, warmup_limit_s=0.01))
    for burst in timed.bursts:
        assert burst.host is not None
        assert burst.host.elapsed_ns >= sum(burst.series[0].values)
        assert burst.host.cpu_ns > 0
        assert burst.host.involuntary_switches >= 0


def test_sampling_ends_at_its_time_limit(fake_clock: Any) -> None:
    clock = fake_clock([1e6, 2e6])
    effort = Effort(target=1e-9, sampling_limit_s=2.0, warmup_limit_s=0.1)
    timed = time_calls([lambda: None], (clock,), effort, stopwatch(clock))
    assert timed.record.stopped == "time limit"
    sampled = sum(v for b in timed.bursts for v in b.series[0].values)
    assert 2e9 <= sampled < 2e9 + 60e6, "to within a burst"


def test_sampling_ends_at_the_limit_of_samples(fake_clock: Any) -> None:
    clock = fake_clock([100.0, 200.0, 300.0, 400.0])
    effort = Effort(target=1e-9, sampling_limit_s=1e6, max_samples=1000)
    timed = time_calls([lambda: None], (clock,), effort)
    assert timed.record.stopped == "limit of samples"
    assert timed.record.samples == 1000


def test_a_single_long_call_is_one_sample(fake_clock: Any) -> None:
    clock = fake_clock([30e9])
    timed = time_calls([lambda: None], (clock,), Effort(), stopwatch(clock))
    assert (timed.record.samples, timed.record.stopped) == (1, "time limit")
    assert timed.summary.median == 30e9


def test_an_agreement_of_few_samples_is_not_enough(fake_clock: Any) -> None:
    """Calls of 40 ms come one a burst; 29 equal ones are no proof."""
    clock = fake_clock([40e6])
    effort = Effort(sampling_limit_s=1e6)
    assert time_calls([lambda: None], (clock,), effort, stopwatch(clock)).record.samples == 30


@pytest.mark.parametrize(("call_ns", "in_a_burst"), [(1.0, 256), (1e6, 30), (29e6, 1), (5e9, 1)])
def test_bursts_are_of_thirty_milliseconds(fake_clock: Any, call_ns: float, in_a_burst: int) -> None:
    clock = fake_clock([call_ns])
    effort = Effort(warmup_limit_s=1e6, sampling_limit_s=1e6, max_samples=256 * 30, least_s=1e-9)
    timed = time_calls([lambda: None], (clock,), effort, stopwatch(clock))
    assert {len(burst.series[0].values) for burst in timed.bursts} == {in_a_burst}


def test_other_clocks_are_recorded_beside_every_fourth_burst(fake_clock: Any) -> None:
    main, beside = fake_clock([100.0, 200.0, 300.0, 400.0]), fake_clock([7.0], name="beside")
    effort = Effort(target=1e-9, sampling_limit_s=1e6, max_samples=9 * 256)
    timed = time_calls([lambda: None], (main, beside), effort)
    clocks = [[series.clock for series in burst.series] for burst in timed.bursts]
    assert clocks == [["fake", "beside"], ["fake"], ["fake"], ["fake"]] * 2 + [["fake", "beside"]]
    assert timed.record.clock == "fake"
    assert timed.record.samples == 9 * 256, "those beside do not count"
    assert timed.bursts[0].series[1].values == (7.0,) * 256


@pytest.mark.parametrize(
    ("call_ns", "alone", "in_a_pair"),
    [
        (0.0, 256, 2000),
        (1e4, 256, 2000),
        (2e4, 256, 1500),
        (1e6, 30, 30),
        (2e7, 1, 3),
        (9e7, 1, 3),
        (1.2e8, 1, 2),
        (4e8, 1, 1),
    ],
)
def test_slow_calls_make_a_burst_of_a_few(call_ns: float, alone: int, in_a_pair: int) -> None:
    assert calls_a_burst(call_ns) == alone
    assert calls_a_burst(call_ns, most=2000, few=3) == in_a_pair
