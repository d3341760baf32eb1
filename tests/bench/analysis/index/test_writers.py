"""Several processes at one index: each sees a whole one, and a killed one leaves nothing that stops the others."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from attnlab.bench.analysis.frame import frame
from attnlab.bench.analysis.index import making
from attnlab.bench.analysis.index.making import BATCH_BYTES, batch_bytes, batches
from attnlab.bench.analysis.index.opening import opened
from attnlab.bench.analysis.index.segments import Task
from attnlab.bench.analysis.index.table import frame_of
from attnlab.bench.store.run_folder import read_runs

CODE = """
import sys, time
from pathlib import Path
from attnlab.bench.analysis.index import keys, opening, segments
from attnlab.bench.analysis.index.table import frame_of
opening.SMALL_BYTES = 0
keys.SETTLED_NS = 0
plain = segments.read_record
def slowly(folder):
    print("reads", flush=True)
    time.sleep(float(sys.argv[2]))
    return plain(folder)
segments.read_record = slowly
index = opening.opened(Path(sys.argv[1]), print, print)
print(len(frame_of(index)))
"""


def process(folder: Path, slow_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CODE, str(folder), str(slow_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_index_at_once_and_one_is_killed(results: Path, told: list[str]) -> None:
    killed = process(results, 60)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "reads\n"
    first, second = process(results, 0.05), process(results, 0.05)
    time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    expected = frame(read_runs(results))
    said = [done.communicate(timeout=60)[0].split("\n")[:-1] for done in (first, second)]
    assert [lines[-1] for lines in said] == [str(len(expected))] * 2
    assert sum(lines.count("reads") for lines in said) == 7, "what one has read the other does not"
    index = opened(results, told.append)
    assert index is not None
    pd.testing.assert_frame_equal(frame_of(index), expected)
    assert told == []


def test_who_reads_keeps_what_was_there_while_another_writes(results: Path, told: list[str]) -> None:
    before = frame(read_runs(results))
    index = opened(results, told.append)
    assert index is not None
    shutil.rmtree(results / "schema-1")
    assert opened(results, told.append) is not None
    pd.testing.assert_frame_equal(frame_of(index), before)


def test_many_bytes_are_read_by_several_processes(
    results: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "ALONE_BYTES", 0)
    index = opened(results, told.append)
    assert index is not None
    assert len({run.entry.segment for run in index.runs}) > 1
    pd.testing.assert_frame_equal(frame_of(index), frame(read_runs(results)))


def test_what_a_process_cannot_make_is_made_here(
    results: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "ALONE_BYTES", 0)
    monkeypatch.setattr(making, "WORKER", "attnlab.no_such_module")
    index = opened(results, told.append)
    assert index is not None
    pd.testing.assert_frame_equal(frame_of(index), frame(read_runs(results)))
    assert told == []


def test_batches_are_as_large_as_they_may_be() -> None:
    sizes = [5, 5, 20, 1, 1, 1]
    tasks = [Task(str(at), (0, 0, 0, 0, 0, size, 0, 0), at) for at, size in enumerate(sizes)]
    assert [[int(task.name) for task in batch] for batch in batches(tasks, 10)] == [[0, 1], [2], [3, 4, 5]]
    assert list(batches([], 10)) == []


@pytest.mark.parametrize("runs", [100, 1_000, 10_000])
def test_each_process_has_as_many_batches_as_the_others_and_as_long_ones(runs: int) -> None:
    tasks = [Task(str(at), (0, 0, 0, 0, 0, 560_000, 0, 0), at) for at in range(runs)]
    found = [len(batch) for batch in batches(tasks, batch_bytes(tasks, 2))]
    assert sum(found) == runs
    assert len(found) % 2 == 0
    assert max(found) <= 1.1 * min(found)
    assert max(found) * 560_000 <= 1.1 * BATCH_BYTES
