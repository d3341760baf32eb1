"""Measures the peak rates of this device: copies, reads, small blocks in its caches, matrix products."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from attnlab.bench import units
from attnlab.bench.contract.roofline import PUBLISHED
from attnlab.bench.machine.environment import host_id
from attnlab.bench.machine.host import HostReader
from attnlab.bench.machine.throttling import cores_used_by_others, disturbance
from attnlab.bench.store.machine import Ceilings, Device, Load
from attnlab.bench.store.records import HostState

if TYPE_CHECKING:
    import torch

MEASURED_DTYPES = ("float32", "bfloat16", "float16")
COPY_BYTES = {"cpu": 256 * units.MIB, "cuda": 4 * units.GIB}  # several times any last-level cache
CACHED_BYTES_A_THREAD = tuple(1024 * kib for kib in (16, 64, 256, 1024, 4096))
SIZES = {"cpu": (256, 512, 1024, 2048), "cuda": (4096, 8192)}  # of matrices; small ones get by a busy neighbour
ROUNDS = 3  # over all probes: a disturbance of a second does not meet every time of one probe
PROBE_NS = 0.15 * units.NS_PER_S
CACHED_PROBE_NS = 0.01 * units.NS_PER_S
LEAST_SAMPLES, MOST_SAMPLES = 3, 2_000
COPY, READ, CACHE = "copy", "read", "cache"

Probe = Callable[[], float]


def measure(device: Device) -> Ceilings:
    """Measure all rates now, each several times spread over some ten seconds, and keep the best of each."""
    import torch

    target = torch.device(device.kind)
    probes = dict(_probes(device, target))
    taken: dict[str, list[float]] = {name: [] for name in probes}
    hosts = []
    for _ in range(ROUNDS):
        for name, probe in probes.items():
            reader = HostReader()
            taken[name].append(probe())
            hosts.append(reader.read())
    best = {name: max(rates) for name, rates in taken.items()}
    return Ceilings(
        device=device.name,
        threads=torch.get_num_threads(),
        bandwidth=best[COPY],
        rates={dtype: best[dtype] for dtype in MEASURED_DTYPES},
        published=PUBLISHED.get(device.name),
        measured_at_s=time.time(),
        read_bandwidth=max(best[READ], best[COPY] / 2),  # reading takes no longer than reading and writing
        cache_bandwidth=best.get(CACHE),
        host=host_id(device, torch.get_num_threads()),
        load=_load(target, hosts),
        spread={name: 1 - min(rates) / max(rates) for name, rates in taken.items()},
    )


def _probes(device: Device, target: torch.device) -> Iterator[tuple[str, Probe]]:
    import torch

    size_bytes = _copy_bytes(device)
    yield COPY, lambda: _copy_bandwidth(target, size_bytes)
    yield READ, lambda: _read_bandwidth(target, size_bytes)
    if target.type == "cpu":
        yield CACHE, _cache_bandwidth
    for dtype in MEASURED_DTYPES:
        yield dtype, functools.partial(_matrix_rate, target, getattr(torch, dtype))


def _load(target: torch.device, hosts: Sequence[HostState]) -> Load:
    """What else ran: on a CPU whoever took its cores, on a GPU whoever computes on it."""
    elapsed_ns = sum(host.elapsed_ns for host in hosts)
    stolen = [host.stolen_ns for host in hosts if host.stolen_ns is not None]
    others = cores_used_by_others(hosts)
    disturbed = disturbance(hosts) if target.type == "cpu" else sharers(target.type)
    return Load(
        others=others,
        stolen=sum(stolen) / elapsed_ns if stolen else None,
        switches_per_s=sum(host.involuntary_switches for host in hosts) / units.ns_to_seconds(elapsed_ns),
        runnable=max((host.runnable for host in hosts if host.runnable is not None), default=None),
        disturbed=disturbed,
    )


def sharers(kind: str) -> str | None:
    """In words, who else computes on the GPU now; None where nobody does, or that is not known."""
    import torch

    from attnlab.bench.machine.gpu.cuda import CudaGpu

    others = CudaGpu(torch.device(kind)).other_processes()
    return f"other processes computed on the GPU: {', '.join(map(str, others))}" if others else None


def _copy_bytes(device: Device) -> int:
    """Several times the cache, but never more than an eighth of the memory, which holds two of it; in whole words."""
    wanted = COPY_BYTES[device.kind]
    return wanted if device.memory_bytes is None else min(wanted, device.memory_bytes // 32 * 4)


def _copy_bandwidth(device: torch.device, size_bytes: int) -> float:
    """Of a large block that is copied, and on a CPU of one that is written in place, which fetches no other lines."""
    import torch

    source = torch.randint(0, 256, (size_bytes,), dtype=torch.uint8, device=device).view(torch.int32)
    target = torch.empty_like(source)
    if device.type == "cpu":
        calls = [lambda: target.copy_(source), lambda: target.add_(1)]
    else:  # in a graph, torch's copy is the copy engine's, which takes a quarter longer on an H100 than a kernel does
        calls = [lambda: torch.bitwise_not(source, out=target)]
    return 2 * size_bytes / units.ns_to_seconds(_fastest_ns(calls, device))


def _read_bandwidth(device: torch.device, size_bytes: int) -> float:
    """Of a large block whose values are summed, or whose largest is looked for."""
    import torch

    block = torch.rand(size_bytes // 4, device=device)
    return size_bytes / units.ns_to_seconds(_fastest_ns([block.sum, block.max], device))


def _cache_bandwidth() -> float:
    """The best of small blocks of growing size, by calls that read and write one to three streams of float32."""
    import torch

    best, cpu = 0.0, torch.device("cpu")
    for size_bytes in CACHED_BYTES_A_THREAD:
        count = torch.get_num_threads() * size_bytes // 4
        a, b, out = torch.rand(count), torch.rand(count), torch.empty(count)
        for streams, call in (
            (2, functools.partial(torch.dot, a, b)),
            (2, functools.partial(a.mul_, 1.0)),
            (3, functools.partial(torch.add, a, b, out=out)),
        ):
            took_ns = _least_ns(call, cpu, CACHED_PROBE_NS)
            best = max(best, streams * 4 * count / units.ns_to_seconds(took_ns))
    return best


def _matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """The best of growing sizes; stops where a call of the next, of eight times the work, would take long."""
    import torch

    best = 0.0
    for n in SIZES["cpu" if device.type == "cpu" else "cuda"]:
        a = torch.randn(n, n, device=device).to(dtype)
        b = torch.randn(n, n, device=device).to(dtype)
        took_ns = _least_ns(functools.partial(torch.matmul, a, b), device)
        best = max(best, 2 * n**3 / units.ns_to_seconds(took_ns))
        if 8 * took_ns > 2 * PROBE_NS:
            break
    return best


def _fastest_ns(calls: Iterable[Callable[[], object]], device: torch.device) -> float:
    return min(_least_ns(call, device) for call in calls)


def _least_ns(call: Callable[[], object], device: torch.device, probe_ns: float = PROBE_NS) -> float:
    """The fastest of many calls: a ceiling is what the device can do when nothing disturbs it."""
    from attnlab.bench.machine.clocks import main_timer

    timer = main_timer(device, [call])
    call()
    samples = timer.burst(LEAST_SAMPLES)
    while sum(samples) < probe_ns and len(samples) < MOST_SAMPLES:
        samples += timer.burst(8)
    return min(samples)
