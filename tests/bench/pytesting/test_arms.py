"""Tests as benchmarks of a gate, at an arm's end: what a session answers, without the process around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.gate.messages import Closing, Offers, Opening
from attnlab.bench.pytesting.arms.session import UNCALLED, ArmSession
from attnlab.bench.store.codec import decode
from attnlab.bench.store.records import CALLABLE, Burst, Outcome

FILE = '''
import asyncio

import pytest

made = []


@pytest.fixture(scope="session")
def shared():
    made.append("shared")
    yield 2
    made.append("gone")


@pytest.fixture
def broken():
    raise OSError("no such table")


@pytest.mark.attnlab(bytes=64, limit_s=0.01)
@pytest.mark.parametrize("n", [3, 4])
def test_sum(attnlab_bench, n, shared):
    """Adds up."""
    assert attnlab_bench(sum, [n, shared]) == n + 2


def test_shared_once(attnlab_bench, shared):
    assert attnlab_bench(lambda: made) == ["shared"]


def test_wrong(attnlab_bench):
    assert attnlab_bench(sum, [1]) == 2, "one is not two"


def test_skipped(attnlab_bench):
    pytest.skip("no device")


@pytest.mark.xfail(reason="not written yet", strict=True)
def test_expected(attnlab_bench):
    assert attnlab_bench(sum, [1]) == 2


def test_uncalled(attnlab_bench):
    pass


def test_fixture(attnlab_bench, broken):
    attnlab_bench(sum, [1])


def test_twice(attnlab_bench):
    attnlab_bench(sum, [1])
    attnlab_bench(sum, [1])


async def work():
    return 1


def test_async(attnlab_bench):
    attnlab_bench(work)


def test_tires(attnlab_bench):
    left = iter([1, 2])
    attnlab_bench(lambda: next(left))


def test_other():
    raise AssertionError("has no benchmark")
'''
MEASURED = (["warm", "wall", None], ["burst", 3], ["close"])


@dataclass
class Script:
    """Takes the place of the gate: asks what is written, and keeps what is answered."""

    asked: Iterator[list[Any]]
    said: list[tuple[str, Any]] = field(default_factory=list)

    def requests(self) -> Iterator[list[Any]]:
        return self.asked

    def send(self, kind: str, value: Any) -> None:
        self.said.append((kind, value))

    def told(self, kind: str, number: int = 0) -> Any:
        return [value for said, value in self.said if said == kind][number]


@dataclass(frozen=True)
class Turned:
    arm: Path

    def strays(self) -> list[str]:
        return []


Serve = Callable[..., Script]


@pytest.fixture
def serve(sessions: Any, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Has a session of `bench_mine.py` answer some requests."""
    monkeypatch.setattr("attnlab.bench.measuring.timing.BURST_NS", 1e4)
    sessions.pytester.makepyfile(bench_mine=FILE)

    def run(*requests: list[Any], files: tuple[str, ...] = ("bench_mine.py",)) -> Script:
        script = Script(iter([*requests, ["end"]]))
        arm: Any = ArmSession(Turned(sessions.pytester.path), script)  # type: ignore[arg-type]
        with sessions.forgetting():
            sessions.pytester.inline_run("-p", "no:xdist", *files, plugins=[arm])
        assert arm.ended
        return script

    return run


def opened(name: str, case_id: str = "", following: str | None = None) -> list[Any]:
    return ["open", CALLABLE, f"bench_mine.py::{name}", case_id, True, None, following]


def test_what_an_arm_offers(serve: Serve) -> None:
    offers = decode(Offers, serve(["offers", []]).told("offers"))
    found = {offer.key: offer for offer in offers.found}
    assert len(found) == 11, "those that use the fixture"
    first, second = (found[f"bench_mine.py::test_sum[{n}]"] for n in (3, 4))
    assert (first.operator, first.group, first.case_id) == (CALLABLE, "bench_mine.py::test_sum", "3")
    assert (first.values, first.bytes_moved, first.source) == ({"n": "3"}, 64, "bench_mine.py")
    assert first.code == second.code != found["bench_mine.py::test_wrong"].code
    assert FILE.strip().splitlines()[(first.line or 0) - 1].startswith(("@pytest", "def test_sum"))


def test_a_test_is_measured_while_it_waits(serve: Serve) -> None:
    script = serve(opened("test_sum", "3"), *MEASURED)
    opening, closing = decode(Opening, script.told("opened")), decode(Closing, script.told("closed"))
    assert opening.methods[0].clock == "wall"
    assert opening.inputs == ("64 bytes a call",)
    assert len(decode(Burst, script.told("burst")).series[0].values) == 3
    assert closing.measurement.outcome is Outcome.PASSED
    assert closing.timing is not None
    assert {series.quantity for series in closing.beside} >= {"first_call", "peak_memory"}


def test_fixtures_live_on_where_the_next_test_shares_them(serve: Serve) -> None:
    following = "bench_mine.py::test_shared_once"
    script = serve(opened("test_sum", "3", following), *MEASURED, opened("test_shared_once"), *MEASURED)
    assert decode(Closing, script.told("closed", 1)).measurement.outcome is Outcome.PASSED


def test_a_test_that_is_left_is_over_before_the_next(serve: Serve) -> None:
    script = serve(opened("test_sum", "3"), opened("test_sum", "4"), *MEASURED)
    assert [kind for kind, _ in script.said] == ["ready", "opened", "opened", "warm", "burst", "closed"]


@pytest.mark.parametrize(
    ("name", "outcome", "reason"),
    [
        ("test_wrong", Outcome.FAILED, "call: AssertionError: one is not two"),
        ("test_expected", Outcome.UNAVAILABLE, "it is expected to fail, and did: not written yet"),
        ("test_twice", Outcome.FAILED, "attnlab_bench was called twice"),
    ],
)
def test_what_comes_of_the_test_is_what_comes_of_the_benchmark(
    name: str, outcome: Outcome, reason: str, serve: Serve
) -> None:
    closed = decode(Closing, serve(opened(name), *MEASURED).told("closed")).measurement
    assert closed.outcome is outcome
    assert reason in (closed.reason or "")


@pytest.mark.parametrize(
    ("name", "outcome", "reason"),
    [
        ("test_skipped", Outcome.UNAVAILABLE, "skipped: no device"),
        ("test_uncalled", Outcome.UNAVAILABLE, UNCALLED),
        ("test_fixture", Outcome.FAILED, "setup: OSError: no such table"),
        ("test_async", Outcome.FAILED, "is an async function"),
    ],
)
def test_a_test_that_never_waits(name: str, outcome: Outcome, reason: str, serve: Serve) -> None:
    found = decode(Opening, serve(opened(name)).told("opened"))
    assert found.measurement.outcome is outcome
    assert found.methods == ()
    assert reason in (found.measurement.reason or "")


def test_a_call_that_fails_while_it_is_timed(serve: Serve) -> None:
    reason, detail = serve(opened("test_tires"), ["warm", "wall", None]).told("failed")
    assert "StopIteration" in reason
    assert "next(left)" in detail


def test_files_that_cannot_be_collected_are_told(serve: Serve, sessions: Any) -> None:
    sessions.pytester.makepyfile(
        bench_torn="import no_such_module", bench_elsewhere="import pytest\npytest.importorskip('no_such_package')"
    )
    script = serve(["offers", []], files=("bench_torn.py", "bench_elsewhere.py", "bench_mine.py"))
    offers = decode(Offers, script.told("offers"))
    assert len(offers.found) == 11
    assert list(offers.broken) == ["bench_torn.py"]
    assert "No module named 'no_such_module'" in offers.broken["bench_torn.py"]
    assert "bench_elsewhere.py is skipped: could not import 'no_such_package'" in offers.notes[0]
