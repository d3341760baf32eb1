"""What a gate found of each benchmark, a row each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from attnlab.bench.gate.messages import benchmark_key, comparison_key, group_key
from attnlab.bench.stats.verdict import Verdict
from attnlab.bench.store.records import Outcome


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
class GateRatio:
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
    first: GateRatio | None = None
    confirmation: GateRatio | None = None
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
    judged of it. source, line: of what is timed, on head, or on base where head has it not.
    """

    operator: str
    implementation: str
    case_id: str
    standing: Standing
    target: float
    reason: str | None = None
    verdict: Verdict | None = None
    first: GateRatio | None = None
    confirmation: GateRatio | None = None
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
    source: str | None = None
    line: int | None = None

    @property
    def place(self) -> str | None:
        """Such as `kernels/softmax.py:12`; None where it is no file of the repository."""
        return None if self.source is None else f"{self.source}:{self.line}" if self.line else self.source

    @property
    def group(self) -> str:
        """Such as `attention/naive`."""
        return group_key(self.operator, self.implementation)

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
    def judged(self) -> tuple[VerdictRow, ...]:
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
    first: GateRatio
    confirmation: GateRatio | None = None

    @property
    def key(self) -> str:
        return f"{self.name} on the whole"


VerdictRow = GateRow | QuantityRow
