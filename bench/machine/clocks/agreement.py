"""Whether a clock that sees all streams agrees with one that sees the current stream's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from attnlab.bench import units
from attnlab.bench.store.records import Burst

ALL_STREAMS = "cupti"
TIMES = 2.0  # gaps between kernels that the host launches are in its span too, so less says nothing
BEYOND_NS = 10_000


def agreement_notes(bursts: Sequence[Burst]) -> tuple[str, ...]:
    """A warning in plain words where the time by CUPTI is far above the main clock's, in the bursts that hold both."""
    both = [burst for burst in bursts if any(series.clock == ALL_STREAMS for series in burst.series)]
    main = [value for burst in both for value in burst.series[0].values]
    seen = [value for burst in both for s in burst.series if s.clock == ALL_STREAMS for value in s.values]
    if not main or not seen:
        return ()
    main_ns, seen_ns = statistics.median(main), statistics.median(seen)
    if seen_ns <= TIMES * main_ns + BEYOND_NS:
        return ()
    return (
        f"CUPTI, which sees all streams, reads far more than {both[0].series[0].clock}: work may lie outside its span "
        f"({units.format_time(seen_ns)} and {units.format_time(main_ns)})",
    )
