"""A plot of a frame: what a report's plots are described and drawn by, with the axes that are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attnlab.bench.analysis.columns import FIXED
from attnlab.bench.analysis.frame import frame as frame_of
from attnlab.bench.analysis.metrics import known_metrics
from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.labels import label_cases
from attnlab.bench.contract.registry import import_operators, registry
from attnlab.bench.errors import UnknownName, UsageError
from attnlab.bench.reporters.draw.look import marks
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, compared
from attnlab.bench.store.run_folder import StoredRun
from attnlab.bench.text import one_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LATENCY = "median_ns"
BOUNDS = ("ci_low_ns", "ci_high_ns")
IDENTITY = ("operator", "implementation", "case_id", "outcome")
MOST_PANELS = 24  # more are no picture
ROWS_A_PANEL = 12


@runtime_checkable
class HasFrame(Protocol):
    """A result that `measure` gave."""

    @property
    def frame(self) -> pd.DataFrame: ...


@dataclass(frozen=True)
class _Quantity:
    """What is drawn along y: a column, or times over those of a baseline."""

    column: str
    label: str
    unit: str
    baseline: str | None = None
    reference: float | None = None


def plot(
    frame: pd.DataFrame | HasFrame | StoredRun,
    *,
    x: str | None = None,
    y: str | None = None,
    baseline: str | None = None,
    logarithmic: bool | None = None,
) -> Figure:
    """Draw what `load` gives, or a result of `measure`, or a stored run; the figure is matplotlib's.

    x: an axis of whole numbers; where left out the one along which the operator grows, if it varies, else the one with
    most values, and rows of cases where no axis varies. y: a figure such as "speedup", "share_of_ceiling" or
    "error_of_budget"; the latency with its interval where left out. baseline: an implementation, over whose latency the
    others' speed-up is drawn. logarithmic: whether all axes are; as reports have it where left out.

    There is a panel for each operator and each setting of the other axes. Raises UsageError on a frame that holds
    nothing to draw, or what is never compared: times of two devices or clocks, or of several runs of one case.
    """
    from attnlab.bench.reporters.draw.figures import figure_of

    table = _table(frame)
    quantity = _quantity(table, y, baseline)
    kept = _drawn(table, quantity)
    _refuse_what_is_never_compared(kept, quantity)
    if x is not None and x not in _axes(kept):
        raise UnknownName("axis of this frame", x, _axes(kept))
    scale = None if logarithmic is None else "log" if logarithmic else "linear"
    panels = [
        replace(panel, scale=scale)
        for operator in kept["operator"].unique()
        for panel in _panels(kept[kept["operator"] == operator], quantity, x, kept["operator"].nunique() > 1)
    ]
    if len(panels) > MOST_PANELS:
        raise UsageError(f"got {len(panels)} panels; expected {MOST_PANELS} at most: keep a part of the frame")
    names = list(kept["implementation"].unique())
    title = f"{quantity.label[:1].upper()}{quantity.label[1:]}"
    devices = ", ".join(kept["device"].dropna().unique()) if "device" in kept else ""
    made = Plot("frame", f"{title}, {devices}" if devices else title, "", tuple(panels))
    return figure_of(made, marks(names))


def _table(given: Any) -> pd.DataFrame:
    import pandas as pd

    if isinstance(given, StoredRun):
        return frame_of([given])
    if not isinstance(given, pd.DataFrame):
        if isinstance(given, HasFrame):
            return given.frame
        raise UsageError(f"got a {type(given).__name__} to plot; expected what load gives, or a result of measure")
    names = list(given.columns)
    lacking = [name for name in IDENTITY if name not in names]
    if {"quantity", "value"} <= set(names):
        raise UsageError("got a frame of samples; expected load(path), a row for each implementation and case")
    if lacking:
        raise UsageError(f"got a frame without {', '.join(lacking)}; expected what attnlab.bench.load gives")
    return given


def _quantity(table: pd.DataFrame, y: str | None, baseline: str | None) -> _Quantity:
    """Raises UsageError on what no column has, and UnknownName on a baseline that the frame has not."""
    metrics = {metric.name: metric for metric in known_metrics()}
    if baseline is not None:
        if y not in (None, LATENCY, "latency_ns", "speedup"):
            raise UsageError(f"got y={y!r} with a baseline, over which latencies are drawn; leave one of them out")
        if baseline not in set(table["implementation"]):
            raise UnknownName("implementation of this frame", baseline, table["implementation"].unique())
        return _Quantity(LATENCY, f"speed-up over {baseline}", "ratio", baseline, 1.0)
    if y in (None, LATENCY, "latency_ns"):
        return _Quantity(LATENCY, "latency", "ns")
    if y not in table.columns or y not in metrics:
        known = [LATENCY, *(name for name in metrics if name in table.columns)]
        raise UnknownName("figure of this frame", str(y), known)
    metric = metrics[y]
    if not metric.unit:
        raise UsageError(f"got y={y!r}, which is a word and no number")
    return _Quantity(y, metric.label, metric.unit, reference={"speedup": 1.0, "error_of_budget": 1.0}.get(y))


def _drawn(table: pd.DataFrame, quantity: _Quantity) -> pd.DataFrame:
    """The rows with something to draw, with it in columns y, low and high."""
    import pandas as pd

    if quantity.column not in table.columns:
        raise UsageError(f"got a frame without {quantity.column}; expected what attnlab.bench.load gives")
    kept = table.assign(y=pd.to_numeric(table[quantity.column], errors="coerce"), low=None, high=None)
    if quantity.baseline is not None:
        key = ["run_id", "operator", "case_id"] if "run_id" in kept else ["operator", "case_id"]
        base = kept[kept["implementation"] == quantity.baseline].drop_duplicates(key).set_index(key)["y"]
        over = pd.Series([base.get(tuple(row), None) for row in kept[key].itertuples(index=False)], index=kept.index)
        kept["y"] = pd.to_numeric(over, errors="coerce") / kept["y"]
    elif quantity.column == LATENCY and set(BOUNDS) <= set(kept.columns):
        kept = kept.assign(low=kept[BOUNDS[0]], high=kept[BOUNDS[1]])
    kept = kept[kept["y"] > 0]
    if kept.empty:
        outcomes = ", ".join(f"{number} {name}" for name, number in table["outcome"].value_counts().items())
        raise UsageError(f"nothing in this frame has a {quantity.label} ({outcomes or 'it is empty'})")
    return kept


def _refuse_what_is_never_compared(kept: pd.DataFrame, quantity: _Quantity) -> None:
    timed = [] if quantity.column == "error_of_budget" else ["device", "clock", "cache"]
    for column in timed:
        for operator, rows in kept.groupby("operator") if column in kept else ():
            found = list(rows[column].dropna().unique())
            if len(found) > 1:
                raise UsageError(
                    f"got {operator} by {len(found)} of {column} ({', '.join(map(one_line, found))}), which are never "
                    f"compared; keep one, such as frame[frame.{column} == {found[-1]!r}]"
                )
    twice = kept[kept.duplicated(["operator", "implementation", "case_id"], keep=False)]
    if not twice.empty:
        row = twice.iloc[-1]
        keep = f"frame[frame.run_id == {row['run_id']!r}]" if "run_id" in kept else "one of each"
        raise UsageError(
            f"got {row['operator']} {row['implementation']} {row['case_id']} {len(twice)} times, of several runs; keep "
            f"one run, such as {keep}"
        )


def _axes(rows: pd.DataFrame) -> list[str]:
    """Columns that are axes of any of the operators here."""
    import_operators()
    known = {"y", "low", "high", *FIXED, *(metric.name for metric in known_metrics())}
    return [name for name in rows.columns if name not in known and rows[name].notna().any()]


def _panels(rows: pd.DataFrame, quantity: _Quantity, x: str | None, named: bool) -> Iterator[Panel]:
    """Lines over x in each setting of the other axes where x varies, and dots of the cases where it does not.

    named: whether a title needs the operator.
    """
    operator = str(rows["operator"].iloc[0])
    across = _across(rows, operator, x)
    labels = label_cases(rows["case_id"].unique(), _case_type(operator)).by_id
    single = rows
    if across is not None:
        family = rows["case_id"].map(lambda case: labels[case].family(across) or case)
        swept = [members for _, members in rows.groupby(family, sort=False) if members[across].nunique() > 1]
        lines = []
        for members in swept:
            setting = labels[members["case_id"].iloc[0]].without(across)
            title = " ".join(filter(None, (operator if named or not setting else "", setting)))
            lines.append(_lines(members, quantity, across, title))
        yield from compared(lines)
        single = rows.drop(index=[index for members in swept for index in members.index])
    cases = {case: labels[case].short for case in single["case_id"].unique()}
    for start in range(0, len(cases), ROWS_A_PANEL):
        yield _dots(single, quantity, dict(list(cases.items())[start : start + ROWS_A_PANEL]), operator)


def _across(rows: pd.DataFrame, operator: str, x: str | None) -> str | None:
    """The axis of x; None where none varies. Raises UsageError where the one that is asked for is of no numbers."""
    from pandas.api.types import is_numeric_dtype

    numbers = [name for name in _axes(rows) if is_numeric_dtype(rows[name]) and rows[name].nunique() > 1]
    if x is not None:
        if rows[x].notna().any() and not is_numeric_dtype(rows[x]):
            raise UsageError(f"got x={x!r}, which is no number; of numbers vary: {', '.join(numbers) or 'none'}")
        return x if x in numbers else None
    known = registry.operators.get(operator) if operator in registry.operators else None
    length = known.length_axis if known is not None else None
    return length if length in numbers else max(numbers, key=lambda name: rows[name].nunique(), default=None)


def _case_type(operator: str) -> type[Case] | None:
    return registry.operators.get(operator).case_type if operator in registry.operators else None


def _lines(rows: pd.DataFrame, quantity: _Quantity, across: str, title: str) -> Panel:
    curves = tuple(
        Curve(str(name), tuple(_point(row, float(row[across]), float(row["y"])) for _, row in own.iterrows()))
        for name, own in rows.sort_values(across, kind="stable").groupby("implementation", sort=False)
    )
    return Panel("lines", title, across, quantity.label, quantity.unit, curves, **_reference(quantity))


def _dots(rows: pd.DataFrame, quantity: _Quantity, cases: Mapping[str, str], operator: str) -> Panel:
    """A row for each case, under its label."""
    places = {case: float(place) for place, case in enumerate(cases)}
    curves = tuple(
        Curve(str(name), tuple(_point(row, float(row["y"]), places[row["case_id"]]) for _, row in own.iterrows()))
        for name, own in rows[rows["case_id"].isin(cases)].groupby("implementation", sort=False)
    )
    return Panel(
        "dots", operator, quantity.label, "", quantity.unit, curves, tuple(cases.values()), **_reference(quantity)
    )


def _point(row: pd.Series[Any], x: float, y: float) -> PlotPoint:
    low, high = (None if row[name] is None or row[name] != row[name] else float(row[name]) for name in ("low", "high"))
    return PlotPoint(x, y, low, high, str(row["implementation"]), str(row["case_id"]))


def _reference(quantity: _Quantity) -> dict[str, Any]:
    labels = {"speedup": "baseline", "error_of_budget": "limit"}
    label = quantity.baseline or labels.get(quantity.column, "")
    return {"reference": quantity.reference, "reference_label": label, "metric": quantity.column}
