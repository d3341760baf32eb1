"""A run that was killed goes on from there, repeats nothing, and cannot be mistaken for another."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.store.run_folder import read_run

SIZES = (4, 8, 16, 32)  # the plugin waits at the third for its gate
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Killed:
    """A run that was killed while its third case was measured, and what was alive then."""

    folder: Path
    command: list[str]
    processes: list[psutil.Process]


def wait_until(fact: Callable[[], bool]) -> None:
    """Give up after minutes; nothing is said of how long it takes."""
    deadline = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, helpers: Path, user_environment: dict[str, str]) -> Killed:
    home = tmp_path_factory.mktemp("home")
    sizes = ",".join(map(str, SIZES))
    command = ["run", "toy", "--plugin", str(helpers / "gated.py"), "--impl", "gated", "--quick", "-a", f"n={sizes}"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "attnlab.bench", *command],
            cwd=home,
            env=user_environment | {"GATE": str(home / "gate")},
            stdout=log,
            stderr=log,
        )
    lines = lambda: [*home.glob("results/*/measurements.jsonl")]  # noqa: E731
    wait_until(lambda: any(path.read_bytes().count(b"\n") == 2 for path in lines()))
    processes = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    return Killed(lines()[0].parent, command, processes)


@pytest.fixture
def folder(killed: Killed, tmp_path: Path) -> Path:
    """A copy of the killed run, to go on with or to spoil."""
    return Path(shutil.copytree(killed.folder, tmp_path / killed.folder.name))


def test_no_process_outlives_a_killed_run(killed: Killed) -> None:
    assert killed.processes, "a worker was at work"
    wait_until(lambda: not any(process.is_running() for process in killed.processes))


def test_a_killed_run_keeps_what_it_had(killed: Killed) -> None:
    stored = read_run(killed.folder)
    assert stored.damages == ()
    assert [m.case["n"] for m in stored.measurements] == [4, 8]


def test_it_goes_on_and_repeats_nothing(cli, killed: Killed, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE", __file__)  # open
    path = folder / "measurements.jsonl"
    before = path.read_bytes()
    record = (folder / "run.json").read_bytes()
    path.write_bytes(before[:-100])  # the second measurement is cut
    ended = cli(*killed.command, "--resume", folder)
    assert ended.code == 0
    assert f"attnlab: {path}:2: unreadable measurement: " in ended.err
    assert "; measured again" in ended.err
    assert "[1/3] toy/gated N8: passed" in ended.err
    assert "3 measured in" in ended.out
    assert "1 taken from before" in ended.out
    after = path.read_bytes()
    assert after.startswith(before[:-100]), "nothing is overwritten"
    assert (folder / "run.json").read_bytes() == record
    stored = read_run(folder)
    assert Counter(m.case["n"] for m in stored.measurements) == dict.fromkeys(SIZES, 1)
    assert after.count(b"\n") == 1 + len(SIZES), "one line for each, and the cut one"

    again = cli(*killed.command, "--resume", folder)
    assert again.code == 0
    assert "0 measured in" in again.out
    assert path.read_bytes() == after


OTHERS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "another suite": (lambda command: ["run", "quick"], "is a run of 'toy', not of 'quick'"),
    "other cases": (lambda command: [*command[:-1], "n=4,8"], "is a run of 'toy' with other cases or"),
    "other implementations": (lambda command: [*command, "--impl", "plus"], "or implementations than this command's"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_run_is_not_resumed(cli, killed: Killed, folder: Path, name: str) -> None:
    change, expected = OTHERS[name]
    command = change(killed.command)
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    ended = cli(*command, "--resume", folder)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert expected in ended.err
    assert f"resume it by its own command: attnlab {' '.join(killed.command)} --resume {folder}" in ended.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "device",
            {"kind": "cpu", "name": "another processor"},
            "was measured with cpu another processor, and this is cpu",
        ),
        ("threads", 96, "was measured with 96 threads, and this is"),
        ("packages", {"torch": "1.0"}, "was measured with torch 1.0, and this is torch 2"),
    ],
)
def test_another_machine_or_torch_does_not_go_on(
    cli, killed: Killed, folder: Path, key: str, value: object, expected: str
) -> None:
    record = json.loads((folder / "run.json").read_text())
    record["environment"][key] = value
    (folder / "run.json").write_text(json.dumps(record))
    ended = cli(*killed.command, "--resume", folder)
    assert ended.code == 2
    assert expected in ended.err
    assert "start a new run here" in ended.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "run.json is damaged: "),
        ('{"schema_version": 99}', "run.json is of schema version 99, and this attnlab reads up to"),
    ],
)
def test_a_damaged_or_later_run_is_not_resumed(cli, killed: Killed, folder: Path, text: str, expected: str) -> None:
    (folder / "run.json").write_text(text)
    ended = cli(*killed.command, "--resume", folder)
    assert ended.code == 2
    assert expected in ended.err
    assert (folder / "run.json").read_text() == text


def test_a_finished_run_shows_its_faults_by_its_exit_code(cli, killed: Killed, folder: Path) -> None:
    done = [replace(read_run(folder).measurements[0], case={"n": n}, case_id=f"N{n}") for n in SIZES[2:]]
    faulty = Measurement("toy", "gated", {"n": 32}, "N32", Outcome.TIMED_OUT, reason="took longer")
    with (folder / "measurements.jsonl").open("a") as file:
        file.writelines(json.dumps(encode(m)) + "\n" for m in (*done, faulty))
    ended = cli(*killed.command, "--resume", folder)
    assert ended.code == 1
    assert "0 measured in" in ended.out
    assert "took longer" in ended.out
