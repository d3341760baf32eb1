"""Making segments of many runs, by several processes where there is much to read."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from attnlab.bench.analysis.index.keys import measured_bytes
from attnlab.bench.analysis.index.segments import Made, Task, make_segment

BATCH_BYTES = 192 << 20  # of measurements, about as many as fill a segment
ALONE_BYTES = 48 << 20  # what one process reads before another has started
MOST_PROCESSES = 8
WORKER = "attnlab.bench.analysis.index.worker"


def make_segments(folder: Path, place: Path, tasks: Sequence[Task]) -> Iterator[Made]:
    """What becomes of the runs, some at a time; raises OSError, or what DuckDB raises."""
    processes = min(MOST_PROCESSES, len(os.sched_getaffinity(0)))
    whole = sum(measured_bytes(task.key) for task in tasks)
    if processes == 1 or whole < ALONE_BYTES:
        yield from (make_segment(folder, place, batch) for batch in batches(tasks, BATCH_BYTES))
        return
    yield from _by_processes(folder, place, list(batches(tasks, batch_bytes(tasks, processes))), processes)


def batch_bytes(tasks: Sequence[Task], processes: int) -> int:
    """The most bytes of a batch, so that each process has as many batches as the others, of about the same length."""
    sizes = [measured_bytes(task.key) for task in tasks]
    rounds = max(1, -(-sum(sizes) // (BATCH_BYTES * processes)))
    return sum(sizes) // (rounds * processes) + max(sizes)


def batches(tasks: Sequence[Task], most_bytes: int) -> Iterator[list[Task]]:
    """The tasks in their order, as many at a time as have so many bytes to read; at least one."""
    batch: list[Task] = []
    filled = 0
    for task in tasks:
        if batch and filled + measured_bytes(task.key) > most_bytes:
            yield batch
            batch, filled = [], 0
        batch.append(task)
        filled += measured_bytes(task.key)
    if batch:
        yield batch


def _by_processes(folder: Path, place: Path, work: Sequence[list[Task]], processes: int) -> Iterator[Made]:
    """What a process cannot make is made here."""
    waiting: queue.SimpleQueue[list[Task]] = queue.SimpleQueue()
    for batch in work:
        waiting.put(batch)
    done: queue.SimpleQueue[Made | list[Task]] = queue.SimpleQueue()
    children = [_start(folder, place) for _ in range(min(processes, len(work)))]
    threads = [threading.Thread(target=_serve, args=(child, waiting, done), daemon=True) for child in children]
    try:
        for thread in threads:
            thread.start()
        for _ in work:
            made = done.get()
            yield make_segment(folder, place, made) if isinstance(made, list) else made
    finally:
        for child in children:
            child.kill()
            child.wait()


def _start(folder: Path, place: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", WORKER, str(folder), str(place)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)


def _serve(
    child: subprocess.Popen[bytes],
    waiting: queue.SimpleQueue[list[Task]],
    done: queue.SimpleQueue[Made | list[Task]],
) -> None:
    """Give the process one batch after another; once it fails, the batches are given back as they are."""
    assert child.stdin is not None
    assert child.stdout is not None
    while True:
        try:
            batch = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            child.stdin.write(msgspec.json.encode(batch) + b"\n")
            child.stdin.flush()
            done.put(msgspec.json.decode(child.stdout.readline(), type=Made))
        except (OSError, ValueError, msgspec.MsgspecError):
            done.put(batch)
