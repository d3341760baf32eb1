"""Hands samples that were taken already to pytest-benchmark, by its public fixture, marker and `pedantic`."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import pytest

from attnlab.bench import units
from attnlab.bench.errors import MeasurementError

NAMES = ("benchmark", "pytest_benchmark.plugin")  # by its entry point, and by `-p`
REPLAY = pytest.StashKey["Replay"]()
PASSED = pytest.StashKey[bool]()  # of the call of a test


class BenchmarkFixture(Protocol):
    """What is used of pytest-benchmark's fixture."""

    extra_info: dict[str, Any]

    @property
    def enabled(self) -> bool: ...

    def pedantic(
        self,
        target: Callable[..., Any],
        args: Sequence[Any] = ...,
        kwargs: Mapping[str, Any] | None = ...,
        *,
        rounds: int = ...,
        iterations: int = ...,
    ) -> Any: ...


class Replay:
    """A timer for pytest-benchmark: the difference between a round's two stamps is a stored sample.

    Each round's first stamp is zero, so that the difference is the sample to the last bit. Its name,
    which pytest-benchmark writes into its JSON, is the clock's that took the samples.
    """

    def __init__(self) -> None:
        self.__name__ = "attnlab"
        self._stamps: Iterator[float] = iter(())

    def load(self, samples_ns: Sequence[float], clock: str) -> None:
        self.__name__ = clock
        self._stamps = itertools.chain.from_iterable((0.0, units.ns_to_seconds(sample)) for sample in samples_ns)

    def __call__(self) -> float:
        """The next stamp in seconds; raises MeasurementError after the last."""
        try:
            return next(self._stamps)
        except StopIteration:
            raise MeasurementError(
                "pytest-benchmark asked for more stamps than there are samples; benchmark by attnlab_bench alone"
            ) from None


class _NothingTimed(Exception):
    """Ends a benchmark that has no times."""


def is_active(config: pytest.Config) -> bool:
    """Whether pytest-benchmark is loaded."""
    return any(config.pluginmanager.hasplugin(name) for name in NAMES)


def why_untimed(config: pytest.Config, benchmark: BenchmarkFixture | None) -> str | None:
    """None, or the reason why this session takes no times."""
    if benchmark is None:
        known = importlib.util.find_spec("pytest_benchmark") is not None
        return f"pytest-benchmark is {'not loaded' if known else 'not installed; pip install pytest-benchmark'}"
    if benchmark.enabled:
        return None
    if "PYTEST_XDIST_WORKER" in os.environ or config.getoption("dist", "no") != "no":
        return "pytest-benchmark switches itself off under xdist, whose processes disturb each other; run without -n"
    return "pytest-benchmark is switched off by --benchmark-disable"


def hand_over(
    benchmark: BenchmarkFixture, replay: Replay, samples_ns: Sequence[float], clock: str, result: Any = None
) -> Any:
    """Let pytest-benchmark take these samples for the times of a call that returns `result`."""
    replay.load(samples_ns, clock)
    return benchmark.pedantic(lambda: result, rounds=len(samples_ns), iterations=1)


def leave_out(item: pytest.Item, benchmark: BenchmarkFixture | None) -> None:
    """Have no times: neither a row in pytest-benchmark's table, nor its warning that nothing was timed."""

    def nothing() -> None:
        raise _NothingTimed

    if benchmark is not None:
        item.stash[REPLAY].load([0.0], "none")
        with suppress(_NothingTimed):
            benchmark.pedantic(nothing)


def give_replay(item: pytest.Item) -> None:
    """Make a replay the timer of a test, beside what its own `benchmark` marker says."""
    own = item.get_closest_marker("benchmark")
    item.stash[REPLAY] = Replay()
    marker = pytest.mark.benchmark(**{**(own.kwargs if own else {}), "timer": item.stash[REPLAY]})
    item.add_marker(marker, append=False)
