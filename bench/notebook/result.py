"""What `measure` gives: figures, a table, a DataFrame, a plot, and a run to store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench import html_table, text_table, units
from attnlab.bench.analysis.frame import frame
from attnlab.bench.analysis.metrics import known_metrics, rows_of
from attnlab.bench.contract.metric import Metric, Row, remarked
from attnlab.bench.contract.registry import Registry
from attnlab.bench.errors import UsageError
from attnlab.bench.measuring.turn_ratios import in_one_process
from attnlab.bench.stats.rounds import Ratio
from attnlab.bench.store.records import Measurement, Outcome, RunRecord
from attnlab.bench.store.run_folder import RunWriter, StoredRun
from attnlab.bench.text import count

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NOT_STORED = Path("not stored")
INSTEAD = "speedup"  # of the metrics: the ratio by rounds is shown in its place


@dataclass(frozen=True)
class MeasureResult:
    """A function, measured on one case or several, alone or beside others; true where it passed on all.

    implementation: what the function is called. Figures of a single case are attributes; of several ask `rows` or
    `frame`. A result that did not pass has no time.
    """

    run: RunRecord
    measurements: tuple[Measurement, ...]
    implementation: str
    registry: Registry

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.own_rows)

    def __bool__(self) -> bool:
        return self.passed

    @property
    def outcome(self) -> Outcome:
        """What came of the function; of several cases, the first that is not passed."""
        return next((row.measurement.outcome for row in self.own_rows if not row.passed), Outcome.PASSED)

    @property
    def verdict(self) -> str:
        """`passed`, `wrong values`, `failed`, …"""
        return _words(self.outcome)

    @property
    def reason(self) -> str | None:
        """Why it did not pass."""
        return next((row.measurement.reason for row in self.own_rows if not row.passed), None)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """One for each implementation and case, case by case and in the order in which they were given."""
        cases = [case for bench in self.run.benches for case in bench.cases]
        names = [name for bench in self.run.benches for name in bench.implementations]
        found = rows_of(self.run, self.measurements)
        return tuple(
            sorted(found, key=lambda r: (cases.index(r.measurement.case_id), names.index(r.measurement.implementation)))
        )

    @property
    def own_rows(self) -> list[Row]:
        """Those of the function."""
        return [row for row in self.rows if row.measurement.implementation == self.implementation]

    @property
    def median_ns(self) -> float | None:
        """The median of one call."""
        return self._one().measurement.median_ns

    @property
    def interval_ns(self) -> tuple[float, float] | None:
        """The median's 95 % interval within one process; None where none is claimed."""
        m = self._one().measurement
        return None if m.ci_low_ns is None or m.ci_high_ns is None else (m.ci_low_ns, m.ci_high_ns)

    @property
    def share_of_ceiling(self) -> float | None:
        """The least time that the device's measured ceilings allow, over the median."""
        return self._number("share_of_ceiling")

    @property
    def error_of_budget(self) -> float | None:
        """The largest error over what the contract allows; 1 is the limit."""
        return self._number("error_of_budget")

    @property
    def flags(self) -> tuple[str, ...]:
        """What to know of how it was measured."""
        return tuple(dict.fromkeys(flag for row in self.own_rows for flag in row.measurement.flags))

    @property
    def speedups(self) -> dict[str, Ratio]:
        """By how much the function is faster than each of the others: their time over its, paired by rounds."""
        mine = self._one()
        others = {row.measurement.implementation: self.speedup(mine, row) for row in self.rows if row is not mine}
        return {name: ratio for name, ratio in others.items() if ratio is not None}

    @staticmethod
    def speedup(mine: Row, other: Row) -> Ratio | None:
        """The time of `other` over that of `mine` on one case; None where one has none."""
        return in_one_process(other.measurement, mine.measurement) if mine.timed and other.timed else None

    @property
    def stored(self) -> StoredRun:
        """As a run that was read from a folder."""
        return StoredRun(NOT_STORED, self.run, self.measurements)

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each implementation and case, as `load` gives it."""
        return frame([self.stored])

    def plot(self, **options: Any) -> Figure:
        """As `attnlab.bench.plot` of the frame."""
        from attnlab.bench.notebook.plotting import plot

        return plot(self, **options)

    def save(self, path: Path | str) -> Path:
        """Store it as a run in a folder of its own below `path`, which is returned; nothing is overwritten.

        Raises StoreError where nothing can be written there.
        """
        writer = RunWriter.create(Path(path), self.run)
        try:
            for measurement in self.measurements:
                writer.append(measurement)
        finally:
            writer.close()
        return writer.folder

    def __repr__(self) -> str:
        headings, body = self._table()
        lines = [self._title(), *text_table.fitted([headings, *body], (0, 1, 2), text_table.terminal_width())]
        return "\n".join([*lines, *(f"  {note}" for note in self._notes())])

    def _repr_html_(self) -> str:
        headings, body = self._table()
        parts = [html_table.paragraph(self._title(), bold=True), html_table.table(headings, body, (0, 1, 2))]
        details = [row.measurement.detail for row in self.own_rows if row.measurement.detail]
        parts += map(html_table.paragraph, self._notes())
        parts += [html_table.folded("traceback", html_table.preformatted(detail)) for detail in details[:1]]
        return html_table.page(parts)

    def _one(self) -> Row:
        own = self.own_rows
        if len(own) != 1:
            raise UsageError(f"got a figure of {count(len(own), 'case')}; expected one case: ask `rows` or `frame`")
        return own[0]

    def _number(self, metric: str) -> float | None:
        value = next(m.value(self._one()) for m in known_metrics(self.registry) if m.name == metric)
        return value if isinstance(value, float) else None

    def _title(self) -> str:
        bench = self.run.benches[0]
        cases = bench.cases[0] if len(bench.cases) == 1 else f"in {len(bench.cases)} cases"
        device = self.run.environment.device
        threads = f", {count(self.run.environment.threads or 1, 'thread')}" if device.kind == "cpu" else ""
        why = f": {self.reason}" if self.reason else ""
        return f"{self.verdict}: {self.implementation} on {bench.operator} {cases}, {device.name}{threads}{why}"

    def _table(self) -> tuple[list[str], list[list[str]]]:
        figures = list(self._figures())
        many = len(self.run.benches[0].cases) > 1
        headings = ["verdict", "implementation", *(["case"] if many else [])]
        for metric in figures:
            unit = units.heading_unit(metric.unit)
            headings.append(f"{metric.label}, {unit}" if unit else metric.label)
            headings += ["95 % interval"] if metric.name == "latency_ns" else []
        others = len(self.run.benches[0].implementations) > 1
        headings += [f"speed-up of {self.implementation}"] if others else []
        mine = {row.measurement.case_id: row for row in self.own_rows}
        body = []
        for row in self.rows:
            m = row.measurement
            cells = [_words(m.outcome), m.implementation, *([m.case_id] if many else [])]
            for metric in figures:
                cells.append(remarked(units.format_cell(metric.value(row), metric.unit), metric.remark_on(row)))
                cells += [units.format_interval(m.ci_low_ns, m.ci_high_ns, "ns")] if metric.name == "latency_ns" else []
            ratio = self.speedup(mine[m.case_id], row) if row is not mine[m.case_id] else None
            body.append([*cells, *([_ratio_text(ratio)] if others else [])])
        return headings, body

    def _figures(self) -> Iterator[Metric]:
        """The operator's headlines, as far as any row has them."""
        known = {metric.name: metric for metric in known_metrics(self.registry)}
        for name in self.registry.operators.get(self.run.benches[0].operator).headlines:
            if name != INSTEAD and name in known and any(known[name].value(row) is not None for row in self.rows):
                yield known[name]

    def _notes(self) -> Iterator[str]:
        """Faults of the others, then flags with whose they are."""
        for row in self.rows:
            m = row.measurement
            if m.implementation != self.implementation and not row.passed:
                yield f"{m.implementation}: {_words(m.outcome)}: {m.reason}"
        whose: dict[str, dict[str, None]] = {}
        for row in self.rows:
            for flag in row.measurement.flags:  # without the figures in its brackets, which differ from one to the next
                whose.setdefault(flag.partition(" (")[0], {})[row.measurement.implementation] = None
        yield from (f"{', '.join(names)}: {flag}" for flag, names in whose.items())


def _words(outcome: Outcome) -> str:
    return outcome.value.replace("_", " ")


def _ratio_text(ratio: Ratio | None) -> str:
    """`1.23× (1.20× to 1.26×)`."""
    if ratio is None:
        return units.MISSING
    bounds = f" ({units.format_interval(ratio.low, ratio.high, 'ratio')})" if ratio.low and ratio.high else ""
    return f"{units.format_ratio(ratio.median)}{bounds}"
