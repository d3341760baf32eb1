"""The device's ceilings, measured and published, and the least time that a case can take on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from attnlab.bench import units

WIDER = {"bfloat16": ("float32",), "float16": ("float32",)}
"""Dtypes that hold every value of a dtype: its operands can be widened, so that its product is as fast as theirs."""

SAFETY = 2.0
"""What an honest kernel may be faster than the ceilings of `least_ns`: probes in torch do not reach every last bit."""
SAFETY_UNDER_LOAD = 16.0  # where the machine was busy as they were measured, and may not be now


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
class Load:
    """What else a machine did while its rates were measured; None is what it did not say.

    others: cores that other processes kept busy, on average; stolen: cores that the host gave to other machines.
    switches_per_s: how often threads of the measuring process were taken off their cores. runnable: the most threads
    of the whole machine that ran or wanted to when it was looked at. disturbed: in words, why the rates may be too
    low; None where the machine was quiet.
    """

    others: float | None
    stolen: float | None
    switches_per_s: float
    runnable: int | None
    disturbed: str | None


@dataclass(frozen=True)
class Ceilings:
    """Peak rates of one device: measured here, and published where known.

    bandwidth in bytes a second of a large block read and written, both counted; read_bandwidth of one that is only
    read. cache_bandwidth: the most bytes a second, read and written, of small blocks in the caches of a CPU by all its
    threads. rates in FLOP a second of a large matrix product on random data, by dtype. host: the machine, its threads
    and its limits, as `environment.host_id` names them. load: what else ran meanwhile. spread: by how much of the best
    the least of several times lay below it, by `copy`, `read`, `cache` and dtype. What was not measured, as in files
    of older versions, is None.
    """

    device: str
    threads: int
    bandwidth: float
    rates: dict[str, float]
    published: Published | None
    measured_at_s: float
    read_bandwidth: float | None = None
    cache_bandwidth: float | None = None
    host: str | None = None
    load: Load | None = None
    spread: dict[str, float] = field(default_factory=dict)

    @property
    def disturbed(self) -> str | None:
        """Why these may be too low, in words; None where the machine was quiet, or nobody looked."""
        return None if self.load is None else self.load.disturbed

    def rate(self, dtype: str) -> float | None:
        """FLOP a second of a product of that dtype, as `rate_of`."""
        return rate_of(self.rates, dtype)

    @property
    def read_rate(self) -> float:
        """Bytes a second that are only read; the copy's in files that know no other."""
        return self.bandwidth if self.read_bandwidth is None else self.read_bandwidth

    def memory_ns(self, bytes_moved: int, bytes_written: int | None) -> float:
        """The least time to move so many bytes, of which some are written.

        As many bytes as are both read and written move at the bandwidth of a copy, the rest at that of reading, or of
        a copy again where more is written than read. Where it is not known how many are written, all move at the
        faster of the two.
        """
        read = self.read_rate
        if bytes_written is None:
            return units.seconds_to_ns(bytes_moved / max(self.bandwidth, read))
        written = min(bytes_written, bytes_moved)
        copied = 2 * min(written, bytes_moved - written)
        rest = read if 2 * written <= bytes_moved else self.bandwidth
        return units.seconds_to_ns(copied / self.bandwidth + (bytes_moved - copied) / rest)


@dataclass(frozen=True)
class SpeedOfLight:
    """The least time of a case: the larger of operations over rate and bytes over bandwidth."""

    time_ns: float
    bound: str  # "compute" or "memory"


def rate_of(rates: Mapping[str, float], dtype: str) -> float | None:
    """The largest rate of a dtype and of those that hold all its values; None where its own is not known."""
    if dtype not in rates:
        return None
    return max(rates[name] for name in (dtype, *WIDER.get(dtype, ())) if name in rates)


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
