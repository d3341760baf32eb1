"""What a metric is: a number or a word worked out from one stored measurement."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from attnlab.bench import units
from attnlab.bench.contract.beyond import Remark
from attnlab.bench.contract.discovery import UNRANKED
from attnlab.bench.contract.roofline import OF_SEVERAL_DEVICES, measured_light, published_light
from attnlab.bench.store.record import record
from attnlab.bench.store.records import Measurement, Outcome, RunRecord
from attnlab.bench.text import one_line, reason_of

if TYPE_CHECKING:
    from attnlab.bench.contract.roofline import SpeedOfLight

Value = float | str | None


@record
class Row:
    """What a metric is worked out from: a measurement, its run, and its baseline in that run."""

    run: RunRecord
    measurement: Measurement
    baseline: Measurement | None = None

    @property
    def passed(self) -> bool:
        return self.measurement.outcome is Outcome.PASSED

    @property
    def timed(self) -> bool:
        """Whether there is a time; a result that did not pass has none."""
        return self.measurement.median_ns is not None

    def measured_light(self) -> SpeedOfLight | None:
        """The least time of this case at the rates measured on the device."""
        return self._measured_light

    @cached_property
    def _measured_light(self) -> SpeedOfLight | None:
        operations, bytes_moved, dtype = self._costs()
        written = self.measurement.bytes_written
        return None if dtype is None else measured_light(self.run.ceilings, operations, bytes_moved, dtype, written)

    def published_light(self) -> SpeedOfLight | None:
        """The least time of this case at the rates that the device's data sheet gives."""
        operations, bytes_moved, dtype = self._costs()
        return None if dtype is None else published_light(self.run.ceilings, operations, bytes_moved, dtype)

    def _costs(self) -> tuple[int, int, str | None]:
        m = self.measurement
        of_several = m.timing is not None and m.timing.clock == OF_SEVERAL_DEVICES
        if of_several or (not m.operations and not m.bytes_moved):
            return 0, 0, None
        return m.operations or 0, m.bytes_moved or 0, m.case.get("dtype")


class Figure(NamedTuple):
    """What a metric says of one row: its value, what is wrong with that, and how the metric fails."""

    value: Value = None
    remark: Remark | None = None
    fault: str | None = None


NO_FIGURE = Figure()


@dataclass(frozen=True)
class Metric:
    """A derived quantity, shown as a column of every table.

    unit: `ns`, `B`, `share`, `ratio`, another unit as text, or "" for a word. direction: which way is
    better. `compute` gets a row and returns None where the quantity was not measured. `remark` says what is wrong
    with a row's value where that is more than there can be. Metrics are shown by rising `rank`, which no two share;
    those without one come in the order in which they were registered. Unless `of_any_outcome`, a result that may not
    have a speed has no value, whatever `compute` says: no figure of speed is shown for a wrong result. Of an unchecked
    result, what `compute` cannot tell is what its tool reported under the metric's name. `needs`: quantities without
    any of which `compute` gives None, so that it need not be asked; () where it is always asked. of_baseline: whether
    `compute` asks for the row's baseline.
    """

    name: str
    label: str
    unit: str
    direction: Literal["higher", "lower", "neither"]
    summary: str
    formula: str
    compute: Callable[[Row], Value]
    rank: int = UNRANKED
    of_any_outcome: bool = False
    remark: Callable[[Row], Remark | None] | None = None
    needs: tuple[str, ...] = ()
    of_baseline: bool = False

    def tells_of(self, measurement: Measurement) -> bool:
        """Whether there may be a value, told by the outcome and by what was measured."""
        if not (measurement.outcome.may_have_speed or self.of_any_outcome):
            return False
        return not self.needs or bool(measurement.reported) or any(name in measurement.series for name in self.needs)

    def value(self, row: Row) -> Value:
        """The row's value; None where it was not measured, is undefined, may not be shown, or the metric fails."""
        try:
            return self._answer(row) if self.tells_of(row.measurement) else None
        except Exception:  # noqa: BLE001 - a plugin's metric is foreign code
            return None

    def remark_on(self, row: Row) -> Remark | None:
        """What is wrong with the row's value; None where nothing is, or where none is shown."""
        return self.figure(row).remark

    def fault_on(self, row: Row) -> str | None:
        """That the metric fails on the row, and how; the row's other figures are shown without it."""
        return self.figure(row).fault

    def figure(self, row: Row) -> Figure:
        """All that the metric says of a row, worked out once."""
        return self.asked(row) if self.tells_of(row.measurement) else NO_FIGURE

    def asked(self, row: Row) -> Figure:
        """As `figure`, of a row of whose measurement `tells_of` was asked already."""
        found = None
        try:
            found = self._answer(row)
            if found is None:
                return NO_FIGURE
            return Figure(found) if self.remark is None else Figure(found, self.remark(row))
        except Exception as error:  # noqa: BLE001 - a plugin's metric is foreign code
            return Figure(found, fault=self._failing(error))

    def _failing(self, error: Exception) -> str:
        return f"metric {self.name!r} fails ({reason_of(error)})"

    def _answer(self, row: Row) -> Value:
        """What foreign code gives may be of any class; raises whatever it raises."""
        found = self.compute(row)
        if found is None:
            found = row.measurement.reported.get(self.name)
        if found is None or isinstance(found, str):
            return found and one_line(found)
        return float(found) if math.isfinite(found) else None

    def text(self, row: Row) -> str:
        """The row's value with its unit, and what is wrong with it."""
        return remarked(units.format_value(self.value(row), self.unit), self.remark_on(row))


def remarked(text: str, remark: Remark | None) -> str:
    """`142 % (in a cache)`."""
    return text if remark is None else f"{text} ({remark.short})"


def of_measurement(compute: Callable[[Measurement], Value]) -> Callable[[Row], Value]:
    """The `compute` of a metric that needs nothing but the measurement, which others work out from it as well."""
    return lambda row: compute(row.measurement)
