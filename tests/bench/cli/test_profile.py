"""`attnlab profile` takes implementations apart in workers, and says why where it cannot."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench import PROFILERS
from attnlab.bench.cli.profile import _tell_refused
from attnlab.bench.measuring.profiled_run import BURSTS
from attnlab.bench.profilers.profiles import CaseProfile, read_profile
from attnlab.bench.profilers.record import OPERATION, CallPart, ToolRecord
from attnlab.bench.profilers.using import ToolUse
from attnlab.bench.store.records import Measurement, Outcome

PLUGIN = """
import os

import toy_operator
from attnlab.bench import PROFILERS, CallPart, Needs, Profiler, ToolRecord, implements


@implements("toy", name="thrice")
def thrice(inputs):
    return inputs.x * 3


@implements("toy", name="for_gpus", needs=Needs(device="cuda"))
def for_gpus(inputs):
    return inputs.x * 2


def dies(call, folder):
    (folder / "half.txt").write_text("half")
    if call.name == "toy/times":
        os._exit(3)
    return ToolRecord("fragile", 1, (CallPart("f", "function", 1.0),))


PROFILERS.add("fragile", Profiler("fragile", "dies", lambda call: None, dies), __name__)
"""


FOUND = ToolRecord("torch", 1, (CallPart("f", OPERATION, 1.0),))
PASSED = CaseProfile(Measurement("toy", "plus", {}, "N8", Outcome.PASSED), (ToolUse("torch", FOUND),), "toy-plus", 1e6)
COMMIT = ["-c", "user.name=me", "-c", "user.email=me@here", "commit", "-qm", "x"]
MINE = """
import toy_operator
from attnlab.bench import implements


@implements("toy", name="mine")
def mine(inputs):
    return inputs.x * 2
"""


@pytest.fixture
def plugin(helpers: Path, tmp_path: Path, plugins_forgotten: None) -> Iterator[Path]:
    shutil.copy(helpers / "toy_operator.py", tmp_path)
    shutil.copy(helpers / "toys.toml", tmp_path)
    path = tmp_path / "fragile.py"
    path.write_text(PLUGIN)
    yield path
    PROFILERS.discard("fragile")


def test_what_can_be_profiled_is_and_the_rest_is_told(plugin: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    """What is wrong is marked; a tool that takes its process with it costs neither other tools nor other calls."""
    names = ["plus", "thrice", "for_gpus", "times"]
    asked = ("--impl", ",".join(names), "--tool", "torch,ncu,fragile", "--unchecked")
    ended = cli("profile", "toy", *asked, "--plugin", plugin, "--out", "out", "--json")
    assert ended.code == 1
    (folder,) = (tmp_path / "out").iterdir()
    told = json.loads(ended.out)
    assert told["folder"] == str(folder.relative_to(tmp_path))
    assert [one["implementation"] for one in told["profiles"]] == names
    plus, thrice, for_gpus, times = read_profile(folder).cases

    assert plus.measurement.outcome is Outcome.PASSED
    assert plus.call_ns == plus.measurement.median_ns
    torch = plus.record("torch")
    assert torch is not None
    assert torch.kind(OPERATION)[0].name == "aten::add"
    assert (torch.kind(OPERATION)[0].source or "").startswith("toy_operator.py:")
    raw = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    folders = {path.name for path in (folder / times.place).iterdir()}
    assert folders == {"torch"}, "tools that found nothing leave none"
    assert {f"{plus.place}/torch/{name}" for name, _ in torch.files} <= raw
    assert {"index.html", "summary.md", "profile.json"} <= raw
    assert not any(name in path for path in raw for name in ("record.json", "call.json"))
    assert "ncu found nothing of plus, thrice, times: Nsight Compute looks into kernels on an NVIDIA GPU" in ended.err

    assert thrice.wrong is not None
    assert thrice.wrong.startswith("wrong_values: out on drawn inputs")
    assert thrice.record("torch") is not None
    assert thrice.call_ns is not None
    assert thrice.measurement.median_ns is None, "no time stands in the measurement of a wrong result"
    assert "Wrong result:" in (folder / "index.html").read_text()
    assert "**WRONG RESULT**" in (folder / "summary.md").read_text()

    assert "toy/for_gpus N8: unavailable: needs an NVIDIA GPU" in ended.err
    assert for_gpus.records == ()

    assert times.measurement.outcome is Outcome.FAILED
    assert times.record("torch") is not None, "what was found before is kept"
    assert "fragile found nothing of times: the process ended while it was at work" in ended.err


def test_two_revisions_stand_side_by_side(cli: Callable[..., Any], helpers: Path, tmp_path: Path) -> None:
    """Each side runs its own code, though the plugin is named once."""
    for name in ("toy_operator.py", "toys.toml"):
        shutil.copy(helpers / name, tmp_path)
    mine = tmp_path / "mine.py"
    mine.write_text(MINE)
    for arguments in (["init", "-q"], ["add", "."], COMMIT):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    mine.write_text(MINE.replace("inputs.x * 2", "inputs.x.neg() * -2"))
    ended = cli("profile", "toy", "--impl", "mine", "--plugin", "mine.py", "--base", "HEAD", "--tool", "torch")
    assert ended.code == 0
    assert "[1/2] toy/mine N8: passed, " in ended.err
    assert "[2/2] toy/mine N8: passed, " in ended.err
    (folder,) = (tmp_path / "profiles").iterdir()
    base, head = read_profile(folder).cases
    assert base.side.startswith("base HEAD (")
    assert head.side == "head worktree"
    before, after = ({part.name for part in side.records[0].kind(OPERATION)} for side in (base, head))
    assert "aten::mul" in before
    assert after - before == {"aten::neg"}
    assert f" ({BURSTS} bursts of each in turn)" in ended.out
    assert (folder / base.place / "torch" / "trace.json.gz").is_file()
    assert f"mine, {head.side}" in (folder / "summary.md").read_text()


def test_what_is_wrong_is_not_profiled_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    m = Measurement("toy", "thrice", {}, "N8", Outcome.WRONG_VALUES, reason="off by a half")
    _tell_refused([CaseProfile(m, (), "")])
    said = capsys.readouterr().err
    assert said == (
        "attnlab: toy/thrice N8: wrong_values: off by a half; --unchecked profiles it all the same, and marks it\n"
    )


def test_what_fails_is_told_with_the_command_that_shows_why(capsys: pytest.CaptureFixture[str]) -> None:
    m = Measurement("toy", "mine", {}, "N8", Outcome.FAILED, reason="CompilationError: at 7:4")
    _tell_refused([CaseProfile(m, (), "")])
    assert "failed: CompilationError: at 7:4; attnlab check toy --impl mine --case N8 shows" in capsys.readouterr().err


def test_where_nothing_can_be_profiled_nothing_is_kept(plugin: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    ended = cli("profile", "toy", "--impl", "for_gpus", "--plugin", plugin, "--tool", "torch", "--out", "out")
    assert ended.code == 2
    assert "nothing could be profiled; nothing is kept" in ended.err
    assert list((tmp_path / "out").iterdir()) == []


def test_what_fails_is_looked_at_without_a_call(plugin: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    """Such as a kernel that does not compile: the compiler's words and the line, once for all architectures."""
    broken = tmp_path / "broken.py"
    broken.write_text(MINE.replace("return inputs.x * 2", 'raise RuntimeError("unsupported\\nin line 7")'))
    asked = ("--impl", "mine", "--plugin", broken, "--tool", "torch,static", "--arch", "90,100", "--out", "out")
    ended = cli("profile", "toy", *asked)
    assert ended.code == 1, "it failed"
    assert "It does not compile or launch for sm_90, sm_100." in ended.out
    assert "broken.py:8: RuntimeError: unsupported in line 7 (static)" in ended.out
    (folder,) = (tmp_path / "out").iterdir()
    assert "failed: RuntimeError: unsupported" in (folder / "index.html").read_text()


def test_a_full_disk_leaves_nothing_that_looks_whole(
    plugin: Path, cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("attnlab.bench.measuring.profiled_run.take_profiles", lambda *_: iter([PASSED]))
    monkeypatch.setattr("attnlab.bench.profilers.profiles.write_profile", full)
    ended = cli("profile", "toy", "--impl", "thrice", "--plugin", plugin, "--out", "out")
    assert ended.code == 2
    assert "out cannot be written (No space left on device); name another folder for it" in ended.err
    assert list((tmp_path / "out").iterdir()) == []


def test_interrupted_it_keeps_nothing_and_says_so(
    plugin: Path, cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> Iterator[CaseProfile]:
        raise KeyboardInterrupt

    monkeypatch.setattr("attnlab.bench.measuring.profiled_run.take_profiles", stopped)
    ended = cli("profile", "toy", "--impl", "thrice", "--plugin", plugin, "--out", "out")
    assert ended.code == 130
    assert "interrupted; a profile that is not whole is not kept" in ended.err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["atention", "--impl", "naive"], "unknown operator 'atention'; did you mean 'attention'?"),
        (["attention"], "--impl names what is profiled, and was not given; attention has "),
        (["attention", "--impl", "nave"], "unknown implementation of attention 'nave'; did you mean 'naive'?"),
        (["attention", "--impl", "naive", "--tool", "perv"], "unknown tool 'perv'; did you mean 'perf'?"),
        (["attention", "--impl", "naive", "--case", "Sq0"], "expected a whole number of at least 1"),
        (["attention", "--impl", "naive", "-a", "q_len"], "expected AXIS=VALUE"),
        (["attention", "--impl", "naive", "--time-limit", "0"], "expected seconds above 0"),
        (["attention", "--impl", "naive", "--isolated"], "go with --base REV"),
        (["attention", "--impl", "naive", "--base", "main"], "is in no git repository"),
    ],
)
def test_bad_input_is_told_before_anything_is_measured(
    arguments: list[str], why: str, cli: Callable[..., Any], tmp_path: Path
) -> None:
    ended = cli("profile", *arguments)
    assert ended.code == 2
    assert why in ended.err
    assert list(tmp_path.iterdir()) == []
