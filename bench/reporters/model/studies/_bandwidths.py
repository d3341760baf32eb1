"""What studies of collectives share: bus bandwidth over the size of a message, by number of ranks."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench import units
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, compared
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.words import Sentence, name, sentence

BUS, BANDWIDTH = "bus_gb_per_s", "bus bandwidth"
CAPTION = (
    "Bytes that each rank's link carries at least, over the slowest rank's time. For small messages the time hardly "
    "hangs on the size, and the bandwidth grows with it; for large ones it comes to what links and memory give."
)


def make(results: Sequence[Result]) -> Study | None:
    """None where no implementation was timed on two sizes of message or more."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.timed and result.number(BUS) is not None:
            groups.setdefault(setting_of(result), []).append(result)
    panels, words = [], []
    for title, group in groups.items():
        curves = [curve for one in dict.fromkeys(r.implementation for r in group) if (curve := _curve(one, group))]
        if curves:
            panels.append(
                Panel("lines", title, "message", "bus bandwidth", "GB/s", tuple(curves), x_unit="B", metric=BUS)
            )
            words.append(_best(title, curves))
    if not panels:
        return None
    plot = Plot("bandwidth", "Bus bandwidth by size of message", CAPTION, compared(panels))
    return Study("Bandwidth", tuple(words), (), (plot,))


def setting_of(result: Result) -> str:
    """`2 ranks, float32, sum`: all but the size of the message."""
    case = result.row.measurement.case
    ranks = int(case["world_size"])
    told = [f"{ranks} rank{'s' if ranks > 1 else ''}", case["dtype"], case.get("op")]
    return ", ".join(str(one) for one in told if one is not None)


def _curve(implementation: str, group: Sequence[Result]) -> Curve | None:
    points = [
        PlotPoint(
            float(result.row.measurement.case["message_bytes"]),
            result.number(BUS) or 0.0,
            implementation=implementation,
            case=result.row.measurement.case_id,
        )
        for result in group
        if result.implementation == implementation
    ]
    return Curve(implementation, tuple(sorted(points, key=lambda point: point.x))) if len(points) > 1 else None


def _best(title: str, curves: Sequence[Curve]) -> Sentence:
    """The largest bandwidth of a setting, and at which size."""
    best, point = max(((curve, point) for curve in curves for point in curve.points), key=lambda pair: pair[1].y)
    return sentence(
        f"Over {title}, the largest bus bandwidth is {units.three_digits(point.y)} GB/s, by ",
        name(best.name),
        f" on messages of {units.format_bytes(point.x)}.",
    )
