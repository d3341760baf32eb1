"""The only place that converts or formats units."""

from __future__ import annotations

import math
import re

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000
SECONDS_PER_HOUR = 3_600
GB = 1_000_000_000  # bandwidth is quoted in decimal units, as data sheets do
TERA = 1_000_000_000_000
MIB = 1 << 20
GIB = 1 << 30

MISSING = "–"  # "not measured" is never a zero

_TIMES = ((1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s"))
_BYTES = ((1, "B"), (1 << 10, "KiB"), (MIB, "MiB"), (GIB, "GiB"))
_COUNTS = ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"))


def seconds_to_ns(seconds: float) -> float:
    return seconds * NS_PER_S


def ns_to_seconds(ns: float) -> float:
    return ns / NS_PER_S


def per_second(amount: float, time_ns: float) -> float:
    """A rate in units a second, from an amount in one call and the call's time in ns."""
    return amount * NS_PER_S / time_ns


def three_digits(value: float) -> str:
    """A number with three significant digits and no exponent, such as `0.0123`, `4.56` or `1230`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.3g}")  # 9.999 is 10.0, not 10.00
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{value:.{decimals}f}"


def _scaled(value: float | None, steps: tuple[tuple[float, str], ...]) -> str:
    if value is None or math.isnan(value):
        return MISSING
    size, unit = _step(value, steps)
    return f"{three_digits(value / size)} {unit}".rstrip()


def _step(value: float, steps: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    """The largest step of which the value, rounded to three digits, is one or more."""
    return next(((size, unit) for size, unit in reversed(steps) if abs(float(f"{value / size:.3g}")) >= 1), steps[0])


def format_time(ns: float | None) -> str:
    """`1234.0` -> `1.23 µs`."""
    return _scaled(ns, _TIMES)


def format_duration(seconds: float) -> str:
    """`75.2` -> `1 min 15 s`, in steps that get coarser: none below a second, five seconds over a minute."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(5 * round(seconds / 5), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def format_bytes(count: float | None) -> str:
    """`1536` -> `1.50 KiB`."""
    return _scaled(count, _BYTES)


def format_count(count: float | None) -> str:
    """`2_500_000` -> `2.50 M`."""
    return _scaled(count, _COUNTS)


def format_share(share: float | None) -> str:
    """`0.123` -> `12.3 %`."""
    return MISSING if share is None or math.isnan(share) else f"{three_digits(100 * share)} %"


def signed_percent(share: float, decimals: int = 1) -> str:
    """`0.0512` -> `+5.1 %`; what rounds to nothing is `0.0 %`, and has no sign."""
    text = f"{100 * share:+.{decimals}f}"
    return f"{text if float(text) else text[1:]} %"


def format_ratio(ratio: float | None) -> str:
    """`2.5` -> `2.50×`."""
    return MISSING if ratio is None or math.isnan(ratio) else f"{three_digits(ratio)}×"


def format_number(value: float | None) -> str:
    return MISSING if value is None or math.isnan(value) else three_digits(value)


def format_error(value: float | None) -> str:
    """A relative error: `0.00123` -> `1.2e-03`."""
    return MISSING if value is None or math.isnan(value) else f"{value:.1e}"


def format_value(value: float | str | None, unit: str) -> str:
    """A value in one of the stored units (`ns`, `B`, `share`, `ratio`, `GB/s`, …) as text with its unit."""
    text = format_cell(value, unit)
    return text if text == MISSING or isinstance(value, str) else f"{text} {heading_unit(unit)}".rstrip()


def format_cell(value: float | str | None, unit: str) -> str:
    """As `format_value`, without a unit that a column's heading gives (see `heading_unit`)."""
    if isinstance(value, str):
        return value or MISSING
    return _SELF_SCALED.get(unit, format_number)(value)


def heading_unit(unit: str) -> str:
    """The unit that belongs in a heading: none where each value is written with a unit of its own."""
    return "" if unit in _SELF_SCALED else unit


def format_interval(low: float | None, high: float | None, unit: str) -> str:
    """`1.2e6, 1.3e6, "ns"` -> `1.20 to 1.30 ms`; missing where either end is."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    steps = _STEPS.get(unit)
    if steps is None:
        return f"{format_number(low)} to {format_value(high, unit)}"
    size, name = _step(high, steps)
    return f"{three_digits(low / size)} to {three_digits(high / size)} {name}"


def format_tick(value: float, unit: str) -> str:
    """As `format_value`, for an axis: `1 ms` rather than `1.00 ms`, and TFLOP/s in the prefix that suits."""
    scaled = {"TFLOP/s": (TERA, "FLOP/s"), "GB/s": (GB, "B/s")}.get(unit)
    text = format_value(value, unit) if scaled is None else f"{format_count(value * scaled[0])}{scaled[1]}"
    return re.sub(r"(\.\d*?)0+(?=\D|$)", lambda found: found[1].rstrip("."), text)


def format_estimate(value: float, low: float, high: float) -> str:
    """An estimated pure number with its interval: `1.98 (1.95 to 2.01)`."""
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


_STEPS = {"ns": _TIMES, "B": _BYTES}
_SELF_SCALED = {"ns": format_time, "B": format_bytes, "share": format_share, "ratio": format_ratio}
