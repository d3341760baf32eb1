"""Speculative decoding: guesses that pay, each result beside plain decoding by the same implementation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench.reporters.model.plots import Curve, Panel, PlotPoint
from attnlab.bench.reporters.model.studies import StudyTable
from attnlab.bench.reporters.model.studies._guess import SpeculativeResult
from attnlab.bench.reporters.model.studies._guess_curve import curves_of
from attnlab.bench.reporters.model.studies._paired import RATIOS


def guess_tables(guessed: Sequence[SpeculativeResult]) -> Iterator[StudyTable]:
    if guessed:
        yield StudyTable(
            "Speculative decoding",
            f"{RATIOS} Near-ties are tokens that the reference holds second, within the noise.",
            (
                "method",
                "dtype",
                "speed-up",
                "accepted",
                "tokens a pass",
                "by place, %",
                "plain pass",
                "verify pass",
                "draft pass",
                "near-ties",
            ),
            tuple(guess.row() for guess in guessed),
        )


def guess_panels(guessed: Sequence[SpeculativeResult]) -> Iterator[Panel]:
    """Marks of what was measured; points of synthetic guesses that differ in their chances alone are joined."""
    grouped: dict[str, list[Curve]] = {}
    joined: set[str] = set()
    for curve in curves_of(guessed):
        label = panel_label(curve.points[0])
        joined.add(label)
        points = tuple(PlotPoint(g.rate, g.speedup.median) for g in curve.points if g.rate is not None and g.speedup)
        grouped.setdefault(label, []).append(Curve(curve.label, points))
    for g in guessed:
        if g.rate and g.speedup is not None and not g.synthetic:
            point = PlotPoint(g.rate, g.speedup.median)
            grouped.setdefault(panel_label(g), []).append(Curve(g.short_label, (point,)))
    for label, curves in grouped.items():
        kind, scale = ("curve", "linear") if label in joined else ("scatter", None)
        yield Panel(kind, label, "guesses accepted", "speed-up", "ratio", tuple(curves), x_unit="share", scale=scale)


def panel_label(guess: SpeculativeResult) -> str:
    return f"{guess.answer.case.prompts}, {guess.answer.case.dtype}"
