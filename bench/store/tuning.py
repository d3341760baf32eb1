"""What a run of `attnlab tune` says of itself: which configurations it searches, and on what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import StoreError
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.text import one_line

if TYPE_CHECKING:
    from attnlab.bench.store.records import RunRecord

TUNING = "tuning"  # key of RunRecord.extra
REFERENCE = "reference_latency"
"""The quantity, beside the samples of a burst, of the built-in configuration's median in the same round."""


@dataclass(frozen=True)
class LeftOut:
    """A configuration that is not tried, and why."""

    configuration: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class TunedCase:
    """The search on one case.

    default: the name of the built-in configuration among the candidates, which are configurations by the name of the
    implementation that has them. exact, sizes: what the best one hangs on. rounds: bursts of who is not stopped early.
    """

    case_id: str
    default: str
    candidates: dict[str, dict[str, Any]]
    left_out: tuple[LeftOut, ...]
    exact: dict[str, Any]
    sizes: dict[str, int]
    rounds: int


@dataclass(frozen=True)
class Tuning:
    """A whole search. alpha, margin: as of `stats.racing.Rule`; turns: rounds of fresh processes at its end."""

    operator: str
    implementation: str
    axes: dict[str, tuple[Any, ...]]
    cases: tuple[TunedCase, ...]
    alpha: float
    margin: float
    turns: int


def extra_of(tuning: Tuning) -> dict[str, Any]:
    """As `RunRecord.extra` holds it."""
    return {TUNING: encode(tuning)}


def tuning_of(run: RunRecord) -> Tuning | None:
    """What a run searched; None of a run that is no search. Raises StoreError where that cannot be read."""
    data = run.extra.get(TUNING)
    if data is None:
        return None
    try:
        return decode(Tuning, data)
    except ValueError as error:
        raise StoreError(
            f"run {run.run_id} has a search of configurations that cannot be read: {one_line(str(error))}; search anew"
        ) from error
