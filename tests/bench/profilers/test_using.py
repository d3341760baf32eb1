"""Tools are used one after another: what one cannot do costs the others nothing; what is half-written has no name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.errors import MeasurementError, StoreError, UnknownName
from attnlab.bench.profilers import PROFILERS, Profiler, in_order
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.profiles import (
    CaseProfile,
    Profile,
    finish_folder,
    folder_in_making,
    read_profile,
    write_profile,
)
from attnlab.bench.profilers.record import CallPart, ToolRecord
from attnlab.bench.profilers.using import chosen, read_uses, use

MakeCall = Callable[..., ProfiledCall]


@pytest.fixture
def tools() -> Iterator[Callable[..., None]]:
    """Adds a tool for a test."""
    added = []

    def add(
        name: str, profile: Callable[..., ToolRecord], missing: str | None = None, needs_calls: bool = True
    ) -> None:
        tool = Profiler(name, "a toy", lambda call: missing, profile, needs_calls)
        PROFILERS.add(name, tool, __name__)
        added.append(name)

    yield add
    for name in added:
        PROFILERS.discard(name)
        PROFILERS.of_plugins.remove(name)


def finds(call: ProfiledCall, folder: Path) -> ToolRecord:
    call.make(2)
    (folder / "raw.txt").write_text("raw")
    return ToolRecord("t", 2, (CallPart("f", "function", 1.0),), files=(("raw.txt", "raw"),))


def fails(call: ProfiledCall, folder: Path) -> ToolRecord:
    (folder / "half.txt").write_text("half")
    raise KeyError("what")


def refuses(call: ProfiledCall, folder: Path) -> ToolRecord:
    raise MeasurementError("it may not; let it")


def test_each_tool_has_its_say(tools: Callable[..., None], made_call: MakeCall, tmp_path: Path) -> None:
    tools("t-fails", fails)
    tools("t-refuses", refuses)
    tools("t-empty", lambda call, folder: ToolRecord("t-empty", 3))
    tools("t-lacks", finds, missing="it is not here; get it")
    tools("t-finds", finds)
    names = [profiler.name for profiler in in_order() if profiler.name.startswith("t-")]
    told: list[str] = []
    use(names, made_call(), tmp_path, told.append)
    found = {one.tool: one for one in read_uses(names, tmp_path)}
    assert told == names
    assert found["t-finds"].record is not None
    assert found["t-finds"].record.tool == "t-finds"
    assert found["t-fails"].refused == "it fails: KeyError: 'what'"
    assert found["t-refuses"].refused == "it may not; let it"
    assert found["t-empty"].refused == "it found nothing; expected times, figures or findings"
    assert found["t-lacks"].refused == "it is not here; get it"
    assert [path.name for path in (tmp_path / "t-finds").iterdir()] == ["raw.txt"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["t-finds"], "nothing half-written is left"


def test_a_tool_that_took_the_process_with_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (one,) = read_uses(["torch", "samples"], tmp_path)
    assert (one.tool, one.refused) == ("torch", "the process ended while it was at work")


def test_what_needs_no_call_serves_what_cannot_be_timed(
    tools: Callable[..., None], made_call: MakeCall, tmp_path: Path
) -> None:
    tools("t-static", lambda call, folder: ToolRecord("t", 0, (CallPart("k", "kernel", None),)), needs_calls=False)
    tools("t-timed", finds)
    call = replace(made_call(), calls=(), untimed="Triton's interpreter")
    static, timed = use(["t-static", "t-timed"], call, tmp_path)
    assert static.record is not None
    assert timed.refused == "nothing of it is timed here: Triton's interpreter"


def test_tools_are_chosen_by_name() -> None:
    assert chosen(["samples", "torch"]) == ["torch", "samples"], "by rank"
    assert chosen(["all"]) == [profiler.name for profiler in in_order()]
    with pytest.raises(UnknownName, match=r"unknown tool 'tourch'; did you mean 'torch'\?"):
        chosen(["tourch"])


def test_a_folder_that_is_not_whole_has_no_name(tmp_path: Path) -> None:
    def make() -> None:
        with folder_in_making(tmp_path / "out" / "profile") as making:
            (making / "raw.txt").write_text("raw")
            assert making.name.startswith(".")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_whole_folder_takes_no_others_place(tmp_path: Path) -> None:
    wanted = tmp_path / "profile"
    for name in ("profile", "profile-2"):
        with folder_in_making(wanted) as making:
            (making / "raw.txt").write_text("raw")
            assert finish_folder(making, wanted) == tmp_path / name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["profile", "profile-2"]
    assert (tmp_path / "profile-2" / "raw.txt").is_file()


def test_where_nothing_can_be_written_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match=r"cannot be written .*; name another folder for it"),
        folder_in_making(tmp_path / "file" / "profile"),
    ):
        pass


def test_a_profile_is_read_as_it_was_written(
    made_profile: Callable[..., CaseProfile], made_run: Callable[..., object], tmp_path: Path
) -> None:
    tool = ToolRecord("torch", 2, (CallPart("f", "function", 1.0, stack=("a", "b")),), timelines=())
    profile = Profile(made_run(), (made_profile(tool),))
    write_profile(profile, tmp_path)
    assert read_profile(tmp_path) == profile


def test_what_is_no_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no profile"):
        read_profile(tmp_path)
    (tmp_path / "profile.json").write_text(json.dumps({"cases": []}))
    with pytest.raises(StoreError, match="is damaged"):
        read_profile(tmp_path)
