"""Throughput over latency, load by load: a curve for each way of serving, with its knee."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.labels import label_cases
from attnlab.bench.llm.generation.arrivals import TOGETHER, Arrivals
from attnlab.bench.reporters.model.answers import Answer
from attnlab.bench.reporters.model.logged import Logged
from attnlab.bench.reporters.model.plots import Callout, Curve, Panel, PlotPoint
from attnlab.bench.stats.knee import knee

THROUGHPUT = "output_tok_per_s"


@dataclass(frozen=True)
class Load:
    """One result under load: how much, what that is called, and what of its case is not the load."""

    amount: float
    label: str
    rest: Case
    answer: Logged

    def point(self, metric: str) -> PlotPoint | None:
        """None where either quantity was not measured."""
        a = self.answer
        waited, rate = a.result.number(metric), a.result.number(THROUGHPUT)
        if not waited or not rate:
            return None
        return PlotPoint(waited, rate, implementation=a.implementation, case=a.result.case.case_id, label=self.label)


@dataclass(frozen=True)
class Ladder:
    """Loads of one way of serving, from the least to the largest, with what each costs; bend: the knee among them."""

    name: str
    loads: tuple[Load, ...]
    points: tuple[PlotPoint, ...]
    bend: int | None


def load_panels(found: Sequence[Answer]) -> Iterator[Panel]:
    """One panel where the load is the rate of arrivals, over TTFT; one where it is the batch, over TPOT."""
    rates = [_of_rate(a) for a in found if a.case.arrivals.per_second]
    batches = [_of_batch(a) for a in found if a.case.arrivals.kind == TOGETHER and a.case.requests == a.case.batch]
    yield from load_panel("by rate of arrivals", "time to first token", ladders(rates, "ttft_ns"))
    if any(load.amount > 1 for load in batches):
        yield from load_panel("by size of the batch", "time per output token", ladders(batches, "tpot_ns"))


def _of_rate(a: Answer) -> Load:
    rate = a.case.arrivals.per_second
    return Load(rate, f"{rate:g}/s", replace(a.case, arrivals=Arrivals(TOGETHER), requests=a.case.batch), a)


def _of_batch(a: Answer) -> Load:
    return Load(a.case.batch, f"B{a.case.batch}", replace(a.case, batch=1, requests=1), a)


def ladders(loads: Sequence[Load], metric: str) -> tuple[Ladder, ...]:
    """Each way of serving with the loads at which throughput and the metric, a latency, are known."""
    found = []
    for name, members in by_way(loads).items():
        rising = sorted(members, key=lambda load: load.amount)
        known = [(load, point) for load in rising if (point := load.point(metric)) is not None]
        if known:
            kept, points = zip(*known, strict=True)
            found.append(Ladder(name, kept, points, knee([(p.x, p.y) for p in points])))
    return tuple(found)


def load_panel(title: str, label: str, rising: Sequence[Ladder]) -> Iterator[Panel]:
    """Nothing where no load can be set against another; label: of the latency."""
    bends = [one.points[one.bend] for one in rising if one.bend is not None]
    if sum(len(one.points) for one in rising) > 1:
        yield Panel(
            "curve",
            title,
            label,
            "throughput",
            "tok/s",
            tuple(Curve(one.name, one.points) for one in rising),
            x_unit="ns",
            callouts=tuple(Callout(p.x, "knee", p.y) for p in bends),
            metric=THROUGHPUT,
        )


def by_way(loads: Sequence[Load]) -> Mapping[str, list[Load]]:
    """Loads of one implementation that differ in nothing but the load, by a name that tells them from the others.

    What was measured at one load alone is left out where something else was measured at several.
    """
    grouped: dict[tuple[str, str], list[Load]] = {}
    for load in loads:
        grouped.setdefault((load.answer.implementation, load.rest.id), []).append(load)
    if any(len(members) > 1 for members in grouped.values()):
        grouped = {key: members for key, members in grouped.items() if len(members) > 1}
    labels = label_cases((rest for _, rest in grouped), type(loads[0].rest)).by_id if grouped else {}
    alone = len({rest for _, rest in grouped}) < 2
    return {
        implementation if alone else f"{implementation}, {labels[rest].short}": members
        for (implementation, rest), members in grouped.items()
    }
