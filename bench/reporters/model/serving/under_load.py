"""The table of loads: what came, what was answered, and what each request waited."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.reporters.model.serving.caches import STATES
from attnlab.bench.reporters.model.serving.results import ServedResult
from attnlab.bench.reporters.model.studies import StudyTable

COLUMNS = {
    "tok/s": ("output_tok_per_s", units.format_number),
    "TTFT": ("ttft_ns", units.format_time),
    "TPOT": ("tpot_ns", units.format_time),
    "ITL p99": ("itl_p99_ns", units.format_time),
    "largest stall": ("icl_max_ns", units.format_time),
    "offered, req/s": ("offered_per_s", units.format_number),
    "answered, req/s": ("answered_per_s", units.format_number),
    "goodput, req/s": ("goodput_per_s", units.format_number),
    "failed": ("failed_requests", units.format_number),
}


def load_tables(found: Sequence[ServedResult]) -> Iterator[StudyTable]:
    """One row a result; what the server took from its prefix cache where it says it."""
    rows = tuple(
        (
            f"{r.implementation}, {r.label}",
            r.case.load.write().replace("_", "."),
            *(form(r.result.number(metric)) for metric, form in COLUMNS.values()),
            STATES[r.case.prefix],
            units.format_share(r.cached_share),
        )
        for r in found
    )
    yield StudyTable(
        "Under load", f"Medians. {_objectives(found)}", ("result", "load", *COLUMNS, "prefix cache", "cached"), rows
    )


def _objectives(found: Sequence[ServedResult]) -> str:
    told = dict.fromkeys(f"TTFT {r.case.ttft_ms} ms and TPOT {r.case.tpot_ms} ms" for r in found)
    return f"Goodput counts requests that keep the objectives of their case: {'; '.join(told)}."
