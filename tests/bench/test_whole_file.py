"""A file is the old one or the new one, never a part."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench.whole_file import whole_file


def test_it_takes_the_others_place_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with whole_file(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def half_written(path: Path, error: BaseException) -> None:
    with whole_file(path) as part:
        part.write_text("half")
        raise error


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_fails_leaves_what_was_there(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(type(error)):
        half_written(path, error)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"a": "old"}


def test_two_at_once_do_not_share_their_part(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as one, whole_file(tmp_path / "b") as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert [(tmp_path / name).read_text() for name in "ab"] == ["1", "2"]
