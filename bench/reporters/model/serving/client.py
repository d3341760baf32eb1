"""Whether the client kept up: how late it sent its requests, what it sent again, and who counted the tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.llm.generation.latencies import percentile
from attnlab.bench.llm.generation.measured import median
from attnlab.bench.llm.generation.served import LATE_NS
from attnlab.bench.reporters.model.serving.results import ServedResult
from attnlab.bench.reporters.model.studies import StudyTable
from attnlab.bench.reporters.model.words import Sentence, enumerated, name, sentence

MOST = units.format_time(LATE_NS)
CAPTION = (
    "How long after it was due each request was sent, which TTFT includes. A percentile is given where enough requests "
    f"lie beyond it. A load that was sent more than {MOST} late at the 99th percentile, of fewer than a hundred "
    "requests at most, is flagged: its client was the limit."
)
HEADINGS = (
    "result",
    "sent late, median",
    "p99",
    "most",
    "own timer late, most",
    "sent again",
    "tokens counted by",
)


def client_tables(found: Sequence[ServedResult]) -> Iterator[StudyTable]:
    rows = tuple(
        (
            f"{r.implementation}, {r.label}",
            units.format_time(median(r.lag_ns)),
            units.format_time(percentile(r.lag_ns, 0.99)),
            units.format_time(max(r.lag_ns, default=None)),
            units.format_time(max((lag for load in r.loads for lag in load.loop_lag_ns), default=None)),
            str(r.tried_again),
            r.counted_by or units.MISSING,
        )
        for r in found
        if r.loads
    )
    if rows:
        yield StudyTable("The client", CAPTION, HEADINGS, rows)


def client_sentences(found: Sequence[ServedResult]) -> Iterator[Sentence]:
    """That the client kept up, or of which results it did not; and who counted tokens where it was not the server."""
    late = [r for r in found if any(load.late for load in r.loads)]
    lags = [lag for r in found for lag in r.lag_ns]
    if late:
        yield sentence(
            f"The client sent more than {MOST} late at the 99th percentile under ",
            _named(late),
            ": these are not quite the loads that were asked for, and its own lateness is in their first tokens.",
        )
    elif lags:
        yield sentence(f"The client kept up: it sent no request more than {units.format_time(max(lags))} late.")
    uncounted = [r for r in found if "chunks" in (r.counted_by or "")]
    if uncounted:
        yield sentence("Nobody counted the tokens under ", _named(uncounted), ": each chunk with text stands for one.")


def _named(found: Sequence[ServedResult]) -> Sentence:
    return tuple(enumerated([sentence(name(r.implementation), " on ", name(r.label)) for r in found]))
