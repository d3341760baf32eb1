"""What is kept of the machines of a run: their devices, environments, code and ceilings."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from attnlab.bench import units
from attnlab.bench.store.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping


UNKNOWN = "unknown"
"""What stands for a name that nobody knows."""
UNTOLD = "a machine that is not told"
"""What is said of it."""


@record
class Device:
    """What calls run on. kind is "cpu", "cuda" or "unknown"; capability is CUDA's, as (major, minor)."""

    kind: str
    name: str
    capability: tuple[int, ...] | None = None
    multiprocessors: int | None = None
    memory_bytes: int | None = None
    cache_bytes: int | None = None
    driver: str | None = None

    @property
    def sm(self) -> int | None:
        """CUDA's compute capability times ten, as in sm_90; None where there is none."""
        return None if self.kind != "cuda" or self.capability is None else 10 * self.capability[0] + self.capability[1]

    @property
    def told(self) -> str:
        """Its name, or words where an imported file does not say what was measured on."""
        return UNTOLD if self.name == UNKNOWN else self.name


@record
class Code:
    """Where something is written that is not ours.

    name: of the module that was loaded. sha256: sixteen digits, of the file and of what it is made of. repository,
    revision, dirty: of the git checkout that tracks the file; None where none does.
    """

    name: str
    file: str
    sha256: str | None = None
    repository: str | None = None
    revision: str | None = None
    dirty: bool | None = None


@record
class Environment:
    """All that may explain a difference between two runs; None and "unknown" are what an imported file does not say."""

    device: Device
    processor: str
    cores: int | None
    affinity: tuple[int, ...]
    threads: int | None
    memory_bytes: int | None
    system: str
    python: str
    packages: dict[str, str]
    governor: str | None
    load_average: float | None
    variables: dict[str, str]
    revision: str | None
    dirty: bool | None


WIDER = {"bfloat16": ("float32",), "float16": ("float32",)}
"""Dtypes that hold every value of a dtype: its operands can be widened, so that its product is as fast as theirs."""


@record
class PublishedPeaks:
    """A data sheet's dense peaks: bytes a second and FLOP a second by dtype, without sparsity."""

    bandwidth: float
    rates: dict[str, float]


@record
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


@record
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
    threads: int | None
    bandwidth: float
    rates: dict[str, float]
    published: PublishedPeaks | None
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


@record
class Machine:
    """One of the machines that a run was measured on, with the one device of it that was used.

    host: its name. node: what a scheduler calls it, where one does. gpu: the UUID of its GPU. power_limit_w,
    sm_clock_mhz, memory_clock_mhz: the most that the GPU may take, and its highest clocks; None is what it did not say.
    """

    host: str
    environment: Environment
    ceilings: Ceilings
    node: str | None = None
    gpu: str | None = None
    power_limit_w: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None

    @property
    def key(self) -> str:
        """What measurements call it: no two devices of a run have the same."""
        return "/".join(part for part in (self.host, self.node, self.gpu) if part)


def better(before: Ceilings, now: Ceilings) -> Ceilings:
    """The better of each rate: a disturbance only ever makes one lower.

    Date and load are those of the last undisturbed measurement, where there was one: who measures under load does not
    make old ones new.
    """
    last = before if now.disturbed is not None and before.disturbed is None else now
    return replace(
        last,
        bandwidth=_better(before.bandwidth, now.bandwidth),
        read_bandwidth=_better(before.read_bandwidth, now.read_bandwidth),
        cache_bandwidth=_better(before.cache_bandwidth, now.cache_bandwidth),
        rates=_best(before.rates, now.rates),
        spread=_best(before.spread, now.spread),
    )


def _better(before: Any, now: Any) -> Any:
    """The greater of two rates, or the one that is known: None and NaN are not."""
    return max((rate for rate in (before, now) if rate is not None and rate == rate), default=before)


def _best(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    return {name: max(before.get(name, 0.0), now.get(name, 0.0)) for name in dict.fromkeys((*before, *now))}


def rate_of(rates: Mapping[str, float], dtype: str) -> float | None:
    """The largest rate of a dtype and of those that hold all its values; None where its own is not known."""
    if dtype not in rates:
        return None
    return max(rates[name] for name in (dtype, *WIDER.get(dtype, ())) if name in rates)
