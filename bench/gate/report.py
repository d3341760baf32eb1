"""What a gate found in all, and what that comes to: its exit code, and one line of plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from attnlab.bench.gate.rows import GateRow, GroupRow, LostProcess, Standing, VerdictRow
from attnlab.bench.stats.verdict import UNSEEN, Verdict
from attnlab.bench.store.machine import Environment

GATE_SCHEMA_VERSION = 2

MOST_NAMED = 4  # benchmarks in the one line of a conclusion

EXIT_NO_REGRESSION = 0
EXIT_REGRESSION = 1
EXIT_CLOSED = 3
EXIT_INCONCLUSIVE = 4


@dataclass(frozen=True)
class ErrorRates:
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
    achieved: tuple[ErrorRates, ...] = ()
    lost: tuple[LostProcess, ...] = ()
    strict: bool = False
    against_itself: bool = False
    interrupted: bool = False
    notes: tuple[str, ...] = field(default=())
    pairs: int = 0
    unseen_targets: float = UNSEEN
    gate_schema_version: int = GATE_SCHEMA_VERSION

    def of_verdict(self, verdict: Verdict) -> list[VerdictRow]:
        """The benchmarks' latencies, and the other quantities of them that are gated, with that verdict."""
        return [found for row in self.rows for found in row.judged if found.verdict is verdict]

    @property
    def regressions(self) -> list[VerdictRow | GroupRow]:
        """What is slower or worse, of benchmarks and of groups."""
        groups = [group for group in self.groups if group.verdict is Verdict.SLOWER]
        return [*self.of_verdict(Verdict.SLOWER), *groups]

    @property
    def unseen(self) -> list[VerdictRow]:
        """What is inconclusive with an interval that reaches past what may go unseen."""
        return [found for found in self.of_verdict(Verdict.INCONCLUSIVE) if found.unseen]

    @property
    def closed(self) -> list[VerdictRow]:
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


def _named(closed: Sequence[VerdictRow]) -> str:
    """Each benchmark with why it closes the gate, the first few of many."""
    told = [f"{found.title}: {found.closing}" for found in closed]
    more = [f"{len(told) - MOST_NAMED} more"] if len(told) > MOST_NAMED else []
    return "; ".join([*told[:MOST_NAMED], *more])


def _worse(regressions: Sequence[VerdictRow | GroupRow]) -> list[str]:
    """Each benchmark once, with what of it got worse; then the groups."""
    labels: dict[str, list[str]] = {}
    for found in regressions:
        if not isinstance(found, GroupRow):
            labels.setdefault(found.benchmark, []).append(found.label)
    named = [f"{benchmark} ({', '.join(own)})" for benchmark, own in labels.items()]
    return named + [found.key for found in regressions if isinstance(found, GroupRow)]
