"""pytest's session in a process of the gate: each test runs up to its benchmark, and goes on when that is measured.

While a test waits in `attnlab_bench`, the gate asks for bursts of its call. Then the test goes on with the result, and
what comes of the test is what comes of the benchmark.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from attnlab.bench.gate.messages import Closing, Offers, Opening, benchmark_key
from attnlab.bench.machine.ballast import Ballast
from attnlab.bench.measuring.channel import Channel
from attnlab.bench.pytesting.arms.call import GatedCall, timed_first
from attnlab.bench.pytesting.arms.offers import benchmark_tests, first_error, offer, relative
from attnlab.bench.pytesting.arms.order import FIXTURE
from attnlab.bench.pytesting.fixture import TAKER, done
from attnlab.bench.pytesting.timed_call import TimedCall
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.text import one_line

if TYPE_CHECKING:
    from attnlab.bench.gate.rerooting import Rerooting

SEED = 0  # of what tests draw: both arms draw the same
UNCALLED = f"it passed, and never called {FIXTURE}"
LOST = "its call raised an exception while it was timed, which the test let pass"


@dataclass
class _Test:
    """A test that the gate opened. closing: what it gave, once the gate asked for no more."""

    item: pytest.Function
    blank: Measurement
    plan: Plan | None
    reports: list[pytest.TestReport] = field(default_factory=list)
    call: GatedCall | None = None
    asked: str | None = "open"
    closing: Closing | None = None

    def ended(self) -> Measurement:
        """What came of it, now that it is over."""
        failed = next((report for report in self.reports if report.failed), None)
        if failed is not None:
            return self.blank.fail(f"{failed.when}: {first_error(failed.longreprtext)}", failed.longreprtext)
        skipped = next((report for report in self.reports if report.skipped), None)
        if skipped is not None:
            return self.blank.fail(_why_skipped(skipped), outcome=Outcome.UNAVAILABLE)
        if self.call is None:
            return self.blank.fail(UNCALLED, outcome=Outcome.UNAVAILABLE)
        return self.blank


class ArmSession:
    """A plugin in whose session the gate says which test runs when."""

    def __init__(self, turned: Rerooting, channel: Channel) -> None:
        self._turned, self._channel = turned, channel
        self._items: dict[str, pytest.Function] = {}
        self._broken: dict[str, str] = {}
        self._notes: dict[str, None] = {}
        self._pending: list[Any] | None = None
        self._test: _Test | None = None
        self._ballast = Ballast()
        self.ended = False
        _seed()

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Options that would run tests in other processes, or write where the project lies, are off."""
        self._root = config.rootpath
        config.stash[TAKER] = self.take
        for name, value in (("dist", "no"), ("numprocesses", None), ("xmlpath", None), ("usepdb", False)):
            if hasattr(config.option, name):
                setattr(config.option, name, value)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self) -> bool:
        """The gate has a limit of its own, and keeps tests waiting."""
        return True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._broken[self._file(report.nodeid)] = f"it cannot be collected: {first_error(report.longreprtext)}"
        elif report.skipped:
            self._notes[f"{self._file(report.nodeid)} is skipped: {_reason(report)}"] = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve the gate."""
        for item in benchmark_tests(session.items):
            self._items.setdefault(offer(item, self._turned.arm).key, item)
        self._channel.send("ready", None)
        for verb, *arguments in self._requests():
            if verb == "end":
                self.ended = True
                break
            getattr(self, f"on_{verb}")(*arguments)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._test is not None:
            self._test.reports.append(report)

    def on_offers(self, _wanted: list[list[str]]) -> None:
        """What this arm has: what the other has besides was not collected here."""
        found = tuple(offer(item, self._turned.arm) for item in self._items.values())
        strays, notes = tuple(self._turned.strays()), tuple(self._notes)
        self._channel.send("offers", encode(Offers("", found, strays=strays, broken=self._broken, notes=notes)))

    def on_open(
        self, operator: str, implementation: str, case_id: str, _check: bool, plan: Any, following: str | None
    ) -> None:
        """Run a test; fixtures that the following one shares stay as they are."""
        item = self._items[benchmark_key(operator, implementation, case_id)]
        blank = Measurement(operator, implementation, {}, case_id, Outcome.PASSED)
        test = self._test = _Test(item, blank, None if plan is None else decode(Plan, plan))
        _seed()
        after = self._items.get(following or "")
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        self._test = None
        self._conclude(test)

    def take(self, item: pytest.Item, call: Callable[[], Any], given: Mapping[str, Any], arguments: object) -> Any:
        """The fixture's call: answer the gate, then give the test what the first call returned."""
        test = self._test
        if test is None or test.item is not item:
            return done(call())
        result, first_ns = timed_first(call)
        timed = TimedCall.of(call, given, (arguments, done(result)))
        test.blank = timed.measurement(test.blank.implementation, test.blank.case_id)
        test.call = GatedCall(timed, first_ns, self._ballast)
        opening = test.call.opening(test.blank, test.plan, tuple(self._turned.strays()))
        self._channel.send("opened", encode(opening))
        test.asked = None
        self._answer(test, test.call)
        return result

    def _answer(self, test: _Test, call: GatedCall) -> None:
        """What is asked of the call, until the test may go on: it is closed, or left for another."""
        for verb, *arguments in self._requests():
            if verb in ("open", "end"):
                self._pending = [verb, *arguments]
                return
            test.asked = verb
            if verb == "close":
                test.closing = call.closing(test.blank)
                return
            self._channel.send(*getattr(call, f"on_{verb}")(*arguments))
            test.asked = None

    def _conclude(self, test: _Test) -> None:
        """Answer what was asked last, now that the test is over; nothing where it was left for another."""
        if test.asked is None:
            return
        found = test.ended()
        strays = tuple(self._turned.strays())
        if test.asked == "open":
            self._channel.send("opened", encode(Opening(found, strays=strays)))
        elif test.asked == "close" and (test.closing is not None or found.outcome is not Outcome.PASSED):
            closing = Closing(found) if test.closing is None else replace(test.closing, measurement=found)
            self._channel.send("closed", encode(closing))
        else:
            self._channel.send("failed", [found.reason or LOST, found.detail])

    def _requests(self) -> Iterator[list[Any]]:
        """Each request, one that was read too early first."""
        while True:
            request, self._pending = self._pending or next(self._channel.requests(), None), None
            if request is None:
                return
            yield request

    def _file(self, nodeid: str) -> str:
        return relative(self._root / nodeid.split("::")[0], self._turned.arm)


def _seed() -> None:
    random.seed(SEED)
    np.random.seed(SEED)
    torch = sys.modules.get("torch")  # importing it takes seconds, and a test without it needs none
    if torch is not None:
        torch.manual_seed(SEED)


def _why_skipped(report: pytest.TestReport) -> str:
    expected = getattr(report, "wasxfail", None)
    if expected is None:
        return f"skipped: {_reason(report)}"
    return f"it is expected to fail, and did{': ' if expected else ''}{expected}"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Of a skip, without the place."""
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return one_line(told.removeprefix("Skipped: "))
