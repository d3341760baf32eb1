"""Prefix caches: the same load on cold and on warm ones, and how much of the prompts the server took from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.ops.serve.case import AS_IT_IS, COLD, WARM
from attnlab.bench.reporters.model.logged import first_token_ns
from attnlab.bench.reporters.model.plots import Curve, Panel, PlotPoint
from attnlab.bench.reporters.model.serving.results import ServedResult
from attnlab.bench.reporters.model.studies import StudyTable
from attnlab.bench.reporters.model.studies._paired import ratio_text
from attnlab.bench.reporters.model.words import Sentence, known, listed, name, sentence

CAPTION = (
    "Cold: each prompt is made unique. Warm: the prompts were sent before. As it comes: neither was seen to. Cached: "
    "the share of all prompt tokens that the server says it took from its cache."
)

STATES = {COLD: "cold", WARM: "warm", AS_IT_IS: "as it comes"}

Group = dict[str, ServedResult]
"""By the state of the cache."""


def groups(found: Sequence[ServedResult]) -> list[tuple[ServedResult, Group]]:
    """Results that differ in nothing but the state of the cache, where there are two or more, with one of them."""
    made: dict[tuple[str, str], Group] = {}
    for r in found:
        made.setdefault((r.implementation, r.without_prefix.id), {})[r.case.prefix] = r
    return [(next(iter(group.values())), group) for group in made.values() if len(group) > 1]


def cache_sentences(found: Sequence[ServedResult]) -> Iterator[Sentence]:
    for one, group in groups(found):
        cold, warm = group.get(COLD), group.get(WARM)
        if cold is None or warm is None:
            continue
        ratio = warm.over(cold, first_token_ns)
        told = [f"is {ratio_text(ratio)} as fast"] if ratio is not None else []
        told += _medians(cold, warm)
        share = known("{} of the prompts' tokens were cached", warm.cached_share, units.format_share)
        if told:
            yield sentence(
                "With a warm prefix cache the first token of ",
                name(one.implementation),
                " on ",
                name(warm.label),
                f" {listed(told)}{f'; {share[0]}' if share else ''}.",
            )


def _medians(cold: ServedResult, warm: ServedResult) -> list[str]:
    sides = [side.result.number("ttft_ns") for side in (warm, cold)]
    if None in sides:
        return []
    return ["comes after {} instead of {}".format(*(units.format_time(side) for side in sides))]


def cache_tables(found: Sequence[ServedResult]) -> Iterator[StudyTable]:
    rows = tuple(
        (
            f"{r.implementation}, {r.label}",
            STATES[r.case.prefix],
            units.format_share(r.cached_share),
            units.format_time(r.result.number("ttft_ns")),
            units.format_time(r.result.number("tpot_ns")),
            units.format_number(r.result.number("output_tok_per_s")),
        )
        for _, group in groups(found)
        for r in group.values()
    )
    if rows:
        headings = ("result", "prefix cache", "cached", "TTFT", "TPOT", "tok/s")
        yield StudyTable("Prefix caches", CAPTION, headings, rows)


def cache_panels(found: Sequence[ServedResult]) -> Iterator[Panel]:
    """A row for each load, a mark for each state of the cache."""
    told = groups(found)
    rows = tuple(f"{one.implementation}, {one.label}" for one, _ in told)
    curves = []
    for state in dict.fromkeys(state for _, group in told for state in group):
        points = tuple(
            PlotPoint(value, row, None, None, r.implementation, r.case_id)
            for row, (_, group) in enumerate(told)
            if (r := group.get(state)) is not None and (value := r.result.number("ttft_ns"))
        )
        curves += [Curve(STATES[state], points)] if points else []
    if curves:
        yield Panel(
            "dots",
            "by state of the prefix cache",
            "time to first token",
            "",
            "ns",
            tuple(curves),
            rows,
            metric="ttft_ns",
        )
