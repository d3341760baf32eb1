"""Units: numbers as a reader sees them, and back again to within what three digits tell."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnlab.bench import units

NAN = float("nan")


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0.0, "0 ns"),
        (0.4567, "0.457 ns"),
        (1.0, "1.00 ns"),
        (999.4, "999 ns"),
        (999.6, "1.00 µs"),
        (1234.0, "1.23 µs"),
        (12_345.0, "12.3 µs"),
        (123_456.0, "123 µs"),
        (9_999_000.0, "10.0 ms"),
        (2.5e9, "2.50 s"),
        (7.2e12, "7200 s"),
        (-1500.0, "-1.50 µs"),
        (None, "–"),
        (NAN, "–"),
    ],
)
def test_times(ns: float | None, text: str) -> None:
    assert units.format_time(ns) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (1_046_000, "1021 KiB"),
        (1_048_500, "1.00 MiB"),
        (5 << 20, "5.00 MiB"),
        (3 << 40, "3072 GiB"),
        (None, "–"),
    ],
)
def test_bytes_are_in_powers_of_two(count: float | None, text: str) -> None:
    assert units.format_bytes(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(7, "7.00"), (2500, "2.50 k"), (2.5e6, "2.50 M"), (4e9, "4.00 G"), (9.9e14, "990 T"), (None, "–")],
)
def test_counts_are_in_powers_of_ten(count: float | None, text: str) -> None:
    assert units.format_count(count) == text


def test_shares_ratios_and_errors() -> None:
    assert [units.format_share(x) for x in (0.1234, 1.0, 0.00012, None, NAN)] == [
        "12.3 %",
        "100 %",
        "0.0120 %",
        "–",
        "–",
    ]
    assert [units.format_ratio(x) for x in (2.5, 0.333333, 10.0, None, NAN)] == ["2.50×", "0.333×", "10.0×", "–", "–"]
    assert [units.format_error(x) for x in (0.00123, None, NAN)] == ["1.2e-03", "–", "–"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1234.0, "ns", "1.23 µs"),
        (2048, "B", "2.00 KiB"),
        (0.5, "share", "50.0 %"),
        (2.0, "ratio", "2.00×"),
        (12.3456, "GB/s", "12.3 GB/s"),
        (7.0, "", "7.00"),
        (None, "GB/s", "–"),
        (NAN, "ns", "–"),
        ("compute", "", "compute"),
        ("", "", "–"),
    ],
)
def test_a_value_in_a_stored_unit(value: float | str | None, unit: str, text: str) -> None:
    assert units.format_value(value, unit) == text


def test_an_interval_has_one_unit_that_of_its_upper_end() -> None:
    assert units.format_interval(1.2e6, 1.3e6, "ns") == "1.20 to 1.30 ms"
    assert units.format_interval(900.0, 1100.0, "ns") == "0.900 to 1.10 µs"
    assert units.format_interval(1.5, 2.5, "GB/s") == "1.50 to 2.50 GB/s"
    assert units.format_interval(None, 1.0, "ns") == units.format_interval(1.0, math.inf, "ns") == "–"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0512, "+5.1 %"), (-0.03, "-3.0 %"), (-0.0001, "0.0 %"), (0.0004, "0.0 %"), (0.0, "0.0 %"), (-0.0006, "-0.1 %")],
)
def test_a_change_that_rounds_to_nothing_has_no_sign(share: float, text: str) -> None:
    assert units.signed_percent(share) == text


def test_conversions() -> None:
    assert units.seconds_to_ns(2.5) == 2.5e9
    assert units.ns_to_seconds(2.5e9) == 2.5
    assert units.per_second(3.0, 1e6) == pytest.approx(3000.0), "3 in a millisecond"


SIZES = {"ns": 1.0, "µs": 1e3, "ms": 1e6, "s": 1e9}


@given(st.floats(min_value=1e-3, max_value=1e14))
def test_a_time_reads_back_to_three_digits(ns: float) -> None:
    number, unit = units.format_time(ns).split()
    assert float(number) * SIZES[unit] == pytest.approx(ns, rel=0.0051)
    assert unit == "s" or float(number) < 1000


@given(st.floats(min_value=1e-6, max_value=999.0))
def test_three_digits_are_three(value: float) -> None:
    text = units.three_digits(value)
    assert len(re.sub(r"^0\.?0*|\.", "", text)) == 3
    assert "e" not in text
