"""Where the time of a call goes, by torch's profiler: kernels on a GPU, operations on a CPU.

Times come from a recording of the calls alone, and of these from the ones that other work did not keep waiting. Stacks
and memory come from another recording of one call, which takes far longer by what is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import MeasurementError
from attnlab.bench.machine.host import HostReader
from attnlab.bench.profilers import Profiler
from attnlab.bench.profilers.chrome_trace import CALL_MARK, ChromeTrace
from attnlab.bench.profilers.disturbed import least_disturbed
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.record import ToolRecord
from attnlab.bench.profilers.source_lines import lines_of
from attnlab.bench.profilers.trace_reading import record_of
from attnlab.bench.store.records import HostState
from attnlab.bench.text import count as told

if TYPE_CHECKING:
    import torch

CALLS = 5
RECORDED_S, MOST_CALLS = 0.2, 20
LEAST_S, LEAST_CALLS = 2.0, 5  # of which one may well be undisturbed
MOST_EVENTS = 200_000  # in a call: with stacks its trace would take hundreds of megabytes
TRACE, STACKS = "trace.json.gz", "trace-with-stacks.json.gz"
OPENS = "opens in ui.perfetto.dev or chrome://tracing"


def kernel_times(call: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Nanoseconds of one call by kernel (CUDA) or by operation without those that it calls (CPU).

    The mean of a few calls after one that is not counted; what took no time is left out.
    """
    import torch

    on_gpu = device.type == "cuda"
    call()
    with torch.profiler.profile(activities=_activities(on_gpu)) as profiled:
        for _ in range(CALLS):
            call()
        if on_gpu:
            torch.cuda.synchronize(device)
    times: dict[str, float] = {}
    for event in profiled.key_averages():
        if on_gpu and event.device_type.name != "CUDA":
            continue
        micros = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if micros > 0:
            times[event.key] = times.get(event.key, 0.0) + micros * 1e3 / CALLS
    return times


def _activities(on_gpu: bool) -> list[Any]:
    from torch.profiler import ProfilerActivity

    return [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]


def _missing(call: ProfiledCall) -> str | None:
    return None


def _profile(call: ProfiledCall, folder: Path) -> ToolRecord:
    count = max(call.count_within(RECORDED_S, MOST_CALLS), call.count_within(LEAST_S, LEAST_CALLS))
    call.make(1)
    plain, hosts = _recorded(call, count, folder / TRACE)
    if not plain.calls:
        raise MeasurementError("torch's profiler recorded no call; expected a mark about each")
    taken, disturbed = least_disturbed([event.length_ns for event in plain.calls], hosts)
    files = [(TRACE, f"{told(count, 'call')}; {OPENS}")]
    deep, notes = None, []
    if plain.size / count <= MOST_EVENTS:
        deep, _ = _recorded(call, 1, folder / STACKS, with_stack=True, profile_memory=True, record_shapes=True)
        files.append((STACKS, f"one call with stacks of Python, shapes and memory, slowed by recording them; {OPENS}"))
    else:
        notes.append(f"a call has over {MOST_EVENTS} events, so that neither stacks nor memory were recorded")
    if len(taken) < len(plain.calls):
        which = "the others were kept waiting" if disturbed is None else "the quickest"
        notes.append(f"times are of {len(taken)} of {len(plain.calls)} calls: {which}")
    lines = lines_of(call.make_next) if deep is not None and not call.compiled else None
    found = record_of(
        plain.of_calls(taken), deep, on_gpu=call.on_gpu, lines=lines, files=tuple(files), notes=tuple(notes)
    )
    return replace(found, disturbed=disturbed)


def _recorded(call: ProfiledCall, count: int, path: Path, **options: Any) -> tuple[ChromeTrace, list[HostState]]:
    """Calls with a mark about each, in a trace that is kept, and the host over each; on a GPU each is waited for."""
    import torch

    hosts = []
    with torch.profiler.profile(activities=_activities(call.on_gpu), **options) as profiled:
        for _ in range(count):
            reader = HostReader()
            with torch.profiler.record_function(CALL_MARK):
                call.make_next()
            call.wait()
            hosts.append(reader.read())
    profiled.export_chrome_trace(str(path))
    return ChromeTrace.read(path), hosts


PROFILER = Profiler("torch", "torch's own profiler: kernels on a GPU, operations on a CPU", _missing, _profile, rank=10)
