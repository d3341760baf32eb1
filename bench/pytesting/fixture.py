"""The fixture `attnlab_bench`: times any callable in this process, by attnlab's clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest

from attnlab.bench.contract.metric import Row
from attnlab.bench.contract.unfinished import unfinished_function, unfinished_result
from attnlab.bench.errors import AttnlabError
from attnlab.bench.pytesting import marker
from attnlab.bench.pytesting.notes import FLAG, PROFILED, UNTIMED, note
from attnlab.bench.pytesting.options import command_line
from attnlab.bench.pytesting.replay import PASSED, REPLAY, BenchmarkFixture, hand_over, leave_out, why_untimed
from attnlab.bench.pytesting.timed_call import TimedCall

if TYPE_CHECKING:
    from attnlab.bench.contract.metric import Row
    from attnlab.bench.pytesting.profiles import TestProfile
    from attnlab.bench.store.records import RunRecord

Taker = Callable[[pytest.Item, Callable[[], Any], Mapping[str, Any], object], Any]
"""Given a test, its call, the marker's arguments and those of the call, gives what the first call returned."""
RUNS = pytest.StashKey[dict[tuple[str, bool], "RunRecord"]]()
TAKER = pytest.StashKey["Taker"]()  # of a session in which others than the fixture time the calls


class AttnlabBench:
    """Call it with a function and its arguments: it is timed until its median is known, and its result returned.

    Rates and the share of the speed of light follow from the marker's `bytes` and `operations`, or from
    `set`, where they depend on what the test makes. One call a test. pytest-benchmark gets the times
    after the test has passed: there are none of a wrong result.
    """

    def __init__(self, item: pytest.Item, benchmark: BenchmarkFixture | None) -> None:
        self._item, self._benchmark = item, benchmark
        self._given: dict[str, Any] = {}
        self._used = False
        self._row: Row | None = None
        self._profile: TestProfile | None = None

    def set(self, **given: Any) -> Self:
        """Give arguments of the marker here; a wrong one fails the test."""
        with failing():
            marker.check(given)
        self._given |= given
        return self

    def __call__(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Time `function(*arguments, **keywords)` and return what its first call returned."""
        if self._used:
            pytest.fail("attnlab_bench was called twice; a test has one benchmark: write one for each", pytrace=False)
        self._used = True
        _refuse(unfinished_function(function))

        def call() -> Any:
            return function(*arguments, **keywords)

        taker = self._item.config.stash.get(TAKER, None)
        if taker is not None:
            with failing():
                return taker(self._item, call, self._given, (arguments, keywords))
        if self._item.config.option.attnlab_profile is not None:
            return self._profiled(call, (arguments, keywords))
        untimed = why_untimed(self._item.config, self._benchmark)
        if untimed is not None:
            note(self._item, UNTIMED, untimed)
            if self._benchmark is None:
                return done(call())
            return self._benchmark.pedantic(function, arguments, keywords)
        result = done(call())
        with failing():
            self._row = self._measured(call, (arguments, keywords, result))
        if self._row.measurement.timing is None:  # faster than light
            pytest.fail(self._row.measurement.reason or "", pytrace=False)
        return result

    def conclude(self) -> None:
        """After the test: hand its times over where it passed."""
        if self._profile is not None:
            note(self._item, PROFILED, self._profile.conclude(self._item.stash.get(PASSED, False)))
        if TAKER in self._item.config.stash or self._profile is not None:
            leave_out(self._item, self._benchmark)
            return
        if self._benchmark is None or not self._used or why_untimed(self._item.config, self._benchmark):
            return
        if self._row is None or self._row.measurement.timing is None or not self._item.stash.get(PASSED, False):
            leave_out(self._item, self._benchmark)
            return
        from attnlab.bench.pytesting.figures import extra_info

        m = self._row.measurement
        clock = self._row.measurement.timing.clock
        self._benchmark.extra_info.update(extra_info(self._row))
        hand_over(self._benchmark, self._item.stash[REPLAY], m.values("latency", clock), clock)

    def _profiled(self, call: Callable[[], Any], touched: object) -> Any:
        from attnlab.bench.pytesting.profiles import TestProfile

        result = done(call())
        timed_call = TimedCall.of(call, self._given, (touched, result))
        with failing():
            run = _run(
                self._item.config, timed_call.device, bool(timed_call.given.bytes or timed_call.given.operations)
            )
            self._profile = TestProfile.take(self._item, timed_call, run)
        return result

    def _measured(self, call: Callable[[], Any], touched: object) -> Row:
        from attnlab.bench.analysis.metrics import with_remarks
        from attnlab.bench.measuring.settlement import with_times
        from attnlab.bench.measuring.timing import time_calls

        timed_call = TimedCall.of(call, self._given, touched)
        given = timed_call.given
        run = _run(self._item.config, timed_call.device, bool(given.bytes or given.operations))
        timed = time_calls([call], timed_call.clocks, timed_call.effort, bytes_a_call=given.bytes or 0)
        row = with_remarks(Row(run, with_times(timed_call.measurement(self._item.name), timed, run.ceilings)))
        for flag in row.measurement.flags:
            note(self._item, FLAG, flag)
        return row


def done(result: Any) -> Any:
    """What a call returned; the test fails where that stands for work that is yet to be done."""
    _refuse(unfinished_result(result))
    return result


def _refuse(unfinished: str | None) -> None:
    if unfinished is not None:
        pytest.fail(f"attnlab_bench got a function that {unfinished}", pytrace=False)


@contextmanager
def failing() -> Iterator[None]:
    """What the user has to mend fails the test in one line."""
    try:
        yield
    except AttnlabError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def make(request: pytest.FixtureRequest, benchmark: BenchmarkFixture | None) -> Iterator[AttnlabBench]:
    """The fixture's life."""
    made = AttnlabBench(request.node, benchmark)
    try:
        with failing():
            made.set(**marker.read(request.node.iter_markers("attnlab")))
    except pytest.fail.Exception:
        leave_out(request.node, benchmark)
        raise
    yield made
    made.conclude()


class WithTimes:
    """A plugin with the fixture, where pytest-benchmark is there."""

    @pytest.fixture
    def attnlab_bench(self, request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> Iterator[AttnlabBench]:
        """Times a callable by attnlab's clocks: `attnlab_bench(function, *arguments)` returns its result."""
        yield from make(request, benchmark)


class WithoutTimes:
    """A plugin with the fixture, where pytest-benchmark is not there."""

    @pytest.fixture
    def attnlab_bench(self, request: pytest.FixtureRequest) -> Iterator[AttnlabBench]:
        """Calls a callable once; times need pytest-benchmark."""
        yield from make(request, None)


def _run(config: pytest.Config, device: str, with_ceilings: bool) -> RunRecord:
    """What is known of this session and machine, made once; with ceilings only where a share of them is asked for."""
    from attnlab.bench.measuring.draft import draft_run
    from attnlab.bench.measuring.suite import Suite

    runs = config.stash.setdefault(RUNS, {})
    key = device, with_ceilings
    if key not in runs:
        runs[key] = draft_run(Suite("pytest", ()), (), device, command_line(config), timed=with_ceilings)
    return runs[key]
