"""What a static gate found: a row a kernel, its verdict, and what that comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from attnlab.bench.gate.report import EXIT_CLOSED, EXIT_NO_REGRESSION, EXIT_REGRESSION, MOST_NAMED
from attnlab.bench.gate.static.figures import QUANTITIES

STATIC_SCHEMA_VERSION = 1
EXIT_UNCOMPILED = 2


class StaticVerdict(Enum):
    """Of one kernel, or of a case whose kernels could not be had."""

    WORSE = "worse"
    UNCOMPILED = "does not compile"
    MISSING = "missing"
    NEW = "new"
    GONE = "gone"
    CHANGED = "changed"
    SAME = "same"
    UNSERVED = "unserved"


CLOSED = (StaticVerdict.MISSING,)


@dataclass(frozen=True)
class BrokenRule:
    """A quantity that does what a rule forbids. allowed: what the rule allows, in words. gated: whether it stops."""

    quantity: str
    base: float | None
    head: float
    allowed: str
    gated: bool = True

    @property
    def label(self) -> str:
        return QUANTITIES[self.quantity].label

    @property
    def said(self) -> str:
        """`spilling instructions 0 → 34, allowed at most 0`."""
        told = QUANTITIES[self.quantity].told
        before = f"{told(self.base)} → " if self.base is not None else ""
        return f"{self.label} {before}{told(self.head)}, allowed {self.allowed}"


@dataclass(frozen=True)
class StaticRow:
    """One kernel. key: `attention/triton[Hq8-bf16] sm_90 _forward`. place: `file:line` of head's.

    base, head: their figures by quantity; None where a side has no such kernel. causes: what else changed: constants,
    the compiler, the name. allowed_by: the option that lets it through.
    """

    key: str
    verdict: StaticVerdict
    broken: tuple[BrokenRule, ...] = ()
    base: Mapping[str, float] | None = None
    head: Mapping[str, float] | None = None
    place: str | None = None
    causes: tuple[str, ...] = ()
    reason: str | None = None
    allowed_by: str | None = None

    @property
    def stops(self) -> bool:
        return self.verdict in (StaticVerdict.WORSE, StaticVerdict.UNCOMPILED, *CLOSED) and self.allowed_by is None

    @property
    def said(self) -> str:
        """All that there is to say, on one line."""
        broken = [rule.said if rule.gated else f"{rule.said} (reported, not gated)" for rule in self.broken]
        changed = [] if broken else self.changes
        let = [f"allowed by {self.allowed_by}"] if self.allowed_by else []
        return "; ".join([*broken, *([self.reason] if self.reason else []), *changed, *self.causes, *let])

    @property
    def changes(self) -> list[str]:
        """Figures that moved within what is allowed."""
        if self.base is None or self.head is None:
            return []
        return [
            f"{made.label} {made.told(self.base.get(name))} → {made.told(self.head.get(name))}"
            for name, made in QUANTITIES.items()
            if self.base.get(name) != self.head.get(name)
        ]


@dataclass(frozen=True)
class StaticReport:
    """All that a static gate found. base, head: what was compared, in words. compiled: cases that were compiled now."""

    run_id: str
    suite: str
    started: str
    command: str
    seconds: float
    base: str
    head: str
    targets: tuple[str, ...]
    rows: tuple[StaticRow, ...]
    compiled: int = 0
    notes: tuple[str, ...] = field(default=())
    static_schema_version: int = STATIC_SCHEMA_VERSION

    def of(self, *verdicts: StaticVerdict) -> list[StaticRow]:
        """Rows with one of these verdicts that nothing lets through."""
        return [row for row in self.rows if row.verdict in verdicts and row.allowed_by is None]

    @property
    def compared(self) -> int:
        return sum(row.head is not None for row in self.rows)

    @property
    def unheld(self) -> list[StaticRow]:
        """Kernels of head, all new, where base has none at all to hold them against."""
        new = self.of(StaticVerdict.NEW)
        return new if not any(row.head is not None and row.base is not None for row in self.rows) else []

    @property
    def exit_code(self) -> int:
        """0 no regression, 1 worse, 2 a kernel of head does not compile, 3 nothing was compared, or head lacks some."""
        if self.of(StaticVerdict.UNCOMPILED):
            return EXIT_UNCOMPILED
        if self.of(StaticVerdict.WORSE):
            return EXIT_REGRESSION
        closed = self.of(*CLOSED) or not self.compared or self.unheld
        return EXIT_CLOSED if closed else EXIT_NO_REGRESSION

    @property
    def conclusion(self) -> str:
        """The whole in one line of plain words."""
        if rows := self.of(StaticVerdict.UNCOMPILED):
            return f"Does not compile: {_named(rows)}; mend the lines that are named."
        if rows := self.of(StaticVerdict.WORSE):
            return f"Regression: {_named(rows)}."
        if rows := self.of(*CLOSED):
            return f"No verdict: missing on head: {_named(rows)}; the gate fails closed (see --allow-removed)."
        if not self.compared:
            return "No verdict: no kernel was compiled; the gate fails closed. Name a suite with kernels."
        if rows := self.unheld:
            told = f"base has none of the {len(rows)} kernels"
            return f"No verdict: {told}; the gate fails closed (see --allow-new-baseline)."
        return f"No regression in {self.compared} kernels."


def _named(rows: Sequence[StaticRow]) -> str:
    labels = {row.key: ", ".join(rule.label for rule in row.broken if rule.gated) for row in rows}
    told = [f"{key} ({label})" if label else key for key, label in labels.items()]
    more = [f"{len(told) - MOST_NAMED} more"] if len(told) > MOST_NAMED else []
    return "; ".join([*told[:MOST_NAMED], *more])
