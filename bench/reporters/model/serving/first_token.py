"""Where the time to first token of a server goes: in the client, on the way, in the server's queue, and in the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.llm.generation.latencies import ttft_ns
from attnlab.bench.llm.generation.measured import median
from attnlab.bench.reporters.model.plots import Curve, Panel, PlotPoint
from attnlab.bench.reporters.model.serving.results import ServedRequest, ServedResult
from attnlab.bench.reporters.model.studies import StudyTable

LATE, CONNECT, QUEUE, PREFILL, HEADERS, REST = "sent late", "connect", "queue", "prefill", "to headers", "rest"
PARTS = (LATE, CONNECT, QUEUE, PREFILL, HEADERS, REST)
TOLD: dict[str, Callable[[ServedRequest], float | None]] = {
    LATE: lambda one: one.late_ns,
    CONNECT: lambda one: one.way.connect_ns,
    QUEUE: lambda one: one.way.queue_ns,
    PREFILL: lambda one: one.way.prefill_ns,
    HEADERS: lambda one: one.to_headers_ns,
}
CAPTION = (
    "Medians. Sent late: by the client, after the request was due. Queue, prefill: as the server says. To headers: "
    "from sending to the head of the answer, where the server says neither. Rest: what of the time to first token is "
    "in none of these: what is not told apart, choosing a token, the way there and back."
)


def parts_of(result: ServedResult) -> dict[str, float] | None:
    """Median time of each part that is known, and the rest of the median TTFT; None where no part is known."""
    asked = [(one, first) for call in result.served for one in call if (first := ttft_ns(one.log)) is not None]
    whole = median(first for _, first in asked)
    found: dict[str, float] = {}
    for part, told in TOLD.items():
        value = median(time for one, _ in asked if (time := told(one)) is not None)
        if value is not None:
            found[part] = value
    if QUEUE in found or PREFILL in found:
        found.pop(HEADERS, None)  # a server may send them before it queues a request, or after its prefill
    return found | {REST: max(0.0, whole - sum(found.values()))} if whole is not None and found else None


def part_tables(found: Sequence[ServedResult]) -> Iterator[StudyTable]:
    rows = tuple(
        (
            f"{r.implementation}, {r.label}",
            units.format_time(r.result.number("ttft_ns")),
            *(units.format_time(parts.get(part)) for part in PARTS),
        )
        for r in found
        if (parts := parts_of(r)) is not None
    )
    if rows:
        yield StudyTable("Where the time to first token goes", CAPTION, ("result", "TTFT", *PARTS), rows)


def part_panels(found: Sequence[ServedResult]) -> Iterator[Panel]:
    """A bar for each result of which parts are known."""
    known = [(r, parts) for r in found if (parts := parts_of(r)) is not None]
    curves = []
    for part in PARTS:
        timed = [(row, r, value) for row, (r, parts) in enumerate(known) if (value := parts.get(part))]
        points = (PlotPoint(v, row, None, None, r.implementation, r.case_id) for row, r, v in timed)
        curves += [Curve(part, tuple(points))] if timed else []
    if curves:
        rows = tuple(f"{r.implementation}, {r.label}" for r, _ in known)
        yield Panel("bars", "all cases", "time to first token", "", "ns", tuple(curves), rows, metric="ttft_ns")
