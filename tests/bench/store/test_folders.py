"""The user's cache, and new folders that never take the place of another."""

from pathlib import Path

import pytest

from attnlab.bench.store import folders
from attnlab.bench.store.folders import cache_folder, folder_name, new_folder


@pytest.mark.parametrize("relative", ["here", "", "."])
def test_a_relative_cache_home_is_ignored(relative: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", relative)
    assert cache_folder() == Path.home() / ".cache" / "attnlab"


def test_the_cache_lies_in_the_users_cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "attnlab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "attnlab"


def test_a_number_is_added_where_a_name_is_there(tmp_path: Path) -> None:
    wanted = tmp_path / "below" / "a.b"
    assert [new_folder(wanted).name for _ in range(3)] == ["a.b", "a.b-2", "a.b-3"]
    (tmp_path / "below" / "file").touch()
    assert new_folder(tmp_path / "below" / "file").name == "file-2"


def test_names_run_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "SAME_NAME_TRIES", 2)
    assert [new_folder(tmp_path / "a").name for _ in range(2)] == ["a", "a-2"]
    with pytest.raises(FileExistsError, match="2 folders are named so"):
        new_folder(tmp_path / "a")


def test_a_file_in_the_place_of_the_parent_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        new_folder(tmp_path / "file" / "a")


@pytest.mark.parametrize(
    "text", ["..", ".", "", "/tmp/x", "../../x", "a/b", "a\nb", "a\0b", "x" * 400, "漢" * 100, "\u202ex"]
)
def test_what_was_read_names_a_folder_in_another_one(tmp_path: Path, text: str) -> None:
    made = tmp_path / folder_name(text)
    made.mkdir()
    assert made.parent == tmp_path
    assert made.name.isprintable()
    assert [path for path in tmp_path.iterdir() if path.resolve() == made] == [made]


@pytest.mark.parametrize("text", ["20261122-081015-quick", "20261122-081015-my suite (é)", "x" * 200])
def test_a_name_is_itself(text: str) -> None:
    assert folder_name(text) == text
