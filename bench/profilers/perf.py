"""Counters of the processor and the kernel in a call, by Linux' `perf stat`: only what this machine lets one read."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from attnlab.bench.errors import MeasurementError
from attnlab.bench.profilers import Profiler
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.record import ToolFigure, ToolRecord
from attnlab.bench.text import one_line

RECORDED_S, MOST_CALLS = 0.5, 200
ACKNOWLEDGED, ANSWER_S = b"ack\n", 10.0
ASKED_S, ENDED_S = 20.0, 2.0
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
LINE_BYTES = 64
SAID = "perf.txt"
SILENT = "it does not answer"
INSTALL = "install it: apt-get install linux-perf (Debian) or linux-tools-generic (Ubuntu)"


@dataclass(frozen=True)
class Counter:
    """An event of perf, and what it is called here; better: as `ToolFigure` has it."""

    event: str
    name: str
    unit: str = "1"
    better: str | None = "lower"


HARDWARE = (
    Counter("cycles:u", "cycles"),
    Counter("instructions:u", "instructions"),
    Counter("branch-misses:u", "branch misses"),
    Counter("cache-references:u", "cache references"),
    Counter("cache-misses:u", "cache misses"),
    Counter("LLC-load-misses:u", "misses of the last cache"),
    Counter("dTLB-load-misses:u", "misses of the address cache"),
    # Vector width: Intel's and AMD's own events; those that the processor does not have are left out.
    Counter("fp_arith_inst_retired.scalar:u", "scalar floating-point instructions", better=None),
    Counter("fp_arith_inst_retired.128b_packed_single:u", "floating-point instructions of 128 bits", better=None),
    Counter("fp_arith_inst_retired.256b_packed_single:u", "floating-point instructions of 256 bits", better=None),
    Counter("fp_arith_inst_retired.512b_packed_single:u", "floating-point instructions of 512 bits", better=None),
    Counter("fp_ops_retired_by_width.scalar_uops_retired:u", "scalar floating-point instructions", better=None),
    Counter("fp_ops_retired_by_width.pack_128_uops_retired:u", "floating-point instructions of 128 bits", better=None),
    Counter("fp_ops_retired_by_width.pack_256_uops_retired:u", "floating-point instructions of 256 bits", better=None),
    Counter("fp_ops_retired_by_width.pack_512_uops_retired:u", "floating-point instructions of 512 bits", better=None),
)
SOFTWARE = (
    Counter("task-clock", "processor time", "ns"),
    Counter("page-faults", "page faults"),
    Counter("context-switches", "times off a core"),
    Counter("cpu-migrations", "moves to another core"),
)
MSEC = "msec"


def _missing(call: ProfiledCall) -> str | None:
    if shutil.which("perf") is None:
        return f"perf is not on this machine; {INSTALL}"
    refused = _refusal(("task-clock",))
    if refused is None:
        return None
    if refused == SILENT:
        return (
            f"`perf stat true` does not end within {ASKED_S:g} s; run it yourself to see why, or name the "
            "other tools: --tool torch,samples"
        )
    with suppress(OSError, ValueError):
        level = int(PARANOID.read_text())
        if level > 2 and os.geteuid() != 0:
            return (
                f"perf may not count (perf_event_paranoid is {level}); let it, as root: sysctl "
                "kernel.perf_event_paranoid=2"
            )
    return f"perf cannot count here: {refused}; in a container, start it with --cap-add PERFMON"


@cache
def _refusal(events: tuple[str, ...]) -> str | None:
    """Why perf does not take these events; None where it counts them."""
    asked = ["perf", "stat", "-j", "-e", ",".join(events), "--", "true"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, errors="replace", timeout=ASKED_S, env=_english())
    except subprocess.TimeoutExpired:
        return SILENT
    except OSError as error:
        return one_line(str(error), 200)
    if done.returncode:
        return one_line(done.stderr, 200) or f"it ended with exit code {done.returncode}"
    counted = list(_read(done.stderr))
    return None if any(value is not None for _, value, _ in counted) else "it is not supported"


def _profile(call: ProfiledCall, folder: Path) -> ToolRecord:
    hardware = [counter for counter in HARDWARE if _refusal((counter.event,)) is None]
    notes = []
    if not hardware:
        notes.append(
            "this machine shows no counters of its processor (cycles, instructions, cache misses): virtual machines "
            "seldom do; take it on the machine itself, or on one whose host passes them on"
        )
    counters = [*hardware, *SOFTWARE]
    call.make(1)
    count = call.count_within(RECORDED_S, MOST_CALLS)
    said = _counted(call, count, [counter.event for counter in counters])
    (folder / SAID).write_text(said, encoding="utf-8")
    figures = list(_figures(said, counters, count))
    if not figures:
        raise MeasurementError(f"perf counted nothing: {one_line(said, 300) or 'it said nothing'}")
    return ToolRecord(
        "perf", count, figures=tuple(figures), files=((SAID, "what perf stat printed"),), notes=tuple(notes)
    )


def _counted(call: ProfiledCall, count: int, events: Sequence[str]) -> str:
    """What perf prints of so many calls of this process; it counts in them alone."""
    with _pipe() as (order_out, order_in), _pipe() as (answer_out, answer_in):
        control = f"fd:{order_out},{answer_in}"
        asked = ["perf", "stat", "-j", "-D", "-1", "--control", control, "-e", ",".join(events), "-p", str(os.getpid())]
        process = subprocess.Popen(
            asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            pass_fds=(order_out, answer_in),
            env=_english(),
        )
        try:
            _order(process, order_in, answer_out, "enable")
            call.make(count)
            _order(process, order_in, answer_out, "disable")
            process.send_signal(signal.SIGINT)
            return process.communicate(timeout=20)[1]
        except subprocess.TimeoutExpired as error:
            raise MeasurementError("perf did not end within 20 s") from error
        finally:
            if process.poll() is None:
                _killed(process)


def _order(process: subprocess.Popen[str], order: int, answer: int, word: str) -> None:
    """Have perf begin or end to count, and wait until it has."""
    os.write(order, f"{word}\n".encode())
    ready: list[int] = []
    begun = time.monotonic()
    while not ready and process.poll() is None and time.monotonic() - begun < ANSWER_S:
        ready, _, _ = select.select([answer], [], [], 0.1)
    if not ready or not os.read(answer, 16).startswith(ACKNOWLEDGED):
        raise MeasurementError(f"perf would not {word}: {one_line(_killed(process), 300) or 'it said nothing'}")


def _killed(process: subprocess.Popen[str]) -> str:
    """End it at once; what it said, unless others that it started hold its pipes open."""
    process.kill()
    try:
        return process.communicate(timeout=ENDED_S)[1]
    except subprocess.TimeoutExpired:
        return ""


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    out, into = os.pipe()
    try:
        yield out, into
    finally:
        os.close(out)
        os.close(into)


def _english() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}


def _read(said: str) -> Iterator[tuple[str, float | None, str]]:
    """Event, value (None where it was not counted) and unit, of each line of JSON that perf printed."""
    for line in said.splitlines():
        try:
            told = json.loads(line)
            event, text, unit = str(told["event"]), str(told["counter-value"]), str(told.get("unit", ""))
        except (ValueError, KeyError, TypeError):
            continue
        try:
            yield event, float(text), unit
        except ValueError:
            yield event, None, unit


def _figures(said: str, counters: Sequence[Counter], calls: int) -> Iterator[ToolFigure]:
    known = {counter.event: counter for counter in counters}
    found: dict[str, float] = {}
    for event, value, unit in _read(said):
        counter = known.get(event)
        if counter is not None and value is not None:
            one = value * (1e6 if unit == MSEC else 1.0) / calls
            found[counter.name] = one
            yield ToolFigure(counter.name, one, counter.unit, better=counter.better)
    if found.get("cycles"):
        yield ToolFigure("instructions a cycle", found.get("instructions", 0.0) / found["cycles"], "1", better="higher")
    if "misses of the last cache" in found:
        read = found["misses of the last cache"] * LINE_BYTES
        yield ToolFigure("bytes read from memory", read, "B", better="lower")


PROFILER = Profiler("perf", "counters of the processor and the kernel, by Linux' perf", _missing, _profile, rank=30)
