"""Environments of arms: kept by what they are made of, never reused where broken. Nothing is installed here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attnlab.bench.errors import GateClosed, UsageError
from attnlab.bench.gate import environments
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.environments import DONE, ArmEnvironment, isolated, own_packages, undetected_changes

Made = Callable[..., Arm]


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Makes a checkout that needs no package; its environments have this test's own packages and no pip."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(environments, "HARNESS_NEEDS", ())

    def make(name: str, requirements: str | None = "", revision: str = "a", dirty: bool = False) -> Arm:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        if requirements is not None:
            (root / "requirements.txt").write_text(requirements)
        return Arm(name, root, revision, revision, dirty)

    return make


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """All commands that building would have run; an environment is made of a link to this Python."""
    ran: list[list[str]] = []
    run = environments.subprocess.run

    def stand_in(command: list[str], **more: object) -> object:
        if command[:3] == [sys.executable, "-m", "venv"]:
            ran.append(["venv"])
            folder = Path(command[3])
            (folder / "bin").mkdir(parents=True)
            (folder / "lib" / "python3" / "site-packages").mkdir(parents=True)
            (folder / "bin" / "python").symlink_to(sys.executable)
            return run(["true"], capture_output=True, text=True)
        if "pip" in command:
            ran.append(command[command.index("install") :])
            return run(["true"], capture_output=True, text=True)
        return run(command, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(environments.subprocess, "run", stand_in)
    return ran


def folders(arms: list[Arm], prepare: str | None = None) -> dict[str, Path]:
    with isolated(arms, prepare, lambda line: None) as found:
        return {name: environment.folder for name, environment in found.items()}


def test_one_lock_is_built_once_and_another_beside_it(arm: Made, built: list[list[str]]) -> None:
    both = [arm("base", "torch==2.12\n"), arm("head", "torch==2.12\n")]
    found = folders(both)
    assert found["base"] == found["head"]
    assert [command[0] for command in built] == ["venv", "install"]
    assert built[1][-2:] == ["--requirement", "requirements.txt"]
    assert folders(both) == found
    assert len(built) == 2
    changed = folders([both[0], arm("head", "torch==2.13\n")])
    assert changed["base"] == found["base"]
    assert changed["head"] != found["base"]


def test_a_broken_environment_is_never_used_again(arm: Made, built: list[list[str]]) -> None:
    base = arm("base", "torch\n")
    folder = folders([base])["base"]
    (folder / DONE).unlink()  # as where the process that built it was killed
    (folder / "half").touch()
    folders([base])
    assert [command[0] for command in built] == ["venv", "install"] * 2
    assert not (folder / "half").exists()


def test_what_cannot_be_prepared_closes_and_leaves_nothing(arm: Made, built: list[list[str]], tmp_path: Path) -> None:
    with pytest.raises(GateClosed, match=r"base a .* could not be built: .* exit code 3; .* It said: no compiler"):
        folders([arm("base")], "echo no compiler; exit 3")
    assert list(tmp_path.glob("cache/attnlab/environments/prepared-*/")) == []


def test_prepare_is_told_its_folder_and_runs_over_the_locks_environment(
    arm: Made, built: list[list[str]], tmp_path: Path
) -> None:
    base = arm("base", "torch\n")
    told = tmp_path / "told"
    command = f'echo "$ATTNLAB_ARM $ATTNLAB_ENV $VIRTUAL_ENV $PWD" >> {told}'
    folder = folders([base], command)["base"]
    assert folder.name.startswith("prepared-")
    assert told.read_text().split() == ["base", str(folder), str(folder), str(base.root)]
    (layer,) = folder.glob("lib/python3/site-packages/attnlab-lock.pth")
    assert "environments/lock-" in layer.read_text()
    assert folders([base], command)["base"] == folder
    assert len(told.read_text().splitlines()) == 2, "what it builds in the checkout is built each time"
    assert len([command for command in built if command == ["venv"]]) == 2, "one of the lock, one over it"


def test_a_prepared_environment_is_one_revisions(arm: Made, built: list[list[str]]) -> None:
    one = folders([arm("base", revision="a")], "true")["base"]
    assert folders([arm("base", revision="b")], "true")["base"] != one
    assert folders([arm("base", revision="a")], "true # other")["base"] != one
    dirty = folders([arm("base", revision="a", dirty=True)], "true")["base"]
    assert not dirty.exists(), "that of a working tree with changes is kept for one gate"


def test_base_and_head_of_one_revision_do_not_wait_for_each_other(arm: Made, built: list[list[str]]) -> None:
    found = folders([arm("base"), arm("head")], "true")
    assert found["base"] != found["head"]


def test_editable_installs_of_earlier_checkouts_are_known(arm: Made, built: list[list[str]], tmp_path: Path) -> None:
    folders([arm("base")], "true")
    moved = Arm("base", tmp_path / "elsewhere", "a", "a")
    moved.root.mkdir()
    (moved.root / "requirements.txt").touch()
    with isolated([moved], "true", lambda line: None) as found:
        assert found["base"].checkouts == (tmp_path / "base", tmp_path / "elsewhere")


def test_an_arm_that_says_nothing_of_its_packages(arm: Made, built: list[list[str]]) -> None:
    bare = arm("base", None)
    with pytest.raises(UsageError, match="says nowhere which packages"):
        folders([bare])
    assert folders([bare], "true")["base"].name.startswith("prepared-")


def test_an_environment_without_torch_closes(
    arm: Made, built: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "HARNESS_NEEDS", ("no_such_module",))
    with pytest.raises(GateClosed, match="lacks no_such_module, which measuring needs"):
        folders([arm("base")])


def test_differences_are_told_by_name() -> None:
    base = ArmEnvironment(Path("/b"), "3.11.7", {"torch": "2.12", "numpy": "2.1", "old": "1"})
    head = ArmEnvironment(Path("/h"), "3.12.0", {"torch": "2.13", "numpy": "2.1", "new": "2"})
    assert base.differences(head) == ["new none → 2", "old 1 → none", "Python 3.11.7 → 3.12.0", "torch 2.12 → 2.13"]
    assert base.differences(base) == []


def test_locks_that_differ_are_named(arm: Made) -> None:
    assert undetected_changes(arm("base", "torch==2.12"), arm("head", "torch==2.13")) == ["requirements.txt"]
    assert undetected_changes(arm("base", "torch"), arm("head", "torch")) == []


def test_the_harness_is_the_same_for_both_and_comes_from_outside_the_environment(tmp_path: Path) -> None:
    arm = Arm("base", tmp_path / "base", "a", "main")
    theirs = own_packages(tmp_path, arm, tmp_path)
    harness = Path(environments.__file__).parents[1]
    assert theirs["attnlab.bench"] == str(harness)
    ours = own_packages(harness.parent, arm, tmp_path / "head")
    assert ours["attnlab.bench"] == str(tmp_path / "head" / harness.name)
    assert ours["attnlab.impls"] == str(tmp_path / "base" / "impls")


def test_what_was_written_last_says_that_it_is_whole(arm: Made, built: list[list[str]]) -> None:
    folder = folders([arm("base")])["base"]
    assert json.loads((folder / DONE).read_text()) == {"checkouts": []}
