"""Answers one by one: what each feels like, against the baseline, and where the first token's time goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.reporters.model.answers import OTHER, WAITING, Answer
from attnlab.bench.reporters.model.logged import first_token_ns, gap_ns, whole_ns
from attnlab.bench.reporters.model.plots import Curve, Panel, PlotPoint
from attnlab.bench.reporters.model.studies import StudyTable
from attnlab.bench.reporters.model.studies._paired import RATIOS, by_case, ratio_text
from attnlab.bench.reporters.model.words import Sentence, known, listed, name, sentence

STRETCHES = 8  # marks on a line of gaps over an answer
PARTS = (WAITING, "tokenise", "prefill", "sample", OTHER)
ANSWERING = ("TTFT", "ITL", "ITL p99", "ICL", "largest stall", "tok/s", "decode of bandwidth")


def best_sentences(found: Sequence[Answer], base: str | None) -> Iterator[Sentence]:
    """The best of each case against the baseline; none of those whose guesses are of no drafter."""
    for members in by_case([a for a in found if a.case.decoding.synthetic is None]):
        others = [a for a in members if a.implementation != base]
        plain = next((a for a in members if a.implementation == base), None)
        if plain is None or not others:
            continue
        best = min(others, key=_to_wait)
        told = [
            *known("its first token after {}", best.result.number("ttft_ns"), units.format_time),
            *known("one every {}", best.result.number("itl_ns"), units.format_time),
            *known("no stall over {}", best.result.number("icl_max_ns"), units.format_time),
        ]
        turned = {"first token": best.over(plain, first_token_ns), "gaps": best.over(plain, gap_ns)}
        ratios = [f"{ratio_text(ratio)} in its {what}" for what, ratio in turned.items() if ratio is not None]
        if told:
            against = sentence(f": {listed(ratios)} as fast as ", name(plain.implementation)) if ratios else ()
            yield sentence(
                "On ", name(best.label), ", ", name(best.implementation), f" has {listed(told)}", against, "."
            )


def _to_wait(answer: Answer) -> float:
    """A call's length, or, where that is the arrivals', the time to first token."""
    known = (answer.result.number(name) for name in ("latency_ns", "ttft_ns"))
    return next((value for value in known if value is not None), float("inf"))


def _figures(a: Answer) -> tuple[str, ...]:
    return (
        units.format_time(a.result.number("ttft_ns")),
        units.format_time(a.result.number("itl_ns")),
        units.format_time(a.result.number("itl_p99_ns")),
        units.format_time(a.result.number("icl_ns")),
        units.format_time(a.result.number("icl_max_ns")),
        units.format_number(a.result.number("output_tok_per_s")),
        a.result.share("decode_mbu"),
    )


def answering_tables(found: Sequence[Answer], base: str | None) -> Iterator[StudyTable]:
    """A table for each case that several implementations answered, and one of all others."""
    single: list[Answer] = []
    for members in by_case(found):
        plain = next((a for a in members if a.implementation == base), None)
        if len(members) == 1:
            single += members
        elif plain is None:
            rows = tuple((a.implementation, *_figures(a)) for a in members)
            yield StudyTable(members[0].label, "Medians.", ("implementation", *ANSWERING), rows)
        else:
            headings = (f"TTFT over {base}", f"ITL over {base}", f"whole over {base}")
            yield StudyTable(
                members[0].label,
                f"Medians. {RATIOS}",
                ("implementation", *ANSWERING, *headings),
                tuple((a.implementation, *_figures(a), *_against(a, plain)) for a in members),
            )
    if single:
        rows = tuple((f"{a.implementation}, {a.label}", *_figures(a)) for a in single)
        yield StudyTable("Answered by one implementation", "Medians.", ("result", *ANSWERING), rows)


def _against(answer: Answer, plain: Answer) -> tuple[str, ...]:
    if answer is plain:
        return (units.MISSING,) * 3
    first, gap, whole = (ratio_text(answer.over(plain, figure)) for figure in (first_token_ns, gap_ns, whole_ns))
    return first, gap, units.MISSING if answer.paced else whole


def first_token_tables(found: Sequence[Answer]) -> Iterator[StudyTable]:
    rows = tuple(
        (f"{a.implementation}, {a.label}", *(units.format_time(parts.get(part)) for part in PARTS))
        for a in found
        if (parts := a.parts_of_first_token()) is not None
    )
    if rows:
        caption = "Medians; the last column is what of the time to first token is in none of the others."
        yield StudyTable("Where the time to first token goes", caption, ("result", *PARTS), rows)


def gap_panels(
    found: Sequence[Answer], by_place: Callable[[Answer, int], list[tuple[float, float]]], label: str
) -> Iterator[Panel]:
    for members in by_case(found):
        if len(members) == 1 and members[0].case.requests == 1:
            continue
        curves = []
        for a in members:
            places = by_place(a, max(1, a.case.new_tokens // STRETCHES))
            if len(places) > 1:
                curves.append(Curve(a.implementation, tuple(PlotPoint(x, y) for x, y in places)))
        if curves:
            yield Panel("lines", members[0].label, "token of the answer", label, "ns", tuple(curves), whole=True)


def part_panels(found: Sequence[Answer]) -> Iterator[Panel]:
    """A bar for each answer whose parts were logged."""
    known = [(a, parts) for a in found if (parts := a.parts_of_first_token()) is not None]
    curves = []
    for part in PARTS:
        timed = [(row, a, value) for row, (a, parts) in enumerate(known) if (value := parts.get(part))]
        points = (PlotPoint(v, row, None, None, a.implementation, a.case.id) for row, a, v in timed)
        curves += [Curve(part, tuple(points))] if timed else []
    if curves:
        rows = tuple(f"{a.implementation}, {a.label}" for a, _ in known)
        yield Panel("bars", "all cases", "time to first token", "", "ns", tuple(curves), rows, metric="ttft_ns")
