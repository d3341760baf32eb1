"""Rows of a run's measurements, made of one after another while it is at hand: few of them are kept with their samples.

A row of a case whose implementations were timed by one method is as its measurement says by itself, but for its
baseline. Others are restated, for which the measurements of the case are read once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from attnlab.bench.analysis.columns import flags_of, of_row
from attnlab.bench.analysis.metrics import (
    Baselines,
    Figures,
    Panel,
    baselines_of,
    figured,
    figured_of,
    in_rows,
    without_pace,
)
from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.llm.generation.events import broken_log
from attnlab.bench.measuring.common_clock import of_one_clock, under_one_clock
from attnlab.bench.store.records import Measurement, RunRecord
from attnlab.bench.store.run_folder import Line

BESIDE: dict[str, Any] = {
    "launches": (),
    "turns": (),
    "check": None,
    "detail": None,
    "printed": None,
    "printed_bytes": None,
    "phases_ns": {},
}
"""Fields of a measurement that its outline lacks, and what stands there instead."""


class Sketch(NamedTuple):
    """A measurement without its samples, and what its row has by itself.

    broken: why its log cannot be; None where it can.
    """

    line: Line
    outline: Measurement
    values: dict[str, Any]
    figures: Figures
    broken: str | None


class Sketches:
    """The measurements of a run, of one implementation and case the last."""

    def __init__(self, run: RunRecord, metrics: Sequence[Metric]) -> None:
        self._run = run
        self._metrics = metrics
        self._panel = Panel(metrics)
        self._kept: dict[tuple[str, str, str], Sketch] = {}

    def add(self, line: Line, measurement: Measurement) -> None:
        """Take in what a line holds."""
        row = Row(self._run, without_pace(measurement))
        values, figures = of_row(row), self._panel.alone(row)
        outline = outline_of(measurement)
        self._kept[measurement.key] = Sketch(line, outline, values, figures, broken_log(measurement))

    def rows(self) -> Iterator[tuple[Sketch, dict[str, Any]]]:
        """Each with the columns that `of_row` and the metrics fill, as `figured_of` shows it beside the others."""
        cases: dict[tuple[str, str], list[Sketch]] = {}
        for sketch in self._kept.values():
            cases.setdefault((sketch.outline.operator, sketch.outline.case_id), []).append(sketch)
        baselines = baselines_of(self._run)
        made: dict[int, dict[str, Any]] = {}
        for case in cases.values():
            made |= {s.line.number: values for s, values in zip(case, self._of_case(case, baselines), strict=True)}
        for sketch in self._kept.values():
            yield sketch, made[sketch.line.number]

    def _of_case(self, case: Sequence[Sketch], baselines: Baselines) -> list[dict[str, Any]]:
        outlines = [sketch.outline for sketch in case]
        if not of_one_clock(outlines):
            whole = [held for sketch in case if isinstance(held := sketch.line.held(), Measurement)]
            return [of_row(row) | values for row, values in figured_of(self._run, whole, self._metrics)]
        rows = in_rows(self._run, [without_pace(m) for m in under_one_clock(outlines)], baselines)
        return [self._filled(sketch, row) for sketch, row in zip(case, rows, strict=True)]

    def _filled(self, sketch: Sketch, row: Row) -> dict[str, Any]:
        shown, values = figured(row, sketch.figures | self._panel.beside(row), sketch.broken)
        values |= sketch.values
        values["flags"] = flags_of(shown.measurement)
        return values


_outlines = msgspec.json.Decoder(Measurement)


def outlined(outline: str) -> Measurement:
    """The measurement that a row keeps the outline of: without samples, turns, check and what it said."""
    return _outlines.decode(outline)


def outline_of(measurement: Measurement) -> Measurement:
    """As `outlined`, of a measurement that was read."""
    return msgspec.structs.replace(measurement, **BESIDE)  # type: ignore[type-var]
