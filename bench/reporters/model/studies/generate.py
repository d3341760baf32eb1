"""What generation feels like and costs: first token and gaps, guesses that pay, batches, memory by context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench.contract.axes import DTYPES
from attnlab.bench.reporters.model.answers import Answer, answers
from attnlab.bench.reporters.model.loads import load_panels
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, compared
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.studies._answering import (
    answering_tables,
    best_sentences,
    first_token_tables,
    gap_panels,
    part_panels,
)
from attnlab.bench.reporters.model.studies._guess import SpeculativeResult
from attnlab.bench.reporters.model.studies._guess_curve import curve_sentences
from attnlab.bench.reporters.model.studies._guessing import guess_panels, guess_tables
from attnlab.bench.reporters.model.studies._paired import RATIOS
from attnlab.bench.reporters.model.studies._serving import batching_sentences, serving_tables

OPERATOR = "generate"


def make(results: Sequence[Result]) -> Study | None:
    """None where no generation was timed."""
    found = answers(results)
    if not found:
        return None
    baseline = next((b for r in results for b in [r.row.baseline] if b is not None), None)
    base = baseline.implementation if baseline is not None else None
    guessed = [SpeculativeResult(a, plain) for a in found if a.case.decoding.speculative for plain in _plain(a, found)]
    tables = [
        *answering_tables(found, base),
        *first_token_tables(found),
        *guess_tables(guessed),
        *serving_tables(found),
    ]
    plots = (
        Plot(
            "itl",
            "Gaps over the answer",
            "Median inter-token latency by place in the answer; lower is better.",
            compared(list(gap_panels(found, Answer.gaps_by_place, "inter-token latency"))),
        ),
        Plot(
            "icl",
            "Stalls over the answer",
            "Largest gap between chunks by place in the answer, not shared among the "
            "tokens that come after it; lower is better.",
            compared(list(gap_panels(found, Answer.stalls_by_place, "inter-chunk latency"))),
        ),
        Plot(
            "ttft",
            "The first token",
            "Median time of each part of the time to first token; lower is better.",
            tuple(part_panels(found)),
        ),
        Plot(
            "speculation",
            "Guesses that pay",
            "Speed-up over plain decoding, by guesses accepted. Lines are synthetic guesses, so many a pass, each at "
            f"that part of a plain pass. {RATIOS}",
            compared(list(guess_panels(guessed))),
        ),
        Plot(
            "load",
            "Throughput and latency",
            "Tokens of all requests a second over what each request waits, load by load; upper left is better, and "
            "beyond the knee more load costs more waiting than it brings.",
            tuple(load_panels(found)),
        ),
        Plot(
            "context",
            "Memory by context",
            "Bytes of the key-value cache by length of the prompt.",
            compared(list(memory_panels(found))),
        ),
    )
    words = [
        *best_sentences(found, base),
        *(g.words() for g in guessed if not g.synthetic),
        *curve_sentences(guessed),
        *batching_sentences(found),
    ]
    return Study(
        "Generation", tuple(filter(None, words)), tuple(tables), tuple(plot for plot in plots if plot.says_something)
    )


def _plain(answer: Answer, among: Sequence[Answer]) -> Iterator[Answer]:
    return (a for a in among if a.implementation == answer.implementation and a.case == answer.plain)


def memory_panels(found: Sequence[Answer]) -> Iterator[Panel]:
    """A panel for each layout and batch, a line for each dtype and format."""
    grouped: dict[str, dict[str, dict[int, float]]] = {}
    for a in found:
        cache, case = a.result.number("kv_cache_bytes"), a.case
        if cache and case.batching == "static":
            panel = grouped.setdefault(f"{case.layout}, batch {case.batch}", {})
            panel.setdefault(f"{DTYPES[case.dtype]} {case.cache}", {})[case.prompt_len] = cache
    for title, lines in grouped.items():
        curves = tuple(
            Curve(label, tuple(PlotPoint(x, y) for x, y in sorted(points.items())))
            for label, points in lines.items()
            if len(points) > 1
        )
        if curves:
            yield Panel("lines", title, "prompt_len", "key-value cache", "B", curves)
