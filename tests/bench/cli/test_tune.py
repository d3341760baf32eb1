"""`attnlab tune`: a search of a plugin's space by real processes, what is kept of it, and what cannot be asked."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from attnlab.bench.analysis.landscape import Landscape, landscapes
from attnlab.bench.machine.environment import describe_device
from attnlab.bench.store.records import Outcome
from attnlab.bench.store.run_folder import read_run
from attnlab.bench.text import file_stem


@dataclass(frozen=True)
class Tuned:
    """A search of three candidates beside what is built in, by a process of its own."""

    ended: subprocess.CompletedProcess[str]
    cwd: Path

    @property
    def folder(self) -> Path:
        (folder,) = (self.cwd / "out").iterdir()
        return folder

    @property
    def landscape(self) -> Landscape:
        (found,) = landscapes(read_run(self.folder))
        return found


@pytest.fixture(scope="module")
def plugin(helpers: Path) -> Path:
    return helpers / "tunable.py"


@pytest.fixture(scope="module")
def tuned(attnlab: Callable[..., subprocess.CompletedProcess[str]], plugin: Path, tmp_path_factory) -> Tuned:
    cwd = tmp_path_factory.mktemp("home")
    asked = ("tune", "toy", "--impl", "tunable", "--case", "N64", "--only", "tile=1", "--turns", "1")
    return Tuned(attnlab(*asked, "--plugin", plugin, "--out", "out", cwd=cwd), cwd)


def test_each_candidate_is_checked_and_a_wrong_one_is_told(tuned: Tuned) -> None:
    assert tuned.ended.returncode == 1, tuned.ended.stderr
    outcomes = {one.name: one.measured and one.measured.outcome for one in tuned.landscape.candidates}
    assert outcomes == {
        "tunable+1-right": Outcome.PASSED,
        "tunable+1-slow": Outcome.PASSED,
        "tunable+1-wrong": Outcome.WRONG_VALUES,
    }
    assert "! tile=1, way=wrong: wrong_values: " in tuned.ended.stdout
    assert "none comes near the built-in tile=1, way=right" in tuned.ended.stdout


def test_a_slow_one_is_stopped_early(tuned: Tuned) -> None:
    slow = next(one for one in tuned.landscape.candidates if one.name == "tunable+1-slow")
    assert slow.stopped
    assert slow.measured is not None
    assert slow.measured.configuration == "tile=1, way=slow"
    assert slow.over_default is not None
    assert slow.over_default.median > 2
    assert "tile=1, way=slow: " in tuned.ended.stderr


def test_each_has_a_process_of_its_own(tuned: Tuned) -> None:
    processes = [one.measured.launches[0].process for one in tuned.landscape.candidates if one.ratio and one.measured]
    assert len(set(processes)) == len(processes) == 2


def test_the_table_fits_eighty_characters(tuned: Tuned) -> None:
    from attnlab.bench.cli._landscape import lines

    shown = list(lines(tuned.landscape, 80))
    assert max(map(len, shown)) <= 80
    assert any("built in" in line for line in shown)


def test_a_search_at_its_end_measures_nothing(tuned: Tuned, cli, plugin: Path, monkeypatch) -> None:
    monkeypatch.chdir(tuned.cwd)
    before = (tuned.folder / "measurements.jsonl").read_bytes()
    asked = ("tune", "toy", "--impl", "tunable", "--case", "N64", "--only", "tile=1", "--turns", "1")
    ended = cli(*asked, "--plugin", plugin, "--resume", tuned.folder, "--json", "--keep", tuned.cwd / "kept")
    assert ended.code == 1, ended.err
    told = json.loads(ended.out)
    assert (told["kept"], told["cases"][0]["winner"]) == (None, None)
    assert not (tuned.cwd / "kept").exists(), "there is no winner to keep"
    assert (tuned.folder / "measurements.jsonl").read_bytes() == before
    ended = cli(*asked[:-2], "--plugin", plugin, "--resume", tuned.folder, "--only", "way=right")
    assert ended.code == 2
    assert "resume it by its own command: attnlab tune toy --impl tunable" in ended.err


def test_the_plan_measures_nothing(cli, plugin: Path) -> None:
    ended = cli("tune", "toy", "--impl", "tunable", "--case", "N64", "--plugin", plugin, "--plan")
    assert ended.code == 0, ended.err
    first, second, left_out, time, memory = ended.out.splitlines()
    assert first == "toy/tunable: tile 1, 2, 4096; way right, slow, wrong"
    assert second == "N64: 6 candidates, with the built-in tile=1, way=right; 3 left out"
    assert left_out == "  left out, 3: longer than the case"
    assert time.startswith("time: at most about ")
    assert memory.startswith("memory: up to ")
    told = json.loads(
        cli("tune", "toy", "--impl", "tunable", "--case", "N64", "--plugin", plugin, "--plan", "--json").out
    )
    assert told["cases"] == [{"case": "N64", "candidates": 6, "left_out": 3}]
    assert told["to_measure"] == 6
    assert not Path("results").exists()


BAD = {
    "an operator that there is not": (
        "attentio --impl tiled",
        "unknown operator 'attentio'; did you mean 'attention'?",
    ),
    "an implementation that there is not": ("attention --impl tild", "did you mean 'tiled'?"),
    "one without a space": ("attention --impl naive", "attention/naive has no search space: it declares no"),
    "a case that is not served": ("linear --impl native --case M9-N8-K8", "does not serve M9"),
    "one that has no time here": ("attention --impl triton", "runs in Triton's interpreter, whose time means nothing"),
    "a name that there is not": ("attention --impl tiled --only block=1", "unknown name of a configuration 'block'"),
    "a value that there is not": ("attention --impl tiled --only block_q=1", "got block_q=1; expected of 64, 128"),
    "a name without values": ("attention --impl tiled --only block_q", "got --only 'block_q'; expected"),
    "a negative number of rounds": ("attention --impl tiled --turns -1", "got --turns -1; expected 0 to"),
    "a run that is no search": ("attention --impl tiled --resume nowhere", "nowhere holds no run"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_asked(cli, arguments: str, message: str) -> None:
    ended = cli("tune", *arguments.split(), "--device", "cpu")
    assert ended.code == 2, ended.err
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1 or ended.err.startswith("usage")
    assert not list(Path().glob("results/*"))


CONFIGS = {
    "cut": ("{", "is damaged: "),
    "of nothing": ("[]", "is damaged: it has no format and entries"),
    "of a later format": (
        '{"format": 9, "device": "DEVICE", "entries": []}',
        "is of format 9, and this attnlab writes 1",
    ),
    "of another device": (
        '{"format": 1, "device": "other", "entries": []}',
        "holds configurations of 'other', and this is",
    ),
    "with half an entry": ('{"format": 1, "device": "DEVICE", "entries": [{}]}', "is damaged: an entry lacks kernel"),
}


@pytest.mark.parametrize(("text", "message"), CONFIGS.values(), ids=CONFIGS)
def test_a_file_that_nothing_can_be_kept_in_is_told_before_anything_is_measured(cli, text: str, message: str) -> None:
    device = describe_device("cpu").name
    path = Path("kept", f"{file_stem(device)}.json")
    path.parent.mkdir()
    path.write_text(text.replace("DEVICE", device))
    ended = cli("tune", "attention", "--impl", "tiled", "--keep", "kept")
    assert ended.code == 2
    assert f"{path} {message}" in ended.err
    assert not Path("results").exists()


def test_a_run_of_another_kind_is_not_gone_on_with(cli, tmp_path: Path) -> None:
    run = Path(__file__).parents[3] / "results" / "20261122-081015-quick"
    ended = cli("tune", "attention", "--impl", "tiled", "--resume", run)
    assert ended.code == 2
    assert "is a run of 'quick', not of 'tune-attention-tiled'" in ended.err


def test_a_space_that_was_changed_since_is_told(tuned: Tuned, cli, plugin: Path, tmp_path: Path, monkeypatch) -> None:
    """The command is its own, so that it would not help to repeat it."""
    changed = tmp_path / plugin.name
    monkeypatch.syspath_prepend(str(plugin.parent))
    asked = ["tune", "toy", "--impl", "tunable", "--case", "N64", "--only", "tile=1", "--turns", "1"]
    for old, new in (('"slow", "wrong"', '"slow", "wrong", "new"'), ('{"kind": "toy"}', '{"kind": "other"}')):
        text = plugin.read_text(encoding="utf-8")
        assert old in text
        changed.write_text(text.replace(old, new), encoding="utf-8")
        run = json.loads((tuned.folder / "run.json").read_text(encoding="utf-8"))
        copy = tmp_path / "run"
        shutil.copytree(tuned.folder, copy, dirs_exist_ok=True)
        command = shlex.join(["attnlab", *asked, "--plugin", str(changed)])
        (copy / "run.json").write_text(json.dumps(run | {"command": command}), encoding="utf-8")
        ended = cli(*asked, "--plugin", changed, "--resume", copy)
        assert ended.code == 2
        assert "the command is the same, so what it names was changed since" in ended.err
        assert "start anew, without --resume" in ended.err


def test_a_winner_that_could_not_be_kept_is_told_before_anything_is_measured(cli) -> None:
    path = Path("kept", f"{file_stem(describe_device('cpu').name)}.json")
    path.parent.mkdir()
    path.write_text(json.dumps({"format": 1, "device": describe_device("cpu").name, "entries": []}))
    path.chmod(0o444)
    ended = cli("tune", "attention", "--impl", "tiled", "--keep", "kept")
    assert (ended.code, "is read-only; make it writable" in ended.err) == (2, True), ended.err
    assert not Path("results").exists()
