"""The device's ceilings, measured and published, and the least time that a case can take on it."""

from __future__ import annotations

import functools
import json
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.bench import units
from attnlab.bench.environment import Device
from attnlab.bench.store.codec import decode, encode

if TYPE_CHECKING:
    import torch

MEASURED_DTYPES = ("float32", "bfloat16", "float16")
COPY_BYTES = {"cpu": 256 * units.MIB, "cuda": 4 * units.GIB}  # several times any last-level cache
PROBE_NS = 0.4 * units.NS_PER_S
CACHE_VERSION = 2


@dataclass(frozen=True)
class Published:
    """A data sheet's dense peaks: bytes a second and FLOP a second by dtype, without sparsity."""

    bandwidth: float
    rates: dict[str, float]


def _sheet(bandwidth_tb: float, half_tflops: float, single_tflops: float) -> Published:
    half, single = half_tflops * units.TERA, single_tflops * units.TERA
    return Published(bandwidth_tb * units.TERA, {"bfloat16": half, "float16": half, "float32": single})


# NVIDIA's data sheets of each product; float32 is the rate without TF32.
PUBLISHED: dict[str, Published] = {
    "NVIDIA H200": _sheet(4.8, 989.4, 66.9),
    "NVIDIA H100 80GB HBM3": _sheet(3.35, 989.4, 66.9),
    "NVIDIA H100 PCIe": _sheet(2.0, 756.0, 51.0),
    "NVIDIA A100-SXM4-80GB": _sheet(2.039, 312.0, 19.5),
    "NVIDIA A100-SXM4-40GB": _sheet(1.555, 312.0, 19.5),
    "NVIDIA L4": _sheet(0.3, 121.0, 30.3),
    "NVIDIA L40S": _sheet(0.864, 362.0, 91.6),
    "NVIDIA B200": _sheet(8.0, 2250.0, 75.0),
}


@dataclass(frozen=True)
class Ceilings:
    """Peak rates of one device: measured here, and published where known.

    bandwidth in bytes a second of a large copy, reading and writing counted, on a GPU by a kernel; rates in
    FLOP a second of a large matrix product on random data, by dtype.
    """

    device: str
    threads: int
    bandwidth: float
    rates: dict[str, float]
    published: Published | None
    measured_at_s: float


@dataclass(frozen=True)
class SpeedOfLight:
    """The least time of a case: the larger of operations over rate and bytes over bandwidth."""

    time_ns: float
    bound: str  # "compute" or "memory"


def speed_of_light(
    operations: int, bytes_moved: int, dtype: str, bandwidth: float, rates: dict[str, float]
) -> SpeedOfLight | None:
    """None where the rate of the dtype is not known."""
    if dtype not in rates:
        return None
    compute_ns = units.seconds_to_ns(operations / rates[dtype])
    memory_ns = units.seconds_to_ns(bytes_moved / bandwidth)
    return SpeedOfLight(max(compute_ns, memory_ns), "compute" if compute_ns >= memory_ns else "memory")


def measured_light(ceilings: Ceilings, operations: int, bytes_moved: int, dtype: str) -> SpeedOfLight | None:
    return speed_of_light(operations, bytes_moved, dtype, ceilings.bandwidth, ceilings.rates)


def published_light(ceilings: Ceilings, operations: int, bytes_moved: int, dtype: str) -> SpeedOfLight | None:
    if ceilings.published is None:
        return None
    return speed_of_light(operations, bytes_moved, dtype, ceilings.published.bandwidth, ceilings.published.rates)


def load_or_measure(device: Device, fresh: bool = False) -> Ceilings:
    """The ceilings of this device, from the user's cache where this torch measured them with as many threads."""
    import torch

    path = cache_path(device, torch.get_num_threads())
    if not fresh and (stored := _stored(path)) is not None:
        return replace(stored, published=PUBLISHED.get(device.name))
    ceilings = measure(device)
    with suppress(OSError):  # a read-only home costs a measurement in each run, nothing else
        keep(ceilings, path)
    return ceilings


def load(device: Device) -> Ceilings:
    """The ceilings of this device where they were measured before, else none: no rates, a bandwidth that is NaN."""
    import torch

    threads = torch.get_num_threads()
    stored = _stored(cache_path(device, threads)) or Ceilings(device.name, threads, math.nan, {}, None, 0.0)
    return replace(stored, published=PUBLISHED.get(device.name))


def keep(ceilings: Ceilings, path: Path) -> None:
    """Store ceilings where `load_or_measure` finds them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(encode(ceilings) | {"cache_version": CACHE_VERSION}))
    partial.replace(path)


def cache_path(device: Device, threads: int) -> Path:
    """Where the ceilings of a device are kept, as this torch measures them with that many threads."""
    import torch

    return cache_folder() / f"ceilings-{_slug(device.name)}-{threads}t-torch{torch.__version__}.json"


def _stored(path: Path) -> Ceilings | None:
    """Ceilings that were kept; None where absent, cut, of another version or no rates at all."""
    try:
        stored = json.loads(path.read_text())
        if not isinstance(stored, dict) or stored.pop("cache_version", None) != CACHE_VERSION:
            return None
        found = decode(Ceilings, stored)
    except (OSError, ValueError):
        return None
    return found if all(rate > 0 for rate in (found.bandwidth, *found.rates.values())) else None


def cache_folder() -> Path:
    """Where ceilings and captured activations are kept: $XDG_CACHE_HOME/attnlab or ~/.cache/attnlab."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "attnlab")


def measure(device: Device) -> Ceilings:
    """Measure copy bandwidth and matrix rates now; a few seconds."""
    import torch

    target = torch.device(device.kind)
    return Ceilings(
        device=device.name,
        threads=torch.get_num_threads(),
        bandwidth=_copy_bandwidth(target, _copy_bytes(device)),
        rates={dtype: _matrix_rate(target, getattr(torch, dtype)) for dtype in MEASURED_DTYPES},
        published=PUBLISHED.get(device.name),
        measured_at_s=time.time(),
    )


def _copy_bytes(device: Device) -> int:
    """Several times the cache, but never more than an eighth of the memory, which holds two of it; in whole words."""
    wanted = COPY_BYTES[device.kind]
    return wanted if device.memory_bytes is None else min(wanted, device.memory_bytes // 32 * 4)


def _copy_bandwidth(device: torch.device, size_bytes: int) -> float:
    import torch

    source = torch.randint(0, 256, (size_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> object:
        if device.type == "cpu":
            return target.copy_(source)
        # In a graph, torch's copy is the copy engine's, which takes a quarter longer on an H100 than a kernel does.
        return torch.bitwise_not(source.view(torch.int32), out=target.view(torch.int32))

    return 2 * source.numel() / units.ns_to_seconds(_least_ns(copy, device))


def _matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """The best of growing sizes; stops where a call of the next, of eight times the work, would take long."""
    import torch

    best = 0.0
    for n in (512, 1024, 2048) if device.type == "cpu" else (4096, 8192):
        a = torch.randn(n, n, device=device).to(dtype)
        b = torch.randn(n, n, device=device).to(dtype)
        took_ns = _least_ns(functools.partial(torch.matmul, a, b), device)
        best = max(best, 2 * n**3 / units.ns_to_seconds(took_ns))
        if 8 * took_ns > 2 * PROBE_NS:
            break
    return best


def _least_ns(call: Callable[[], object], device: torch.device) -> float:
    """The fastest of many calls: a ceiling is what the device can do when nothing disturbs it."""
    from attnlab.bench.clocks import main_timer

    timer = main_timer(device, [call])
    for _ in range(3):
        call()
    samples: list[float] = []
    while len(samples) < 6 or (sum(samples) < PROBE_NS and len(samples) < 200):
        samples += timer.burst(3)
    return min(samples)


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text)
