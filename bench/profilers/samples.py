"""Where Python's own time goes in a call: its stack is looked at many times a second while calls are made.

By py-spy where it is installed and may look, else by a thread of this process.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attnlab.bench.errors import MeasurementError
from attnlab.bench.machine.host import HostReader
from attnlab.bench.profilers import Profiler
from attnlab.bench.profilers.disturbed import least_disturbed
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.record import FUNCTION, CallPart, Listing, ToolFigure, ToolRecord
from attnlab.bench.profilers.source_lines import HARNESS, is_of_others, shown_path
from attnlab.bench.text import one_line
from attnlab.bench.units import format_share

SAMPLED_S, EVERY_S, PER_S = 1.0, 0.001, 1000
LEAST_SAMPLES = 10
HOST_CALLS, HOST_S = 30, 0.5
STACKS = "stacks.txt"
OPENS = "a stack and its number of samples a line; opens in speedscope.app"
MOST_LISTED = 15
MAKER = re.compile(r"[ .]make_next$")  # newer versions of py-spy put the class before it
ITSELF = ("the call itself",)
PY_SPY_START_S, PY_SPY_END_S = 10.0, 20.0

Stack = tuple[str, ...]
"""`file:line function`, the outermost first."""


def _missing(call: ProfiledCall) -> str | None:
    return None


def _profile(call: ProfiledCall, folder: Path) -> ToolRecord:
    call.make(1)
    taken, notes = _by_py_spy(call, folder)
    if taken is None:
        taken = _by_thread(call)
        notes.append(
            f"a thread of the process looked every {EVERY_S * 1e3:g} ms: it waits until the interpreter is free, so "
            "that calls into C which hold it are seen too rarely"
        )
    stacks = Counter({own: number for stack, number in taken.items() if (own := _within_call(stack))})
    total = sum(stacks.values())
    if total < LEAST_SAMPLES:
        raise MeasurementError(f"{total} samples in {SAMPLED_S:g} s were in the call; expected {LEAST_SAMPLES} or more")
    text = "".join(f"{';'.join(stack)} {number}\n" for stack, number in stacks.most_common())
    (folder / STACKS).write_text(text, encoding="utf-8")
    host_ns, disturbed = _host_ns(call)
    return ToolRecord(
        tool="samples",
        calls=0,
        parts=tuple(_parts(stacks, host_ns)),
        figures=(
            ToolFigure("samples", float(total), "1"),
            ToolFigure("host time until a call returns", host_ns, "ns", better="lower"),
        ),
        listings=(_lines(stacks),),
        files=((STACKS, OPENS),),
        notes=tuple(notes),
        disturbed=disturbed,
    )


def _host_ns(call: ProfiledCall) -> tuple[float, str | None]:
    """Median time until the host may go on, on a GPU of calls that find it idle; and how they were kept waiting."""
    times: list[float] = []
    hosts = []
    begun = time.perf_counter()
    while len(times) < HOST_CALLS and (not times or time.perf_counter() - begun < HOST_S):
        call.wait()
        reader = HostReader()
        start = time.perf_counter_ns()
        call.make_next()
        times.append(float(time.perf_counter_ns() - start))
        hosts.append(reader.read())
    call.wait()
    taken, disturbed = least_disturbed(times, hosts)
    return statistics.median(times[place] for place in taken), disturbed


def _by_thread(call: ProfiledCall) -> Counter[Stack]:
    """Stacks of this thread, seen by another one while it makes calls."""
    stacks: Counter[Stack] = Counter()
    looked_at, over = threading.get_ident(), threading.Event()

    def look() -> None:
        while not over.wait(EVERY_S):
            frame = sys._current_frames().get(looked_at)
            found = []
            while frame is not None:
                code = frame.f_code
                found.append(f"{code.co_filename}:{frame.f_lineno} {code.co_name}")
                frame = frame.f_back
            stacks[tuple(reversed(found))] += 1

    looker = threading.Thread(target=look, daemon=True)
    before = sys.getswitchinterval()
    sys.setswitchinterval(EVERY_S / 10)
    looker.start()
    try:
        _make_for(call, SAMPLED_S)
    finally:
        over.set()
        looker.join()
        sys.setswitchinterval(before)
    return stacks


def _by_py_spy(call: ProfiledCall, folder: Path) -> tuple[Counter[Stack] | None, list[str]]:
    """What py-spy sees of this process; None, and why, where it is not there or may not look."""
    program = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if program is None:
        return None, ["py-spy is not installed (pip install py-spy), which would see the stack without waiting"]
    raw = folder / "py-spy.txt"
    asked = ["record", "--pid", str(os.getpid()), "--rate", str(PER_S), "--format", "raw", "--full-filenames", "--idle"]
    with _started([program, *asked, "--output", str(raw)]) as looking:
        _make_until_seen(call, looking)
        _make_for(call, SAMPLED_S)
        looking.send_signal(signal.SIGINT)
        try:
            said = looking.communicate(timeout=PY_SPY_END_S)[0]
        except subprocess.TimeoutExpired:
            looking.kill()
            said = "it did not end"
    if not raw.is_file():
        return None, [f"py-spy could not look into the process: {_refused(said)}"]
    stacks: Counter[Stack] = Counter()
    for line in raw.read_text(encoding="utf-8", errors="replace").splitlines():
        stack, _, number = line.rpartition(" ")
        if number.isdigit():
            stacks[tuple(_of_py_spy(frame) for frame in stack.split(";"))] += int(number)
    raw.unlink()
    return stacks, []


def _refused(said: str) -> str:
    """Why py-spy sees nothing, and what helps."""
    if "ermission" in said or "ptrace" in said.lower():
        return "it has no right to; run as root, or start a container with --cap-add SYS_PTRACE"
    return one_line(said, 200) or "it said nothing"


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone at the end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _make_until_seen(call: ProfiledCall, looking: subprocess.Popen[str]) -> None:
    """Calls until py-spy has begun, which it does within a second, or has ended."""
    begun = time.monotonic()
    while looking.poll() is None and time.monotonic() - begun < min(1.0, PY_SPY_START_S):
        call.make(1)


def _make_for(call: ProfiledCall, seconds: float) -> None:
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        call.make(1)


def _of_py_spy(frame: str) -> str:
    """`function (file:line)` as `file:line function`."""
    name, opened, place = frame.rpartition(" (")
    return f"{place.removesuffix(')')} {name}" if opened else frame


def _within_call(stack: Stack) -> Stack:
    """What lies in the call: what is behind the harness's last frame that makes it; () where it was not in one."""
    makers = [at for at, frame in enumerate(stack) if frame.startswith(HARNESS) and MAKER.search(frame)]
    if not makers:
        return ()
    inner = [_told(frame) for frame in stack[makers[-1] + 1 :] if not frame.startswith(HARNESS)]
    return tuple(inner) or ITSELF


def _told(frame: str) -> str:
    place, _, name = frame.partition(" ")
    file, _, line = place.rpartition(":")
    return f"{shown_path(file)}:{line} {name}"


def _parts(stacks: Counter[Stack], host_ns: float) -> Iterator[CallPart]:
    """Functions by the time in which they were innermost; the line that was seen most is theirs."""
    total = sum(stacks.values())
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    lines: dict[str, Counter[Stack]] = {}
    for stack, number in stacks.items():
        names = [_function(frame) for frame in stack]
        own[names[-1]] += number
        for name in dict.fromkeys(names):
            whole[name] += number
        lines.setdefault(names[-1], Counter())[stack] += number
    for name, number in own.most_common():
        stack = lines[name].most_common(1)[0][0]
        frames = tuple(reversed([frame for frame in stack if not is_of_others(frame)]))
        source = stack[-1].partition(" ")[0] if stack != ITSELF else None
        times = number / total * host_ns, whole[name] / total * host_ns
        yield CallPart(name, FUNCTION, *times, source=source, stack=frames)


def _function(frame: str) -> str:
    place, _, name = frame.partition(" ")
    file = place.rpartition(":")[0]
    return f"{name} ({file})" if file else frame


def _lines(stacks: Counter[Stack]) -> Listing:
    """Lines of Python by how often they were at work, those that they call included."""
    total = sum(stacks.values())
    seen: Counter[str] = Counter()
    for stack, number in stacks.items():
        for frame in dict.fromkeys(frame for frame in stack if not is_of_others(frame)):
            seen[frame] += number
    rows = tuple((frame, format_share(number / total)) for frame, number in seen.most_common(MOST_LISTED))
    return Listing("Lines of Python that were at work", ("line", "share of samples"), rows)


PROFILER = Profiler(
    "samples", "Python's stack, looked at many times a second: py-spy, or a thread", _missing, _profile, rank=20
)
