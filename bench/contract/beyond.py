"""What is wrong where a result passes a ceiling, in words: nothing can be faster than the device allows."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.store.records import RunRecord

DOUBTED = "faster than the measured ceiling"
"""How a flag of results begins that were stored before these words were worked out anew by each reader."""

IN_CACHE, LOW, EITHER, IMPOSSIBLE = "in a cache", "ceiling low", "in a cache, or ceiling low", "not possible"
CLOCKS_DIFFER = 0.05  # by so much a time may be off the floor of a data sheet


@dataclass(frozen=True)
class Remark:
    """What is wrong with a share above 100 %.

    short stands beside the figure; words say what was passed and why, what is particular to one result in brackets at
    the end.
    """

    short: str
    words: str

    @property
    def doubts_ceiling(self) -> bool:
        """Whether the ceiling may have been measured low, so that it should be measured again."""
        return self.short in (LOW, EITHER)

    @property
    def general(self) -> str:
        """The words without what is particular to one result."""
        return self.words.partition(" (")[0]


def above_measured(run: RunRecord, share: float | None, subject: str, touched_bytes: int | None) -> Remark | None:
    """The remark on a share of a measured ceiling; None up to 100 %.

    subject is what passed it, such as `decoding`; touched_bytes how many bytes a call moves, None where arithmetic
    bounds it: no cache helps there.
    """
    if share is None or share <= 1:
        return None
    ceiling = "bandwidth" if touched_bytes is not None else "matrix rate"
    disturbed = run.ceilings.disturbed
    low = "it was measured low" + (f", as {disturbed}" if disturbed is not None else "")
    held = _held(run, touched_bytes)
    short = IN_CACHE if held is True else LOW if held is False else EITHER
    cached = "the data stayed in a cache"
    cause = {IN_CACHE: cached, LOW: low, EITHER: f"{cached}, or {low}"}[short]
    return Remark(short, f"{subject} passes the measured {ceiling}: {cause} ({units.format_share(share)} of it)")


def above_published(
    run: RunRecord, share: float | None, subject: str, touched_bytes: int | None, cache: str
) -> Remark | None:
    """The remark on a share of a data sheet's ceiling; None up to 100 %. cache: what caches held before the call."""
    if share is None or share <= 1:
        return None
    if cache != "cold" and touched_bytes is not None and _held(run, touched_bytes) is not False:
        short, cause = IN_CACHE, "the data stayed in a cache"
    elif share <= 1 / (1 - CLOCKS_DIFFER):
        short, cause = "clock's error", "by no more than a clock may be off"
    else:
        short, cause = (
            IMPOSSIBLE,
            "no device of its kind can do that, so the work or the time is not what it is said to be",
        )
    return Remark(short, f"{subject} passes the published ceiling: {cause} ({units.format_share(share)} of it)")


def _held(run: RunRecord, touched_bytes: int | None) -> bool | None:
    """Whether a cache can hold so much from call to call; None where that is not known.

    A processor may have several last-level caches, of which one is known: at most one for each thread.
    """
    device = run.environment.device
    if touched_bytes is None:
        return False
    if device.cache_bytes is None:
        return None
    if touched_bytes <= device.cache_bytes:
        return True
    most = device.cache_bytes * ((run.environment.threads or 1) if device.kind == "cpu" else 1)
    return None if touched_bytes <= most else False
