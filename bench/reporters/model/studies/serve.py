"""What servers give: throughput against latency as load rises, the first token's way, HTTP itself, caches, requests."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench.reporters.model.plots import Plot, compared
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.serving.caches import cache_panels, cache_sentences, cache_tables
from attnlab.bench.reporters.model.serving.client import client_sentences, client_tables
from attnlab.bench.reporters.model.serving.first_token import part_panels, part_tables
from attnlab.bench.reporters.model.serving.http_cost import http_panels, http_sentences, http_tables, pairs
from attnlab.bench.reporters.model.serving.ladders import (
    goodput_panels,
    goodput_sentences,
    knee_sentences,
    load_panels,
    rising,
)
from attnlab.bench.reporters.model.serving.over_time import gap_panels
from attnlab.bench.reporters.model.serving.requests import request_panels
from attnlab.bench.reporters.model.serving.results import served_results
from attnlab.bench.reporters.model.serving.under_load import load_tables
from attnlab.bench.reporters.model.studies import Study

OPERATOR = "serve"


def make(results: Sequence[Result]) -> Study | None:
    """None where no load was driven."""
    found = served_results(results)
    if not found:
        return None
    kinds, beside = rising(found), pairs(found)
    words = [
        *knee_sentences(kinds),
        *goodput_sentences(kinds),
        *http_sentences(beside),
        *cache_sentences(found),
        *client_sentences(found),
    ]
    tables = (
        *load_tables(found),
        *part_tables(found),
        *http_tables(beside),
        *cache_tables(found),
        *client_tables(found),
    )
    made = (
        Plot(
            "load",
            "Throughput and latency",
            "Tokens of all requests a second over what each waits for its first, load by load; upper left is better, "
            "and beyond the knee more load costs more waiting than it brings.",
            tuple(load_panels(kinds)),
        ),
        Plot(
            "goodput",
            "Answered in time",
            "Requests a second that came, that were answered, and that kept the case's objectives; where the lines "
            "part, the server falls behind.",
            tuple(goodput_panels(kinds)),
        ),
        Plot(
            "ttft",
            "The first token",
            "Median time of each part of the time to first token; lower is better.",
            tuple(part_panels(found)),
        ),
        Plot(
            "http",
            "What HTTP costs",
            "Time over HTTP by that of the same engine in its process, paired by rounds, with the 95 % interval; left "
            "is better.",
            tuple(http_panels(beside)),
        ),
        Plot(
            "itl-time",
            "Gaps over the load",
            "Median inter-token latency of the tokens that came in each stretch of the load; a line that climbs is a "
            "server that falls behind.",
            compared(list(gap_panels(found))),
        ),
        Plot(
            "caches",
            "Prefix caches",
            "Median time to first token on cold and on warm prefix caches; left is better.",
            tuple(cache_panels(found)),
        ),
        Plot(
            "requests",
            "Requests of a load",
            "Each line is a request of the first call: what it waited to be sent, what it waited for its first token, "
            "and its answer. Loads with requests that failed come first, then the heaviest.",
            tuple(request_panels(found)),
        ),
    )
    plots = tuple(plot for plot in made if plot.says_something)
    return Study("Serving", tuple(filter(None, words)), tables, plots)
