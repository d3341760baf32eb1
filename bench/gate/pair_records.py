"""What is asked of a live pair of one benchmark, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench.gate.messages import Offer, TimingMethod
from attnlab.bench.store.records import Burst, Measurement, Outcome


@dataclass(frozen=True)
class ProcessLoss:
    """A process that ended, or was ended, while a benchmark was measured in it.

    bursts: what each arm had given until then, which no pair came of.
    """

    arm: str
    outcome: Outcome
    reason: str
    detail: str | None = None
    base: tuple[Burst, ...] = ()
    head: tuple[Burst, ...] = ()


@dataclass(frozen=True)
class PairResult:
    """One benchmark in one live pair.

    base, head: each arm's measurement, with one launch where the pair was measured to its end. method is None where
    there is nothing to compare; `why` says so. checked: arms whose process held the whole check. lost: the process
    that ended, which may have been chance. redefined: whether the arms' contracts mean other work.
    """

    base: Measurement
    head: Measurement
    method: TimingMethod | None = None
    why: str | None = None
    checked: tuple[str, ...] = ()
    lost: ProcessLoss | None = None
    redefined: bool = False


@dataclass(frozen=True)
class PairRequest:
    """What is to be measured: a benchmark, the arms whose check is still owed, and how it was timed before.

    following: the key of what is measured after it in the same processes, if anything is.
    """

    offer: Offer
    blank: Measurement
    check: frozenset[str] = frozenset()
    method: TimingMethod | None = None
    following: str | None = None
