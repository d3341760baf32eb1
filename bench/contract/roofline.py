"""The device's ceilings, measured and published, and the least time that a case can take on it."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.store.machine import Ceilings, PublishedPeaks, rate_of
from attnlab.bench.store.record import record

SAFETY = 2.0
"""What an honest kernel may be faster than the ceilings of `least_ns`: probes in torch do not reach every last bit."""
SAFETY_UNDER_LOAD = 16.0  # where the machine was busy as they were measured, and may not be now


def _sheet(bandwidth_tb: float, half_tflops: float, single_tflops: float) -> PublishedPeaks:
    half, single = half_tflops * units.TERA, single_tflops * units.TERA
    return PublishedPeaks(bandwidth_tb * units.TERA, {"bfloat16": half, "float16": half, "float32": single})


# NVIDIA's data sheets of each product; float32 is the rate without TF32.
PUBLISHED: dict[str, PublishedPeaks] = {
    "NVIDIA H200": _sheet(4.8, 989.4, 66.9),
    "NVIDIA H100 80GB HBM3": _sheet(3.35, 989.4, 66.9),
    "NVIDIA H100 PCIe": _sheet(2.0, 756.0, 51.0),
    "NVIDIA A100-SXM4-80GB": _sheet(2.039, 312.0, 19.5),
    "NVIDIA A100-SXM4-40GB": _sheet(1.555, 312.0, 19.5),
    "NVIDIA L4": _sheet(0.3, 121.0, 30.3),
    "NVIDIA L40S": _sheet(0.864, 362.0, 91.6),
    "NVIDIA B200": _sheet(8.0, 2250.0, 75.0),
}


OF_SEVERAL_DEVICES = "ranks_cuda_events"
"""The clock of calls that several GPUs make together: ceilings are of one, and of its memory, not of the links."""


@record
class SpeedOfLight:
    """The least time of a case: the larger of operations over rate and bytes over bandwidth."""

    time_ns: float
    bound: str  # "compute" or "memory"


def measured_light(
    ceilings: Ceilings, operations: int, bytes_moved: int, dtype: str, bytes_written: int | None = None
) -> SpeedOfLight | None:
    """By the rates measured on the device; None where that of the dtype is not known."""
    memory_ns = ceilings.memory_ns(bytes_moved, bytes_written)
    return _light(operations, ceilings.rate(dtype), memory_ns)


def published_light(ceilings: Ceilings, operations: int, bytes_moved: int, dtype: str) -> SpeedOfLight | None:
    """By the data sheet of the device; None where there is none, or it does not give the dtype's rate."""
    sheet = ceilings.published
    if sheet is None:
        return None
    return _light(operations, rate_of(sheet.rates, dtype), units.seconds_to_ns(bytes_moved / sheet.bandwidth))


def _light(operations: int, rate: float | None, memory_ns: float) -> SpeedOfLight | None:
    if rate is None:
        return None
    compute_ns = units.seconds_to_ns(operations / rate)
    return SpeedOfLight(max(compute_ns, memory_ns), "compute" if compute_ns >= memory_ns else "memory")


def least_ns(ceilings: Ceilings, operations: int, bytes_moved: int, dtype: str) -> float | None:
    """A time below which a case cannot have been computed, wherever its data lay; None where that is not known.

    The larger of the bytes over the bandwidth of the fastest cache, and of the operations over the best product of any
    dtype, since a wide number can be split into narrow ones; of dtypes whose product is not measured, the bytes alone.
    Divided by `SAFETY`, for the probes are not the fastest code there could be, or by `SAFETY_UNDER_LOAD`.
    """
    if ceilings.cache_bandwidth is None:
        return None
    floor_s = bytes_moved / ceilings.cache_bandwidth
    if dtype in ceilings.rates:
        floor_s = max(floor_s, operations / max(ceilings.rates.values()))
    return units.seconds_to_ns(floor_s) / (SAFETY if ceilings.disturbed is None else SAFETY_UNDER_LOAD)
