"""What a gate found: one row a benchmark, and what the whole comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from attnlab.bench.gate.messages import benchmark_key, comparison_key
from attnlab.bench.stats.verdict import UNSEEN, Verdict
from attnlab.bench.store.machine import Environment
from attnlab.bench.store.records import Outcome

GATE_SCHEMA_VERSION = 2

MOST_NAMED = 4  # benchmarks in the one line of a conclusion

EXIT_NO_REGRESSION = 0
EXIT_REGRESSION = 1
EXIT_CLOSED = 3
EXIT_INCONCLUSIVE = 4


class Standing(Enum):
    """Whether a benchmark could be compared; all but the first two fail closed unless they are allowed by name."""

    COMPARED = "compared"
    UNAVAILABLE = "unavailable"
    NEW = "new"
    REDEFINED = "another contract on head"
    MISSING = "missing on head"
    WRONG = "wrong or failing on head"
    INCOMPARABLE = "incomparable"
    TOO_LITTLE = "measured too little"

    @property
    def closed(self) -> bool:
        """Whether the gate must not pass."""
        return self not in (Standing.COMPARED, Standing.UNAVAILABLE)


@dataclass(frozen=True)
class Ratio:
    """Time on head over time on base, with the interval of the look at which it was decided; null: unbounded."""

    ratio: float
    low: float | None
    high: float | None
    pairs: int


@dataclass(frozen=True)
class KernelMove:
    """The kernel (on a CPU the operation) whose time grew most, in nanoseconds of one call."""

    name: str
    base_ns: float
    head_ns: float


@dataclass(frozen=True)
class QuantityRow:
    """One quantity of a benchmark beside its latency; what reaches a reader says `label`.

    target: the least worsening to stop, as a share; where not gated, to tell. floor: a change below it is nothing.
    base and head: medians over pairs, None where a side has none. first and confirmation: worsening as a ratio, over 1
    where head is worse, of values to which `added` was added. All but ratios and shares are in `unit`. unseen:
    inconclusive, and what its interval reaches past must not go unseen.
    """

    benchmark: str
    quantity: str
    label: str
    unit: str
    direction: str
    standing: Standing
    target: float
    gated: bool
    floor: float
    added: float
    base: float | None
    head: float | None
    verdict: Verdict | None = None
    first: Ratio | None = None
    confirmation: Ratio | None = None
    reason: str | None = None
    allowed_by: str | None = None
    unseen: bool = False

    @property
    def key(self) -> str:
        return comparison_key(self.benchmark, self.quantity)

    @property
    def title(self) -> str:
        return f"{self.benchmark} {self.label}"

    @property
    def closed(self) -> bool:
        """Whether the gate cannot pass because of it; what head alone has is only told."""
        return self.allowed_by is None and self.standing.closed and self.standing is not Standing.NEW

    @property
    def closing(self) -> str:
        """What closes the gate, where it does."""
        return str(self.standing.value)

    @property
    def moved(self) -> bool:
        """Whether a reported quantity changed by more than its floor and target allow."""
        if self.base is None or self.head is None:
            return self.base is not self.head
        return abs(self.head - self.base) > self.floor + self.target * self.base

    @property
    def told(self) -> bool:
        """Whether a reader wants to know: it moved, or it could not be told whether it did."""
        if not self.gated:
            return self.moved
        return self.standing is not Standing.COMPARED or self.verdict is not Verdict.SAME


@dataclass(frozen=True)
class LostProcess:
    """A process that ended while a benchmark was measured in it; the pair's line in `pairs.jsonl` has its bursts."""

    benchmark: str
    pair: int
    arm: str
    outcome: Outcome
    reason: str
    detail: str | None = None


@dataclass(frozen=True)
class GateRow:
    """One benchmark. verdict, of its latency, is None where it was not compared; `reason` says why.

    target: the least slowdown to stop, as a share. base_ns and head_ns: medians of a call over all pairs. moved: what
    made it slower; unexplained: why nothing is named. uncovered: why the gate cannot pass although this was compared.
    allowed_by: the option that lets it through, such as `--allow-removed 'attention/naive*'`. quantities: what else was
    judged of it.
    """

    operator: str
    implementation: str
    case_id: str
    standing: Standing
    target: float
    reason: str | None = None
    verdict: Verdict | None = None
    first: Ratio | None = None
    confirmation: Ratio | None = None
    base_ns: float | None = None
    head_ns: float | None = None
    clock: str | None = None
    cache: str | None = None
    base_configuration: str | None = None
    head_configuration: str | None = None
    moved: KernelMove | None = None
    unexplained: str | None = None
    uncovered: str | None = None
    allowed_by: str | None = None
    quantities: tuple[QuantityRow, ...] = ()
    flags: tuple[str, ...] = ()
    unseen: bool = False

    @property
    def key(self) -> str:
        return benchmark_key(self.operator, self.implementation, self.case_id)

    @property
    def closed(self) -> bool:
        """Whether the gate cannot pass because of it."""
        return self.allowed_by is None and (self.standing.closed or self.uncovered is not None)

    @property
    def closing(self) -> str:
        """What closes the gate, where it does."""
        return self.uncovered or self.standing.value

    @property
    def judged(self) -> tuple[Judgement, ...]:
        """Its latency, then the other quantities."""
        return (self, *self.quantities)

    @property
    def label(self) -> str:
        return "latency"

    @property
    def benchmark(self) -> str:
        return self.key

    @property
    def title(self) -> str:
        return self.key


@dataclass(frozen=True)
class GroupRow:
    """The geometric mean over an implementation's cases, where the family was too large to decide each alone."""

    name: str
    verdict: Verdict
    first: Ratio
    confirmation: Ratio | None = None

    @property
    def key(self) -> str:
        return f"{self.name} on the whole"


Judgement = GateRow | QuantityRow


@dataclass(frozen=True)
class Achieved:
    """What A/A pairs say of one benchmark: false alarms in replayed decisions with their 95 % bound.

    scatter: standard deviation of a pair's log-ratio, with its 95 % interval. least_detectable: the least
    slowdown, as a share, that 95 % of decisions find; None above twice the time.
    """

    key: str
    pairs: int
    scatter: float
    scatter_low: float
    scatter_high: float
    alarms: int
    decisions: int
    alarm_bound: float
    least_detectable: float | None


@dataclass(frozen=True)
class ArmRecord:
    """One arm as it was measured. python and packages: versions, where it had an environment of its own."""

    asked: str
    revision: str
    dirty: bool
    label: str
    python: str | None = None
    packages: dict[str, str] | None = None


@dataclass(frozen=True)
class GateReport:
    """All that a gate found. pairs: live pairs that were measured, those of confirmations included."""

    run_id: str
    suite: str
    started: str
    command: str
    seconds: float
    base: ArmRecord
    head: ArmRecord
    environment: Environment
    alpha: float
    looks: tuple[int, ...]
    rows: tuple[GateRow, ...]
    groups: tuple[GroupRow, ...] = ()
    achieved: tuple[Achieved, ...] = ()
    lost: tuple[LostProcess, ...] = ()
    strict: bool = False
    against_itself: bool = False
    interrupted: bool = False
    notes: tuple[str, ...] = field(default=())
    pairs: int = 0
    unseen_targets: float = UNSEEN
    gate_schema_version: int = GATE_SCHEMA_VERSION

    def of_verdict(self, verdict: Verdict) -> list[Judgement]:
        """The benchmarks' latencies, and the other quantities of them that are gated, with that verdict."""
        return [found for row in self.rows for found in row.judged if found.verdict is verdict]

    @property
    def regressions(self) -> list[Judgement | GroupRow]:
        """What is slower or worse, of benchmarks and of groups."""
        groups = [group for group in self.groups if group.verdict is Verdict.SLOWER]
        return [*self.of_verdict(Verdict.SLOWER), *groups]

    @property
    def unseen(self) -> list[Judgement]:
        """What is inconclusive with an interval that reaches past what may go unseen."""
        return [found for found in self.of_verdict(Verdict.INCONCLUSIVE) if found.unseen]

    @property
    def closed(self) -> list[Judgement]:
        """What the gate cannot pass because of, whatever the rest says."""
        return [found for row in self.rows for found in row.judged if found.closed]

    @property
    def measured(self) -> bool:
        """Whether anything at all was compared and judged, not just reported, or all of it is new and allowed to be."""
        new = [row.standing in (Standing.NEW, Standing.REDEFINED) and row.allowed_by is not None for row in self.rows]
        return any(one.verdict is not None for row in self.rows for one in row.judged) or (bool(new) and all(new))

    @property
    def exit_code(self) -> int:
        """0 no regression, 1 regression, 3 measured too little or failed closed, 4 inconclusive.

        Of what is inconclusive, all where strict; else what may hide a worsening past the stated size.
        """
        if self.regressions and not self.against_itself:
            return EXIT_REGRESSION
        if self.closed or not self.measured or self.interrupted:
            return EXIT_CLOSED
        if (self.unseen and not self.against_itself) or (self.strict and self.of_verdict(Verdict.INCONCLUSIVE)):
            return EXIT_INCONCLUSIVE
        return EXIT_NO_REGRESSION

    @property
    def conclusion(self) -> str:
        """The whole in one line of plain words."""
        if self.against_itself:
            return "Base was measured against itself: every `slower` or `faster` below is a false alarm."
        if self.regressions:
            return f"Regression: {', '.join(_worse(self.regressions))}."
        if self.interrupted:
            return "Interrupted: no verdict."
        if self.closed:
            return f"No verdict: {_named(self.closed)}; the gate fails closed."
        if not self.measured:
            return "No verdict: nothing could be compared, or all is only reported; the gate fails closed."
        if self.unseen:
            told = "; ".join(found.title for found in self.unseen[:MOST_NAMED])
            more = f"; {len(self.unseen) - MOST_NAMED} more" if len(self.unseen) > MOST_NAMED else ""
            return f"No verdict: the noise may hide more than {self.unseen_targets:g} times the target of {told}{more}."
        unsure = self.of_verdict(Verdict.INCONCLUSIVE)
        if unsure:
            count = sum(1 + sum(q.gated for q in row.quantities) for row in self.rows)
            return f"No regression found, but {len(unsure)} of {count} comparisons cannot be told at this noise."
        return "No regression."


def _named(closed: Sequence[Judgement]) -> str:
    """Each benchmark with why it closes the gate, the first few of many."""
    told = [f"{found.title}: {found.closing}" for found in closed]
    more = [f"{len(told) - MOST_NAMED} more"] if len(told) > MOST_NAMED else []
    return "; ".join([*told[:MOST_NAMED], *more])


def _worse(regressions: Sequence[Judgement | GroupRow]) -> list[str]:
    """Each benchmark once, with what of it got worse; then the groups."""
    labels: dict[str, list[str]] = {}
    for found in regressions:
        if not isinstance(found, GroupRow):
            labels.setdefault(found.benchmark, []).append(found.label)
    named = [f"{benchmark} ({', '.join(own)})" for benchmark, own in labels.items()]
    return named + [found.key for found in regressions if isinstance(found, GroupRow)]
