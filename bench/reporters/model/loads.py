"""Throughput over latency, load by load: a curve for each way of serving, with its knee."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from attnlab.bench.contract.labels import label_cases
from attnlab.bench.llm.generation.arrivals import TOGETHER, Arrivals
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.reporters.model.answers import Answer
from attnlab.bench.reporters.model.plots import Callout, Curve, Panel, PlotPoint
from attnlab.bench.stats.knee import knee

THROUGHPUT = "output_tok_per_s"


@dataclass(frozen=True)
class Load:
    """One answer under load: how much, what that is called, and what of its case is not the load."""

    amount: float
    label: str
    rest: GenerateCase
    answer: Answer

    def point(self, metric: str) -> PlotPoint | None:
        """None where either quantity was not measured."""
        a = self.answer
        waited, rate = a.result.number(metric), a.result.number(THROUGHPUT)
        if not waited or not rate:
            return None
        return PlotPoint(waited, rate, implementation=a.implementation, case=a.case.id, label=self.label)


def load_panels(found: Sequence[Answer]) -> Iterator[Panel]:
    """One panel where the load is the rate of arrivals, over TTFT; one where it is the batch, over TPOT."""
    rates = [_of_rate(a) for a in found if a.case.arrivals.per_second]
    batches = [_of_batch(a) for a in found if a.case.arrivals.kind == TOGETHER and a.case.requests == a.case.batch]
    yield from _panel("by rate of arrivals", "ttft_ns", "time to first token", rates)
    if any(load.amount > 1 for load in batches):
        yield from _panel("by size of the batch", "tpot_ns", "time per output token", batches)


def _of_rate(a: Answer) -> Load:
    rate = a.case.arrivals.per_second
    return Load(rate, f"{rate:g}/s", replace(a.case, arrivals=Arrivals(TOGETHER), requests=a.case.batch), a)


def _of_batch(a: Answer) -> Load:
    return Load(a.case.batch, f"B{a.case.batch}", replace(a.case, batch=1, requests=1), a)


def _panel(title: str, metric: str, label: str, loads: Sequence[Load]) -> Iterator[Panel]:
    """Nothing where no load can be set against another."""
    curves, callouts = [], []
    for name, members in _by_way(loads).items():
        points = [p for load in sorted(members, key=lambda load: load.amount) if (p := load.point(metric))]
        bend = knee([(p.x, p.y) for p in points])
        if points:
            curves.append(Curve(name, tuple(points)))
        if bend is not None:
            callouts.append(Callout(points[bend].x, "knee", points[bend].y))
    if sum(len(curve.points) for curve in curves) > 1:
        yield Panel(
            "curve",
            title,
            label,
            "throughput",
            "tok/s",
            tuple(curves),
            x_unit="ns",
            callouts=tuple(callouts),
            metric=THROUGHPUT,
        )


def _by_way(loads: Sequence[Load]) -> Mapping[str, list[Load]]:
    """Loads of one implementation that differ in nothing but the load, by a name that tells them from the others.

    What was measured at one load alone is left out where something else was measured at several.
    """
    grouped: dict[tuple[str, str], list[Load]] = {}
    for load in loads:
        grouped.setdefault((load.answer.implementation, load.rest.id), []).append(load)
    if any(len(members) > 1 for members in grouped.values()):
        grouped = {key: members for key, members in grouped.items() if len(members) > 1}
    labels = label_cases((rest for _, rest in grouped), GenerateCase).by_id
    alone = len({rest for _, rest in grouped}) < 2
    return {
        implementation if alone else f"{implementation}, {labels[rest].short}": members
        for (implementation, rest), members in grouped.items()
    }
