"""What the gate and the worker of an arm say to each other; plain records, read back strictly by `store.codec`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import CALLABLE, Measurement, Series, TimingRecord

PROTOCOL = 4


@dataclass(frozen=True)
class SuiteSettings:
    """How a suite asks to be measured: its effort by name, and what a GPU's L2 is to hold."""

    effort: dict[str, float] = field(default_factory=dict)
    cache: str = "cold"

    def named(self) -> dict[str, float | str]:
        """All of them in one table."""
        return {**{f"effort.{name}": value for name, value in self.effort.items()}, "cache": self.cache}


@dataclass(frozen=True)
class ArmOrder:
    """What a worker of an arm is started with.

    suite: a name that the arm knows, or a path to a file. modules: of the implementations that will be asked
    for; None where all that the arm has is asked for. settings: what both arms are measured with; None for those of
    the arm's own suite. compiled_folder: where compilers keep what they made for this arm, so that neither finds what
    the other compiled.
    """

    protocol: int
    suite: str
    plugins: tuple[str, ...]
    device: str
    ceilings: dict[str, Any]
    seed: int
    secret: int
    memory_limit_bytes: int | None
    shared_folder: str
    modules: tuple[str, ...] | None = None
    settings: SuiteSettings | None = None
    compiled_folder: str | None = None


def outputs_of(order: ArmOrder, process: int) -> Path:
    """The file in which a process of an arm hands outputs over to be judged."""
    return Path(order.shared_folder, f"outputs-{process}")


@dataclass(frozen=True)
class Offer:
    """One benchmark that an arm has: an implementation on a case.

    compiled: as the implementation says. contract: module and file of the operator, for the judge, which has no
    implementations. source: its file, relative to the arm's checkout; None where it lies outside, and is not the
    repository's. reason: why it cannot run here, None where it may. values: every axis of the case, those at their
    default too, which an id leaves out. operations and bytes_moved: of one call, by the arm's contract; None where that
    cannot say. files: what those hold that the case names, by axis. listed: whether the arm's own suite has it, and not
    just the other's. code: a hash of what a test itself does, None of an implementation. line: where it begins in its
    source.
    """

    operator: str
    implementation: str
    case_id: str
    module: str
    source: str | None
    fingerprint: str | None
    reason: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    operations: int | None = None
    bytes_moved: int | None = None
    listed: bool = True
    compiled: bool = False
    contract: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    code: str | None = None
    line: int | None = None

    @property
    def key(self) -> str:
        """Such as `attention/naive[Hq8-bf16]`."""
        return benchmark_key(self.operator, self.implementation, self.case_id)

    @property
    def group(self) -> str:
        """Such as `attention/naive`."""
        return group_key(self.operator, self.implementation)


@dataclass(frozen=True)
class Offers:
    """All that an arm has of one source.

    suite: the suite's file; empty of tests. unknown: operators and implementations that the suite names and the arm has
    not. strays: modules that were loaded from outside its checkout. missing_plugins: plugins that it has not. error:
    what is wrong with the suite; absent: whether that is that there is none. broken: files of tests that cannot be
    collected, and why. notes: what else is to be told.
    """

    suite: str
    found: tuple[Offer, ...]
    unknown: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    missing_plugins: tuple[str, ...] = ()
    error: str | None = None
    absent: bool = False
    settings: SuiteSettings = field(default_factory=SuiteSettings)
    broken: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimingMethod:
    """How calls can be timed; times by different methods are never set against each other.

    plan: how the clock lays the calls out, None where it plans nothing.
    """

    clock: str
    cache: str
    calls_a_sample: int = 1
    plan: Plan | None = None

    def __str__(self) -> str:
        many = f", {self.calls_a_sample} calls a sample" if self.calls_a_sample > 1 else ""
        return f"{self.clock} ({self.cache}{many})"


@dataclass(frozen=True)
class Opening:
    """A benchmark made ready in one process: what the check said, and how it can be timed, best first.

    notes: why there are no times by other clocks. strays: modules that were loaded from outside the checkout. inputs:
    name, dtype and shape of each tensor that the arm's contract made. contents: what its sets of inputs hold, as hashes
    that the arm's judge took.
    """

    measurement: Measurement
    methods: tuple[TimingMethod, ...] = ()
    notes: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Closing:
    """What one process has to say at the end of a benchmark, beside the bursts that it gave.

    beside: set-up, first call and memory. timing: how the samples were taken. notes: what the timers have to say of
    that.
    """

    measurement: Measurement
    timing: TimingRecord | None = None
    beside: tuple[Series, ...] = ()
    notes: tuple[str, ...] = ()


def benchmark_key(operator: str, implementation: str, case_id: str) -> str:
    """A test is called as pytest calls it: `tests/bench_sort.py::test_sort[1000]`, or without an id of parameters."""
    name = group_key(operator, implementation)
    return name if operator == CALLABLE and not case_id else f"{name}[{case_id}]"


def group_key(operator: str, implementation: str) -> str:
    """What the cases of an implementation, or the parameters of a test, have in common."""
    return implementation if operator == CALLABLE else f"{operator}/{implementation}"


def comparison_key(benchmark: str, quantity: str) -> str:
    """Such as `attention/naive[Hq8-bf16]#latency`."""
    return f"{benchmark}#{quantity}"
