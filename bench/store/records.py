"""The stored schema: what is kept of one measurement and of one run.

History of SCHEMA_VERSION, newest first:
7  a run that was measured on several machines has them under `machines`, and each of its measurements the key of its
   own as `machine`: none and None in files of version 6
6  a result may be `unchecked`, with figures `reported` by the tool that measured it, and a run `imported` from that
   tool; what such a file does not say of the machine, of the timing and of the seed is None
5  a check has `deviations`, each with its name, value, limit and unit; before, two errors of each output stood for
   whatever was measured, see `store/upgrades.py`
4  what was added so that others can audit a run; each is None or empty in files of version 3: of a burst the state of
   the `host`, of a timing its `effective` samples, its `plan` and the null spans that its clocks subtracted, of a
   measurement its `turns`, what its process `printed` and what the `files` hold that its case names, of a check what
   was `withheld` and what the implementation `rounds`, of a run the `code` of plugins
3  a bench of a run may have `rounds`, bursts taken in turn: 0 in files of version 2; a burst may hold the log of a
   generation, see `generation/events.py`
2  a burst may have a `state`, what the GPU said of itself after it; a run has `cache`, the state of a GPU's L2
   that was asked for: "cold" in files of version 1; a timing has `calls_a_sample`: 1 in files of version 1
1  the first: run.json and measurements.jsonl
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import field, replace
from enum import Enum
from functools import cached_property
from typing import Any

from attnlab.bench.store.deviations import Deviation
from attnlab.bench.store.imported import Imported
from attnlab.bench.store.machine import Ceilings, Code, Environment, Machine
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.record import record

SCHEMA_VERSION = 7
TOGETHER = "together"  # of the axis `arrivals`: all requests are there when a call begins
SERVE = "serve"  # the operator whose calls are loads that a server is put to
CALLABLE = "callable"  # stands where an implementation has its operator's name: of what a test times
INTERLEAVED = "interleaved"  # key of RunRecord.extra: the id that both runs of one gate share
DEFINITIONS_VERSION = 2  # 2: the clocks of a GPU leave out what a span adds to its calls; hot is hot

__all__ = [
    "QUICK",
    "Burst",
    "CheckRecord",
    "Deviation",
    "DeviceState",
    "HostState",
    "Imported",
    "Launch",
    "Measurement",
    "Outcome",
    "RunRecord",
    "Series",
    "TimingRecord",
    "Turn",
]


class Outcome(Enum):
    """What came of one implementation on one case; unchecked: another tool measured it, and nothing here checked it."""

    PASSED = "passed"
    UNCHECKED = "unchecked"
    WRONG_SHAPE = "wrong_shape"
    WRONG_DTYPE = "wrong_dtype"
    WRONG_VALUES = "wrong_values"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"

    @property
    def may_have_speed(self) -> bool:
        """Whether a time of it may be shown: a wrong result has none."""
        return self is _PASSED or self is _UNCHECKED


_PASSED, _UNCHECKED = Outcome.PASSED, Outcome.UNCHECKED  # asked for of every measurement, and slow of their class


@record
class Series:
    """Values of one quantity in one burst: latency, set-up, peak memory and whatever comes later alike.

    direction is "lower" or "higher", whichever is better. clock names the method where time was taken.
    """

    quantity: str
    unit: str
    clock: str | None
    direction: str
    values: tuple[float, ...]


@record
class DeviceState:
    """What a GPU said of itself; None is what it did not say.

    throttle: why its clocks are held down, in words ("thermal", "power cap", …); () where nothing does.
    The violation times and the energy count up over the driver's life: only differences mean anything.
    """

    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    throttle: tuple[str, ...] | None = None
    thermal_violation_ns: float | None = None
    power_violation_ns: float | None = None
    energy_j: float | None = None


@record
class HostState:
    """What the host says of the time of one burst; None is what it did not say.

    cpu_ns: processor time of the process, over all its threads. waited_ns: time that its threads were ready to run and
    had no core, summed over them. involuntary_switches: how often one of them was taken off its core. busy_ns,
    stolen_ns: processor time of all processes of the machine, and that which its host gave to other machines, over all
    cores and in steps of 10 ms. runnable: threads of the whole machine that ran or wanted to at the burst's end, its
    own included. frequency_mhz: of the core that the process ran on last.
    """

    elapsed_ns: float
    cpu_ns: float
    involuntary_switches: int
    waited_ns: float | None = None
    busy_ns: float | None = None
    stolen_ns: float | None = None
    runnable: int | None = None
    frequency_mhz: float | None = None


@record
class Burst:
    """Samples taken in one go; started_s is Unix time, state the device's right after, host the machine's over it."""

    started_s: float
    series: tuple[Series, ...]
    state: DeviceState | None = None
    host: HostState | None = None


@record
class Launch:
    """What one process measured."""

    process: int
    bursts: tuple[Burst, ...]


@record
class Turn:
    """What a fresh process measured in one round, in which the nearest of a case took turns; rounds count from 1."""

    round: int
    launch: Launch


@record
class SetDeviations:
    """How far outputs are off on one set of inputs ("drawn", "redrawn", "needles", "timed")."""

    inputs: str
    deviations: tuple[Deviation, ...]


@record
class CheckRecord:
    """What the check of one implementation on one case found.

    blunt: probes that the check would have accepted although they can be told apart. deterministic:
    whether two runs agreed bit for bit. coverage: share of the output compared with the oracle (the
    rest is only searched for NaN). poisoned: whether fresh memory was filled with NaN meanwhile. withheld: outputs
    that the check asked for and did without, since the implementation does not give them.
    """

    sets: tuple[SetDeviations, ...]
    probes: tuple[str, ...]
    blunt: tuple[str, ...]
    deterministic: bool | None
    coverage: float
    poisoned: bool
    withheld: tuple[str, ...] = ()
    rounds: str | None = None


@record
class TimingRecord:
    """How the time was taken.

    cache: "warm" (CPU), "cold" or "hot" (CUDA's L2). stopped: "target" where the median's interval
    became narrow enough, else "time limit" or "limit of samples". copies: sets of inputs that calls
    rotated through. calls_a_sample: calls that one sample is the mean of, over 1 where a call is too
    short to be timed alone. effective: how many independent samples they are worth; with fewer than 30 no
    interval is claimed. plan: how the clock laid the calls out, None where it plans nothing. nulls_ns: what a
    span reads of nothing, by clock, which was subtracted from each of that clock's samples; none of a clock that has
    no such part. Of a time that was imported, what its file does not say is None, and cache and stopped are "unknown".
    """

    clock: str
    cache: str
    copies: int | None
    warmup_calls: int | None
    warmup_ns: float | None
    warmup_stable: bool | None
    samples: int | None
    stopped: str
    calls_a_sample: int = 1
    effective: float | None = None
    plan: Plan | None = None
    nulls_ns: dict[str, float] = field(default_factory=dict)


QUICK = "a quick look: checked once, few samples (--quick)"
"""The flag of what was measured so; see `RunRecord.quick`."""
SPEED = ("timing", "median_ns", "ci_low_ns", "ci_high_ns")
"""Fields of a measurement that only a result with a speed has: a wrong result has none."""


@record
class Measurement:
    """All that is known of one implementation on one case in one run.

    operations (FLOP) and bytes_moved are the contract's for one call, bytes_written those of its outputs. median_ns and
    its 95 % interval are of the main clock, within one process: never compare revisions by them; None where calls are
    `paced`. flags are warnings in plain words. printed: what its process printed while it was at it, the beginning and
    the end, of printed_bytes in all. files: what the files hold that the case names, as hashes by axis. turns: what it
    did in fresh processes, beside others of its case; no time that is shown is of these. reported: figures that the
    tool worked out itself which measured a result that is unchecked, by names of metrics, in their units. phases_ns:
    elapsed time by phase (inputs, set-up, check, timing, check timed, memory), of which timing holds warm-up and
    sampling. machine: the key, among its run's `machines`, of the one that it was measured on.

    Raises ValueError where a result that is neither passed nor unchecked has a time or a figure of speed (any of
    `SPEED`), and where one that is not unchecked has `reported`. Raw samples may stay: what was timed before a result
    turned out wrong.
    """

    operator: str
    implementation: str
    case: dict[str, Any]
    case_id: str
    outcome: Outcome
    reason: str | None = None
    detail: str | None = None
    check: CheckRecord | None = None
    timing: TimingRecord | None = None
    untimed: str | None = None
    configuration: str | None = None
    fingerprint: str | None = None
    operations: int | None = None
    bytes_moved: int | None = None
    bytes_written: int | None = None
    launches: tuple[Launch, ...] = ()
    median_ns: float | None = None
    ci_low_ns: float | None = None
    ci_high_ns: float | None = None
    phases_ns: dict[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    printed: str | None = None
    printed_bytes: int | None = None
    reported: dict[str, float] = field(default_factory=dict)
    machine: str | None = None
    schema_version: int = SCHEMA_VERSION
    definitions_version: int = DEFINITIONS_VERSION

    def __post_init__(self) -> None:
        if not self.outcome.may_have_speed:
            held = [name for name in SPEED if getattr(self, name) is not None]
            if held:
                raise ValueError(f"got {', '.join(held)} of a result that is {self.outcome.value}, expected none")
        if self.reported and self.outcome is not _UNCHECKED:
            raise ValueError(
                f"got reported of a result that is {self.outcome.value}, expected it of unchecked ones alone"
            )

    @property
    def key(self) -> tuple[str, str, str]:
        return self.operator, self.implementation, self.case_id

    def fail(self, reason: str | None, detail: str | None = None, outcome: Outcome = Outcome.FAILED) -> Measurement:
        """The same with an outcome other than passed, its reason, and no figure of speed."""
        told = replace(self, timing=None, median_ns=None, ci_low_ns=None, ci_high_ns=None)
        return replace(told, outcome=outcome, reason=reason, detail=detail)

    @property
    def paced(self) -> str | None:
        """Why the time of its calls is no latency: they last as long as requests take to come, or are a whole load that
        a server is put to; None where it is one."""
        if self.operator == SERVE:
            return (
                f"a load of requests ({self.case.get('load')}), whose length is no latency: TTFT, ITL and goodput are"
            )
        arrivals = self.case.get("arrivals", TOGETHER)
        if arrivals == TOGETHER:
            return None
        return f"paced by its arrivals ({arrivals}), so that a call's length is no latency: TTFT, ITL and goodput are"

    def values(self, quantity: str, clock: str | None = None) -> list[float]:
        """All values of a quantity (of one clock, where given); [] where it was not measured."""
        found = self.series.get(quantity, ())
        return [value for series in found if clock is None or clock == series.clock for value in series.values]

    @cached_property
    def series(self) -> dict[str, list[Series]]:
        """All series of its launches by their quantity, of which every metric asks."""
        found: defaultdict[str, list[Series]] = defaultdict(list)
        for launch in self.launches:
            for burst in launch.bursts:
                for series in burst.series:
                    found[series.quantity].append(series)
        return dict(found)


@record
class BenchRecord:
    """One table of a suite, as it was run: which implementations on which cases.

    rounds: how many bursts were taken of each in turn; 0 where each was measured alone, one after another.
    """

    operator: str
    implementations: tuple[str, ...]
    baseline: str | None
    cases: tuple[str, ...]
    rounds: int = 0


@record
class RunRecord:
    """What is known of a whole run; `command` repeats it.

    effort: how long was timed at most, by name of the fields of `timing.Effort`; empty in runs that were stored before
    it was. code: where implementations and operators of others are written. cache: what a GPU's L2 was to hold
    when a call starts, "cold" or "hot"; what each measurement's clock found is in its `TimingRecord`. imported: the
    file that it was made of; None of what was measured here. machines: where a shard, or a run on a cluster, was
    measured, by key; none of a run on the one machine that `environment` has.
    """

    run_id: str
    suite: str
    started: str
    command: str
    benches: tuple[BenchRecord, ...]
    environment: Environment
    ceilings: Ceilings
    seed: int | None
    plugins: tuple[str, ...] = ()
    code: tuple[Code, ...] = ()
    effort: dict[str, float] = field(default_factory=dict)
    cache: str = "cold"
    schema_version: int = SCHEMA_VERSION
    definitions_version: int = DEFINITIONS_VERSION
    extra: dict[str, Any] = field(default_factory=dict)
    imported: Imported | None = None
    machines: dict[str, Machine] = field(default_factory=dict)

    @property
    def drawn_from(self) -> int:
        """The seed; raises ValueError of a run that was imported, which nothing here can go on with."""
        if self.seed is None:
            raise ValueError(f"got run {self.run_id}, which has no seed; expected one that was measured here")
        return self.seed

    @property
    def quick(self) -> bool:
        """Whether it is a quick look (`attnlab run --quick`), which never stands beside full runs unmarked."""
        return bool(self.effort.get("quick"))
