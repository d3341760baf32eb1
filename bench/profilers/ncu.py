"""What the hardware did in each kernel of a call, by Nsight Compute: one launch of each, clocks as they are.

Nsight Compute has to start the process that it looks into, so that the call is set up there again.
"""

from __future__ import annotations

import csv
import math
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.errors import MeasurementError
from attnlab.bench.profilers import Profiler
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.record import KERNEL, CallPart, ToolFigure, ToolRecord
from attnlab.bench.text import one_line

REPORT, TABLE = "kernels.ncu-rep", "kernels.csv"
LIMIT_S = 540.0
INSTALL = (
    "install Nsight Compute (developer.nvidia.com/nsight-compute or the package cuda-nsight-compute), put it on PATH"
)
REFUSED = "ERR_NVGPUCTRPERM"
LET = (
    "counters of the GPU are kept from users: run as root, or load the driver with "
    "NVreg_RestrictProfilingToAdminUsers=0 (developer.nvidia.com/ERR_NVGPUCTRPERM)"
)
STALLS = "smsp__average_warps_issue_stalled_"
STALL_REASONS = (
    "long_scoreboard",
    "short_scoreboard",
    "barrier",
    "math_pipe_throttle",
    "mio_throttle",
    "lg_throttle",
    "wait",
    "not_selected",
    "no_instruction",
    "membar",
    "gmma",
)


@dataclass(frozen=True)
class Metric:
    """A metric of Nsight Compute, and what it is called here."""

    metric: str
    name: str
    unit: str
    better: str | None = None


TIME = "gpu__time_duration.sum"
METRICS = (
    Metric(TIME, "time", "ns", "lower"),
    Metric("dram__bytes_read.sum", "bytes read from memory", "B", "lower"),
    Metric("dram__bytes_write.sum", "bytes written to memory", "B", "lower"),
    Metric("dram__throughput.avg.pct_of_peak_sustained_elapsed", "share of the memory's peak", "%"),
    Metric("lts__t_sector_hit_rate.pct", "hits in L2", "%", "higher"),
    Metric("sm__throughput.avg.pct_of_peak_sustained_elapsed", "share of the multiprocessors' peak", "%"),
    Metric("sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active", "tensor cores in use", "%", "higher"),
    Metric("sm__warps_active.avg.pct_of_peak_sustained_active", "occupancy", "%", "higher"),
    Metric("smsp__inst_executed.sum", "instructions", "1", "lower"),
    Metric("smsp__issue_active.avg.pct_of_peak_sustained_active", "cycles with an instruction", "%", "higher"),
    Metric("l1tex__data_bank_conflicts_pipe_lsu.sum", "conflicts of shared memory", "1", "lower"),
    Metric("launch__registers_per_thread", "registers", "1", "lower"),
    Metric("launch__shared_mem_per_block_dynamic", "shared memory of a block", "B", "lower"),
    Metric("launch__occupancy_limit_registers", "blocks that registers allow", "1", "higher"),
    Metric("launch__occupancy_limit_shared_mem", "blocks that shared memory allows", "1", "higher"),
    *(
        Metric(f"{STALLS}{why}_per_issue_active.ratio", f"stalled: {why.replace('_', ' ')}", "1", "lower")
        for why in STALL_REASONS
    ),
)
SCALES = {"": 1.0, "n": 1.0, "u": 1e3, "m": 1e6, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def _missing(call: ProfiledCall) -> str | None:
    if not call.on_gpu:
        return "Nsight Compute looks into kernels on an NVIDIA GPU; run it with --device cuda on a machine that has one"
    if shutil.which("ncu") is None:
        return f"ncu is not on PATH; {INSTALL}"
    if not call.command:
        return "Nsight Compute has to start the process itself, which only a call of an implementation lets it"
    return None


def _profile(call: ProfiledCall, folder: Path) -> ToolRecord:
    done = _run(command_of(call, folder), LIMIT_S)
    if REFUSED in done.stdout + done.stderr:
        raise MeasurementError(f"Nsight Compute may not read: {LET}")
    if not (folder / REPORT).is_file():
        said = one_line(done.stdout + done.stderr, 400) or f"it ended with exit code {done.returncode}"
        raise MeasurementError(f"Nsight Compute wrote no report: {said}")
    shown = _run(["ncu", "--import", str(folder / REPORT), "--csv", "--page", "raw", "--print-units", "base"], 60.0)
    (folder / TABLE).write_text(shown.stdout, encoding="utf-8")
    return read_table(shown.stdout)


def command_of(call: ProfiledCall, folder: Path) -> list[str]:
    """What is run: one call between CUDA's marks, each kernel replayed for its metrics, clocks left alone."""
    metrics = ",".join(metric.metric for metric in METRICS)
    return [
        "ncu",
        "--profile-from-start",
        "off",
        "--clock-control",
        "none",
        "--target-processes",
        "all",
        "--metrics",
        metrics,
        "--force-overwrite",
        "--export",
        str(folder / REPORT),
        *call.command,
    ]


def _run(command: Sequence[str], limit_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"Nsight Compute did not end within {limit_s:g} s; take a smaller case") from error
    except OSError as error:
        raise MeasurementError(f"Nsight Compute cannot be started: {error}") from error


def read_table(text: str) -> ToolRecord:
    """What `ncu --csv` prints, with a metric a column (`--page raw`) or a metric a line.

    Raises MeasurementError where there is no kernel in it.
    """
    lines = [line for line in text.splitlines() if line.startswith('"')]
    if not lines:
        said = one_line(text, 300) or "nothing"
        raise MeasurementError(f"ncu --csv gave no table; got: {said}")
    rows = list(csv.DictReader(lines))
    by_launch = _long(rows) if rows and {"ID", "Metric Name"} <= rows[0].keys() else _wide(rows)
    if not by_launch:
        raise MeasurementError("Nsight Compute saw no kernel between the marks; the call launches none on this device")
    return _record(by_launch)


Launches = list[tuple[str, dict[str, float]]]
"""A kernel's name and its metrics, in base units, for each launch."""


def _wide(rows: Sequence[Mapping[str, str]]) -> Launches:
    """The first row has the units."""
    if not rows:
        return []
    units, found = rows[0], []
    for row in rows[1:]:
        values = {name: value for name in row if (value := _number(row[name], units.get(name) or "")) is not None}
        found.append((row.get("Kernel Name") or "?", values))
    return found


def _long(rows: Sequence[Mapping[str, str]]) -> Launches:
    found: dict[str, tuple[str, dict[str, float]]] = {}
    for row in rows:
        _, values = found.setdefault(row["ID"], (row.get("Kernel Name") or "?", {}))
        value = _number(row.get("Metric Value"), row.get("Metric Unit") or "")
        if value is not None:
            values[row["Metric Name"]] = value
    return list(found.values())


def _number(text: str | None, unit: str) -> float | None:
    """A number in bytes or nanoseconds where it has such a unit; None of what is none, such as `n/a` and `nan`."""
    try:
        value = float((text or "").replace(",", ""))
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    if unit in ("s", "second"):
        return value * 1e9
    for base in ("byte", "second", "s"):
        prefix = unit.removesuffix(base)
        if unit.endswith(base) and prefix in SCALES:
            return value * SCALES[prefix]
    return value


def _record(launches: Launches) -> ToolRecord:
    """Launches of one kernel are put together: what is counted adds up, shares are weighted by time."""
    kernels: dict[str, list[dict[str, float]]] = defaultdict(list)
    for name, values in launches:
        kernels[name].append(values)
    parts = [
        CallPart(name, KERNEL, sum(v[TIME] for v in some) if all(v.get(TIME) for v in some) else None, count=len(some))
        for name, some in kernels.items()
    ]
    files = (
        (REPORT, "opens in Nsight Compute (ncu-ui)"),
        (TABLE, "all metrics by launch"),
    )
    note = f"kernels ran alone, one after another, with caches flushed between: {len(launches)} launches of one call"
    figures = tuple(figure for name, some in kernels.items() for figure in _figures(name, some))
    return ToolRecord(
        "ncu", 1, tuple(sorted(parts, key=lambda p: -(p.time_ns or 0.0))), figures, files=files, notes=(note,)
    )


def _figures(name: str, launches: Sequence[Mapping[str, float]]) -> Iterator[ToolFigure]:
    for metric in METRICS:
        known = [v for v in launches if metric.metric in v and (v[metric.metric] or metric.metric != TIME)]
        if not known:
            continue
        weights = [values.get(TIME) or 1.0 for values in known]
        if metric.metric.endswith(".sum"):
            value = sum(values[metric.metric] for values in known)
        else:
            weighted = sum(values[metric.metric] * weight for values, weight in zip(known, weights, strict=True))
            value = weighted / sum(weights)
        yield ToolFigure(metric.name, value, metric.unit, name, metric.better)


PROFILER = Profiler("ncu", "NVIDIA's Nsight Compute: what the hardware did in each kernel", _missing, _profile, rank=50)
