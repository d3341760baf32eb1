"""Ceilings: the least time of a case by hand, how rates are measured, and the file that keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.bench import clocks, roofline
from attnlab.bench.environment import Device
from attnlab.bench.roofline import (
    PUBLISHED,
    Ceilings,
    Published,
    SpeedOfLight,
    load_or_measure,
    measured_light,
    published_light,
    speed_of_light,
)

DEVICE = Device("cpu", "A processor (x86)")
CEILINGS = Ceilings(DEVICE.name, 2, 1e10, {"float32": 1e11}, Published(2e10, {"float32": 4e11}), 12.5)
CPU = torch.device("cpu")


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
    light = speed_of_light(operations, bytes_moved, "float32", 1e10, {"float32": 1e11})
    assert light == SpeedOfLight(pytest.approx(time_ns), bound)


def test_an_unknown_rate_gives_no_least_time() -> None:
    assert speed_of_light(1, 1, "float16", 1e10, {"float32": 1e11}) is None
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


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Device]:
    """An empty cache of the user's; the devices that were measured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked: list[Device] = []

    def measure(device: Device) -> Ceilings:
        asked.append(device)
        return CEILINGS

    monkeypatch.setattr(roofline, "measure", measure)
    return asked


def cache_file() -> Path:
    return roofline.cache_path(DEVICE, torch.get_num_threads())


def test_ceilings_are_measured_once_and_kept(measured: list[Device]) -> None:
    first, second = load_or_measure(DEVICE), load_or_measure(DEVICE)
    assert measured == [DEVICE]
    assert (first.bandwidth, first.rates) == (second.bandwidth, second.rates)
    assert second.published is None, "what is published is looked up, not read from the cache"
    assert [path.name for path in cache_file().parent.iterdir()] == [cache_file().name]


def test_they_are_measured_anew_where_asked(measured: list[Device]) -> None:
    load_or_measure(DEVICE)
    load_or_measure(DEVICE, fresh=True)
    assert len(measured) == 2


def test_each_number_of_threads_and_device_has_its_own() -> None:
    paths = {roofline.cache_path(device, threads).name
             for device in (DEVICE, Device("cuda", "NVIDIA H200")) for threads in (1, 2)}  # fmt: skip
    assert len(paths) == 4
    assert all("/" not in name and " " not in name for name in paths)


GOOD = {"device": "x", "threads": 2, "bandwidth": 1.0, "rates": {}, "published": None, "measured_at_s": 0.0}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", "null", "\x00\xff", "{}", json.dumps(GOOD), json.dumps(GOOD | {"cache_version": 1}),
     json.dumps(GOOD | {"cache_version": roofline.CACHE_VERSION, "bandwidth": "fast"}),
     json.dumps(GOOD | {"cache_version": roofline.CACHE_VERSION, "bandwidth": 0.0}),
     json.dumps(GOOD | {"cache_version": roofline.CACHE_VERSION, "rates": {"float32": None}}),
     json.dumps(GOOD | {"cache_version": roofline.CACHE_VERSION, "colour": "red"})],
)  # fmt: skip
def test_a_damaged_or_old_file_is_measured_again_and_replaced(measured: list[Device], content: str) -> None:
    load_or_measure(DEVICE)
    cache_file().write_text(content)
    assert load_or_measure(DEVICE).bandwidth == CEILINGS.bandwidth
    assert len(measured) == 2
    load_or_measure(DEVICE)
    assert len(measured) == 2, "the file is good again"


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    measured: list[Device], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_or_measure(DEVICE) == CEILINGS


def test_rates_count_what_is_moved_and_multiplied(monkeypatch: pytest.MonkeyPatch, fake_clock: Any) -> None:
    """By a clock that says 2 ms of every call."""
    monkeypatch.setattr(clocks, "clocks_for", lambda *_: (fake_clock([2e6]),))
    monkeypatch.setattr(torch, "matmul", lambda a, b: None)
    assert roofline._copy_bandwidth(CPU, 1000) == pytest.approx(2 * 1000 / 2e-3), "read and written"
    assert roofline._matrix_rate(CPU, torch.float32) == pytest.approx(2 * 2048**3 / 2e-3), "the best of the sizes"


def test_a_gpu_copies_by_a_kernel(monkeypatch: pytest.MonkeyPatch, fake_clock: Any) -> None:
    """In a graph, `copy_` would be the copy engine's."""
    copied = []
    kernel = torch.bitwise_not

    def copy(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        copied.append((x.dtype, x.numel()))
        return kernel(x, out=out)

    monkeypatch.setattr(clocks, "clocks_for", lambda *_: (fake_clock([2e6]),))
    monkeypatch.setattr(torch, "bitwise_not", copy)
    assert roofline._copy_bandwidth(torch.device("meta"), 1000) == pytest.approx(2 * 1000 / 2e-3)
    assert set(copied) == {(torch.int32, 250)}


def test_a_slow_rate_is_not_measured_on_the_next_larger_size(monkeypatch: pytest.MonkeyPatch, fake_clock: Any) -> None:
    clock = fake_clock([0.9e9])
    monkeypatch.setattr(clocks, "clocks_for", lambda *_: (clock,))
    assert roofline._matrix_rate(CPU, torch.float32) == pytest.approx(2 * 512**3 / 0.9)
    assert sum(map(len, clock.told)) == 6


def test_the_fastest_call_is_the_ceiling(monkeypatch: pytest.MonkeyPatch, fake_clock: Any) -> None:
    monkeypatch.setattr(clocks, "clocks_for", lambda *_: (fake_clock([9e6, 5e6, 7e6]),))
    assert roofline._least_ns(lambda: None, CPU) == 5e6


def test_the_copy_leaves_room_in_memory() -> None:
    assert roofline._copy_bytes(DEVICE) == roofline.COPY_BYTES["cpu"]
    assert roofline._copy_bytes(Device("cuda", "small", memory_bytes=8 << 30)) == 1 << 30
