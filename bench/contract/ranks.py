"""What a call over several ranks returns, and how it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import MeasurementError
from attnlab.bench.store.records import Outcome

if TYPE_CHECKING:
    from torch import Tensor


TimesAlone = Mapping[str, tuple[float, ...]]
"""Of parts of a call, by name: what each took on the slowest rank, in nanoseconds, time after time."""


@dataclass(frozen=True)
class RankedOutputs:
    """What a call over ranks returned, and what it took on each of them, in nanoseconds and in the order of ranks.

    told: what each rank says of the call besides, by name, in nanoseconds. alone: times parts of such a call by
    themselves, so many times; gives nothing where the implementation names none.
    """

    whole: tuple[Tensor, ...]
    times_ns: tuple[float, ...]
    told: tuple[Mapping[str, float], ...] = ()
    alone: Callable[[int], TimesAlone] | None = None


def whole_outputs(inputs: Any, returned: Any) -> Any:
    """The `results` of an operator over ranks: what is judged of what a call returned."""
    return returned.whole if isinstance(returned, RankedOutputs) else returned


class RankFailed(MeasurementError):
    """A call over ranks that came to no end; the message names the rank. detail: its traceback, where there is one."""

    def __init__(self, reason: str, detail: str | None = None, outcome: Outcome = Outcome.FAILED) -> None:
        super().__init__(reason)
        self.detail, self.outcome = detail, outcome
