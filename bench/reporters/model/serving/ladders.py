"""Servers as load rises: throughput over latency with the knee, and what of the load is answered in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.reporters.model.loads import Ladder, Load, by_way, ladders, load_panel
from attnlab.bench.reporters.model.plots import Curve, Panel, PlotPoint
from attnlab.bench.reporters.model.serving.results import ServedResult
from attnlab.bench.reporters.model.words import Sentence, name, sentence

WAITED = "ttft_ns"
OFFERED = "offered"
RATES = {OFFERED: "offered_per_s", "answered": "answered_per_s", "goodput": "goodput_per_s"}
LEAST_LOADS = 3  # of fewer no knee can be told
AS_GOOD = 0.98  # of the most that is answered in time: a heavier load that brings no more than that is none to name


@dataclass(frozen=True)
class Rising:
    """Loads of one kind. label: of its amount. closed: whether a request waits for one before it to be answered."""

    title: str
    label: str
    loads: tuple[Load, ...]
    closed: bool = False

    @property
    def ladders(self) -> tuple[Ladder, ...]:
        return ladders(self.loads, WAITED)


def rising(found: Sequence[ServedResult]) -> list[Rising]:
    """Loads by rate, and loads by requests at a time."""
    rates = tuple(Load(r.rate, f"{r.rate:g}/s", r.without_load, r) for r in found if r.rate is not None)
    held = tuple(Load(r.at_once, f"{r.at_once}", r.without_load, r) for r in found if r.at_once is not None)
    kinds = (
        Rising("by rate of requests", "requests sent a second", rates),
        Rising("by requests at a time", "requests at a time", held, closed=True),
    )
    return [kind for kind in kinds if len(kind.loads) > 1]


def knee_sentences(kinds: Sequence[Rising]) -> Iterator[Sentence]:
    for kind in kinds:
        for ladder in kind.ladders:
            if len(ladder.loads) >= LEAST_LOADS:
                yield _bend(kind, ladder) if ladder.bend is not None else _no_bend(kind, ladder)


def _bend(kind: Rising, ladder: Ladder) -> Sentence:
    """Where it is, and what the next load costs and brings."""
    place = ladder.bend or 0
    at, point = ladder.loads[place], ladder.points[place]
    told = f"{units.format_number(point.y)} tok/s and a first token after {units.format_time(point.x)}"
    more = ""
    if place + 1 < len(ladder.points):
        beyond, after = ladder.points[place + 1], ladder.loads[place + 1]
        more = (
            f"; {after.label} brings {units.format_ratio(beyond.y / point.y)} the tokens a second "
            f"for {units.format_ratio(beyond.x / point.x)} the wait"
        )
    return sentence(f"{_capital(kind)}, ", name(ladder.name), f" has its knee at {at.label}: {told}{more}.")


def _no_bend(kind: Rising, ladder: Ladder) -> Sentence:
    least, most = ladder.loads[0].label, ladder.loads[-1].label
    return sentence(f"{_capital(kind)}, ", name(ladder.name), f" shows no knee from {least} to {most}.")


def _capital(kind: Rising) -> str:
    return kind.title.capitalize()


def load_panels(kinds: Sequence[Rising]) -> Iterator[Panel]:
    for kind in kinds:
        yield from load_panel(kind.title, "time to first token", kind.ladders)


def goodput_panels(kinds: Sequence[Rising]) -> Iterator[Panel]:
    """For each way of serving: what was offered, what of it was answered, and what of that was in time."""
    for kind in kinds:
        for way, loads in by_way(kind.loads).items():
            members = sorted(loads, key=lambda load: load.amount)
            curves = []
            for label, metric in RATES.items():
                if label == OFFERED and kind.closed:
                    continue  # of a closed loop no more comes than is answered
                points = tuple(
                    PlotPoint(
                        load.amount, value, None, None, load.answer.implementation, load.answer.result.case.case_id
                    )
                    for load in members
                    if (value := load.answer.result.number(metric)) is not None
                )
                curves += [Curve(label, points)] if len(points) > 1 else []
            if any(curve.name == "goodput" for curve in curves):
                yield Panel("lines", f"{way}, {kind.title}", kind.label, "requests a second", "req/s", tuple(curves))


def goodput_sentences(kinds: Sequence[Rising]) -> Iterator[Sentence]:
    """The load at which most requests a second are answered in time."""
    for kind in kinds:
        for way, loads in by_way(kind.loads).items():
            known = [
                (value, load) for load in loads if (value := load.answer.result.number("goodput_per_s")) is not None
            ]
            if len(known) < 2:
                continue
            most = max(value for value, _ in known)
            if most > 0:
                best, at = min((pair for pair in known if pair[0] >= AS_GOOD * most), key=lambda pair: pair[1].amount)
                told = f" answers most in time at {at.label}: {units.format_number(best)} requests a second"
                yield sentence(f"{_capital(kind)}, ", name(way), f"{told}.")
            else:
                yield sentence(f"{_capital(kind)}, ", name(way), " answers no request in time at any load.")
