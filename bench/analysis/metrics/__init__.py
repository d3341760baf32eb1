"""Derived quantities: one metric a file, each a number or a word worked out from one stored measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from attnlab.bench.contract.beyond import DOUBTED
from attnlab.bench.contract.discovery import import_all
from attnlab.bench.contract.metric import NO_FIGURE, Figure, Metric, Row, Value
from attnlab.bench.contract.registry import Registry, registry
from attnlab.bench.llm.generation.events import broken_log
from attnlab.bench.measuring.common_clock import under_common_clocks
from attnlab.bench.store.records import Measurement, Outcome, RunRecord
from attnlab.bench.store.run_folder import latest


class Figured(NamedTuple):
    """A row, and the value of each metric that has one, by the metric's name."""

    row: Row
    values: dict[str, Value]


Figures = dict[str, Figure]
"""What metrics say of a row, by their names, of those that say something."""
Baselines = dict[tuple[str, str], str]
"""Names of implementations by operator and case."""


def rows_of(run: RunRecord, measurements: Sequence[Measurement]) -> list[Row]:
    """A row for each implementation and case of one run, the latest where one was measured again.

    The measurements of a case are shown by one clock, the best that all of them have samples of.
    """
    return [figured.row for figured in figured_of(run, measurements, known_metrics())]


def figured_of(run: RunRecord, measurements: Sequence[Measurement], metrics: Sequence[Metric]) -> list[Figured]:
    """As `rows_of`, with the values of these metrics, which are asked once."""
    panel = Panel(metrics)
    kept = [without_pace(m) for m in under_common_clocks(latest(measurements))]
    rows = in_rows(run, kept, baselines_of(run))
    return [figured(row, panel.alone(row) | panel.beside(row), broken_log(row.measurement)) for row in rows]


def baselines_of(run: RunRecord) -> Baselines:
    """The baselines of a run's cases."""
    return {
        (bench.operator, case_id): bench.baseline
        for bench in reversed(run.benches)
        if bench.baseline is not None
        for case_id in bench.cases
    }


def in_rows(run: RunRecord, measurements: Sequence[Measurement], baselines: Baselines) -> list[Row]:
    """A row for each measurement, with its baseline where that is among them."""
    found = {m.key: m for m in measurements}
    return [
        Row(run, m, found.get((m.operator, baselines.get((m.operator, m.case_id), ""), m.case_id)))
        for m in measurements
    ]


class Panel:
    """Metrics, of which each row is asked those that may tell of its measurement."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._alone = [metric for metric in metrics if not metric.of_baseline]
        self._beside = [metric for metric in metrics if metric.of_baseline]
        self._telling: dict[tuple[bool, bool, frozenset[str]], list[Metric]] = {}

    def alone(self, row: Row) -> Figures:
        """Figures of its measurement alone."""
        m = row.measurement
        kind = m.outcome.may_have_speed, bool(m.reported), frozenset(m.series)  # all by which `tells_of` judges
        if kind not in self._telling:
            self._telling[kind] = [metric for metric in self._alone if metric.tells_of(m)]
        return _figures(row, self._telling[kind])

    def beside(self, row: Row) -> Figures:
        """Figures for which its baseline is needed."""
        return _figures(row, [metric for metric in self._beside if metric.tells_of(row.measurement)])


def _figures(row: Row, metrics: Sequence[Metric]) -> Figures:
    return {metric.name: figure for metric in metrics if (figure := metric.asked(row)) is not NO_FIGURE}


def figured(row: Row, figures: Figures, broken: str | None) -> Figured:
    """The row with its figures, and with what is wrong with them among the flags; broken: why its log cannot be."""
    kept = [flag for flag in row.measurement.flags if not flag.startswith(DOUBTED)]
    if broken is not None:
        kept.append(f"its log cannot be, so that no figure is made of it: {broken}")
    said = [figure.remark.words for figure in figures.values() if figure.remark is not None]
    faults = [figure.fault for figure in figures.values() if figure.fault is not None]
    flags = tuple(dict.fromkeys((*kept, *said, *faults)))
    values = {name: figure.value for name, figure in figures.items()}
    if flags == row.measurement.flags:
        return Figured(row, values)
    return Figured(replace(row, measurement=replace(row.measurement, flags=flags)), values)


def without_pace(m: Measurement) -> Measurement:
    """The measurement, without a latency where the length of its calls is none, as in runs of earlier versions."""
    if m.paced is None or m.outcome is not Outcome.PASSED:
        return m
    return replace(m, median_ns=None, ci_low_ns=None, ci_high_ns=None, untimed=m.untimed or m.paced)


def with_remarks(row: Row) -> Row:
    """The row with what is wrong with its figures among the flags, by the ceilings and the rules that there are now."""
    panel = Panel(known_metrics())
    return figured(row, panel.alone(row) | panel.beside(row), broken_log(row.measurement)).row


def own_metrics() -> list[Metric]:
    """The metrics that come with the harness, as `known_metrics` orders them."""
    return [metric for metric in known_metrics() if registry.metrics.module(metric.name).startswith(f"{__name__}.")]


def known_metrics(source: Registry = registry) -> list[Metric]:
    """All metrics, ours and those of loaded plugins, in the order in which they are shown."""
    import_all(__name__)
    return sorted(source.metrics, key=lambda metric: metric.rank)
