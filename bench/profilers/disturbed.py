"""Which of several calls other work did not keep waiting for a core."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench.machine.throttling import kept_waiting
from attnlab.bench.store.records import HostState

QUICKEST = 0.25  # of the calls, where all were kept waiting


def least_disturbed(times_ns: Sequence[float], hosts: Sequence[HostState]) -> tuple[list[int], str | None]:
    """Which calls other work did not keep waiting, and None; where it did all, the quickest, and how it did.

    What disturbs makes calls longer, never shorter.
    """
    if len(times_ns) != len(hosts):
        return list(range(len(times_ns))), None
    free = [place for place, host in enumerate(hosts) if kept_waiting([host]) is None]
    if free:
        return free, None
    by_time = sorted(range(len(times_ns)), key=lambda place: times_ns[place])
    return sorted(by_time[: max(1, int(QUICKEST * len(by_time)))]), kept_waiting(hosts)
