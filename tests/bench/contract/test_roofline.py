"""Ceilings: the least time of a case by hand, at a read's bandwidth or a copy's, and the time that nothing beats."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnlab.bench.contract.roofline import (
    PUBLISHED,
    SAFETY,
    SAFETY_UNDER_LOAD,
    SpeedOfLight,
    least_ns,
    measured_light,
    published_light,
)
from attnlab.bench.store.machine import Ceilings, Load, PublishedPeaks

CEILINGS = Ceilings("A processor", 2, 1e10, {"float32": 1e11}, PublishedPeaks(2e10, {"float32": 4e11}), 12.5)
BOTH = replace(CEILINGS, read_bandwidth=2e10)


@pytest.mark.parametrize(
    ("operations", "bytes_moved", "time_ns", "bound"),
    [
        (10**11, 10**9, 1e9, "compute"),  # a second of sums, a tenth of traffic
        (10**9, 10**9, 1e8, "memory"),  # a hundredth of sums, a tenth of traffic
        (10**10, 10**9, 1e8, "compute"),  # the ridge
        (0, 10, 1.0, "memory"),
        (0, 0, 0.0, "compute"),
    ],
)
def test_the_least_time_is_the_larger_of_two(operations: int, bytes_moved: int, time_ns: float, bound: str) -> None:
    light = measured_light(CEILINGS, operations, bytes_moved, "float32")
    assert light == SpeedOfLight(pytest.approx(time_ns), bound)


def test_an_unknown_rate_gives_no_least_time() -> None:
    assert measured_light(CEILINGS, 1, 1, "float16") is None
    assert measured_light(CEILINGS, 1, 1, "bfloat16") is None
    unknown = Ceilings("x", 1, 1e10, {"float32": 1e11}, None, 0.0)
    assert published_light(unknown, 1, 1, "float32") is None


def test_measured_and_published_ceilings_are_told_apart() -> None:
    assert measured_light(CEILINGS, 10**11, 0, "float32") == SpeedOfLight(1e9, "compute")
    assert published_light(CEILINGS, 10**11, 0, "float32") == SpeedOfLight(0.25e9, "compute")


def test_published_rates_are_those_of_the_data_sheets() -> None:
    """NVIDIA H200 and H100 SXM: dense bfloat16 989.4 TFLOP/s, 4.8 and 3.35 TB/s; A100 SXM: 312 and 2.039."""
    assert PUBLISHED["NVIDIA H200"].rates["bfloat16"] == pytest.approx(989.4e12)
    assert PUBLISHED["NVIDIA H200"].bandwidth == pytest.approx(4.8e12)
    assert PUBLISHED["NVIDIA H100 80GB HBM3"].bandwidth == pytest.approx(3.35e12)
    assert PUBLISHED["NVIDIA A100-SXM4-80GB"].rates["float16"] == pytest.approx(312e12)
    for sheet in PUBLISHED.values():
        assert sheet.rates["float32"] < sheet.rates["bfloat16"] == sheet.rates["float16"]


@pytest.mark.parametrize(
    ("written", "time_ns"),
    [
        (0, 50.0),  # all at the read's 20 GB/s
        (500, 100.0),  # half and half: all at the copy's 10 GB/s
        (100, 60.0),  # 200 bytes as a copy, 800 as a read
        (1000, 100.0),  # nothing is known of pure writes but that a copy's are no slower
        (5000, 100.0),  # an output that is a view of more than was written
        (None, 50.0),  # not known: the faster of the two
    ],
)
def test_reads_and_copies_have_a_bandwidth_each(written: int | None, time_ns: float) -> None:
    assert BOTH.memory_ns(1000, written) == pytest.approx(time_ns)
    assert measured_light(BOTH, 0, 1000, "float32", written) == SpeedOfLight(pytest.approx(time_ns), "memory")


def test_an_older_file_knows_the_copys_alone() -> None:
    assert CEILINGS.memory_ns(1000, 0) == CEILINGS.memory_ns(1000, None) == pytest.approx(100.0)


def test_operands_can_be_widened() -> None:
    """On a processor without instructions for float16 its own product is 80 times slower than that of float32."""
    slow = replace(CEILINGS, rates={"float32": 96e9, "bfloat16": 400e9, "float16": 1.2e9})
    assert slow.rate("float16") == 96e9
    assert slow.rate("bfloat16") == 400e9, "its own is faster"
    assert slow.rate("float32") == 96e9, "no float32 fits into bfloat16"
    assert measured_light(slow, 96_000_000_000, 0, "float16") == SpeedOfLight(1e9, "compute")


def test_no_time_is_below_the_fastest_cache_and_the_best_product() -> None:
    known = replace(CEILINGS, cache_bandwidth=1e11, rates={"float32": 1e11, "bfloat16": 1e12, "float16": 1e9})
    assert least_ns(known, 0, 10**9, "float32") == pytest.approx(1e7 / SAFETY)
    assert least_ns(known, 10**12, 1, "float32") == pytest.approx(1e9 / SAFETY), "a number split into three"
    assert least_ns(known, 10**12, 10**9, "int8") == pytest.approx(1e7 / SAFETY), "no product of it was measured"
    assert least_ns(known, 0, 0, "float32") == 0.0
    busy = replace(known, load=Load(1.0, 0.0, 200.0, 3, "busy"))
    assert least_ns(busy, 0, 10**9, "float32") == pytest.approx(1e7 / SAFETY_UNDER_LOAD)
    assert least_ns(CEILINGS, 10**12, 10**9, "float32") is None, "an older file says nothing of caches"
