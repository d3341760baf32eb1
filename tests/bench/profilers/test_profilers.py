"""Profilers take a real call apart on the CPU, and say why where they cannot."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from attnlab.bench.errors import MeasurementError
from attnlab.bench.profilers import PROFILERS
from attnlab.bench.profilers import perf as perf_tool
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.record import FUNCTION, OPERATION
from attnlab.bench.profilers.samples import _of_py_spy, _within_call
from attnlab.bench.profilers.source_lines import HARNESS, shown_path
from attnlab.bench.profilers.torch_profile import kernel_times

MakeCall = Callable[..., ProfiledCall]


def product() -> torch.Tensor:
    a = torch.ones(64, 64)
    return (a @ a).exp()


def test_the_time_of_a_call_is_told_by_operation() -> None:
    a = torch.ones(64, 64)
    times = kernel_times(lambda: a @ a, torch.device("cpu"))
    assert times["aten::mm"] > 0
    assert all(nanoseconds > 0 for nanoseconds in times.values())


def test_torch_tells_operations_lines_and_memory(made_call: MakeCall, tmp_path: Path) -> None:
    found = PROFILERS.get("torch").profile(made_call(product), tmp_path)
    parts = {part.name: part for part in found.kind(OPERATION)}
    first = product.__code__.co_firstlineno
    here = os.path.relpath(__file__)
    assert parts["aten::mm"].source == parts["aten::exp"].source == f"{here}:{first + 2}"
    assert parts["aten::ones"].bytes == 0, "it has aten::empty allocate"
    assert found.figure("memory allocated") == 3 * 64 * 64 * 4
    assert (found.figure("peak of memory") or 0) >= 2 * 64 * 64 * 4
    assert {path.name for path in tmp_path.iterdir()} == {name for name, _ in found.files}
    assert 1 <= found.calls <= 20


def busy() -> float:
    """Python, and nothing else."""
    return sum(number * 0.5 for number in range(20_000))


def test_samples_tell_the_line_of_python(made_call: MakeCall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnlab.bench.profilers.samples.SAMPLED_S", 0.3)
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    found = PROFILERS.get("samples").profile(made_call(busy), tmp_path)
    line = f"{os.path.relpath(__file__)}:{busy.__code__.co_firstlineno + 2}"
    assert any(part.source == line for part in found.kind(FUNCTION))
    assert found.listings[0].rows[0][0].startswith(line)
    assert (found.figure("host time until a call returns") or 0) > 10_000
    stacks = (tmp_path / "stacks.txt").read_text().splitlines()
    assert all(stack.rpartition(" ")[2].isdigit() for stack in stacks)
    assert not any("make_next" in stack for stack in stacks), "the harness is none of it"
    assert "py-spy is not installed" in found.notes[0]


def test_too_few_samples_are_no_profile(made_call: MakeCall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnlab.bench.profilers.samples.SAMPLED_S", 0.0)
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    with pytest.raises(MeasurementError, match=r"samples in 0 s were in the call; expected 10 or more"):
        PROFILERS.get("samples").profile(made_call(lambda: time.sleep(0.001)), tmp_path)


def test_paths_are_told_from_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import attnlab.impls

    monkeypatch.chdir(tmp_path)
    folder = next(path for path in attnlab.impls.__path__ if Path(path).is_dir())
    assert shown_path(f"{folder}/attention/naive.py") == "impls/attention/naive.py"
    assert shown_path(torch.__file__) == "torch/__init__.py"
    assert shown_path(f"{tmp_path}/mine.py") == "mine.py"
    assert shown_path("/elsewhere/mine.py") == "/elsewhere/mine.py"


def test_what_the_harness_calls_it_by_is_none_of_a_call() -> None:
    maker, copy = f"{HARNESS}/profilers/profiled_call.py:60 make_next", f"{HARNESS}/measuring/renewal.py:67 __call__"
    assert _within_call(("/a.py:1 main", maker, copy, "/mine.py:3 run")) == ("/mine.py:3 run",)
    assert _within_call((maker, copy)) == ("the call itself",)
    assert _within_call(("/a.py:1 main", "/mine.py:3 run")) == (), "it was not in a call"


def test_a_frame_of_py_spy_is_read() -> None:
    qualified = f"ProfiledCall.make_next ({HARNESS}/profilers/profiled_call.py:61)"  # as from version 0.4 on
    assert _within_call((_of_py_spy(qualified), "/a/b.py:22 attend")) == ("/a/b.py:22 attend",)
    assert _of_py_spy("attend (/a/b.py:22)") == "/a/b.py:22 attend"
    assert _of_py_spy("thread (0x7F)") == "0x7F thread"


PERF = """#!{python}
# Takes the orders of `perf stat --control`, and prints what it prints.
import json, os, signal, sys, time

asked = sys.argv[1:]
events = asked[asked.index("-e") + 1].split(",")
if asked[-1] == "true":  # is the event counted here?
    value = "<not supported>" if "LLC" in events[0] else "1.0"
    print(json.dumps({"counter-value": value, "event": events[0]}), file=sys.stderr)
    sys.exit()
ended = []
signal.signal(signal.SIGINT, lambda *_: ended.append(1))
order, answer = map(int, asked[asked.index("--control") + 1].removeprefix("fd:").split(","))
for _ in range(2):
    os.read(order, 16)
    os.write(answer, b"ack\\n")
while not ended:
    time.sleep(0.005)
said = {"cycles:u": "3000.0", "instructions:u": "6000.0", "cache-misses:u": "<not counted>", "task-clock": "4.0"}
for event in events:
    unit = "msec" if event == "task-clock" else ""
    if event in said:
        print(json.dumps({"counter-value": said[event], "unit": unit, "event": event}), file=sys.stderr)
print("not JSON", file=sys.stderr)
"""


@pytest.fixture
def fake_perf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `perf` on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "perf"
    path.write_text(PERF.replace("{python}", sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    perf_tool._refusal.cache_clear()
    yield path
    perf_tool._refusal.cache_clear()


def test_counters_are_read_for_one_call(fake_perf: Path, made_call: MakeCall, tmp_path: Path) -> None:
    call = made_call()
    assert PROFILERS.get("perf").missing(call) is None
    (tmp_path / "raw").mkdir()
    found = PROFILERS.get("perf").profile(call, tmp_path / "raw")
    assert found.calls == 200
    assert found.figure("cycles") == 15
    assert found.figure("instructions a cycle") == 2
    assert found.figure("processor time") == 20_000
    assert found.figure("cache misses") is None, "not counted is not 0"
    assert (tmp_path / "raw" / "perf.txt").read_text().startswith("{")


def test_without_perf_it_is_told_how_to_get_it(made_call: MakeCall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt-get install linux-perf" in (PROFILERS.get("perf").missing(made_call()) or "")


def test_where_perf_may_not_count_it_is_told_who_lets_it(
    fake_perf: Path, made_call: MakeCall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_perf.write_text("#!/bin/sh\necho 'Access to performance monitoring is limited' >&2; exit 255\n")
    (tmp_path / "paranoid").write_text("4\n")
    monkeypatch.setattr(perf_tool, "PARANOID", tmp_path / "paranoid")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "kernel.perf_event_paranoid=2" in (PROFILERS.get("perf").missing(made_call()) or "")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "limited; in a container" in (PROFILERS.get("perf").missing(made_call()) or "")


def test_a_perf_that_hangs_is_no_want_of_rights(
    fake_perf: Path, made_call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_perf.write_text("#!/bin/sh\nexec sleep 20\n")
    monkeypatch.setattr(perf_tool, "ASKED_S", 0.2)
    said = PROFILERS.get("perf").missing(made_call()) or ""
    assert said.startswith("`perf stat true` does not end within 0.2 s; run it yourself")
    assert "container" not in said


@pytest.mark.parametrize("then", ["sleep 20", "head -c 200000 /dev/urandom >&2; sleep 20", "exit 7"])
def test_a_perf_that_hangs_or_dies_is_told_in_time(
    then: str, fake_perf: Path, made_call: MakeCall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = """echo '{"event": "x", "counter-value": "1"}' >&2"""
    fake_perf.write_text(f'#!/bin/sh\nfor last in "$@"; do :; done\n[ "$last" = true ] && {counts} && exit 0\n{then}\n')
    monkeypatch.setattr(perf_tool, "ANSWER_S", 0.3)
    monkeypatch.setattr(perf_tool, "ENDED_S", 0.3)
    begun = time.monotonic()
    with pytest.raises(MeasurementError, match="perf would not enable: "):
        PROFILERS.get("perf").profile(made_call(), tmp_path)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("name", ["proton", "ncu"])
def test_tools_for_a_gpu_say_so(name: str, made_call: MakeCall) -> None:
    assert "--device cuda" in (PROFILERS.get(name).missing(made_call()) or "")
