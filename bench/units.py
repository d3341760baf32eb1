"""The only place that converts or formats units."""

from __future__ import annotations

import math

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
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
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def _scaled(value: float | None, steps: tuple[tuple[float, str], ...]) -> str:
    if value is None or math.isnan(value):
        return MISSING
    size, unit = next(
        ((size, unit) for size, unit in reversed(steps) if abs(value) >= size), steps[0]
    )
    return f"{three_digits(value / size)} {unit}".rstrip()


def format_time(ns: float | None) -> str:
    """`1234.0` -> `1.23 µs`."""
    return _scaled(ns, _TIMES)


def format_bytes(count: float | None) -> str:
    """`1536` -> `1.50 KiB`."""
    return _scaled(count, _BYTES)


def format_count(count: float | None) -> str:
    """`2_500_000` -> `2.50 M`."""
    return _scaled(count, _COUNTS)


def format_share(share: float | None) -> str:
    """`0.123` -> `12.3 %`."""
    return MISSING if share is None or math.isnan(share) else f"{three_digits(100 * share)} %"


def format_ratio(ratio: float | None) -> str:
    """`2.5` -> `2.50×`."""
    return MISSING if ratio is None or math.isnan(ratio) else f"{three_digits(ratio)}×"


def format_number(value: float | None) -> str:
    return MISSING if value is None or math.isnan(value) else three_digits(value)


def format_error(value: float | None) -> str:
    """A relative error: `0.00123` -> `1.2e-03`."""
    return MISSING if value is None or math.isnan(value) else f"{value:.1e}"


def format_value(value: float | None, unit: str) -> str:
    """A value in one of the stored units (`ns`, `B`, `share`, `ratio`, `GB/s`, …) as text."""
    known = {"ns": format_time, "B": format_bytes, "share": format_share, "ratio": format_ratio}
    if unit in known:
        return known[unit](value)
    text = format_number(value)
    return text if value is None or not unit else f"{text} {unit}"
