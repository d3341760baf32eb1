"""Temporary folders whose owner was killed are cleared; a living one's, and what is nobody's, are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.bench.measuring.temporary_folders import LOCK, clear_abandoned, own_folder

HOLD = """
from attnlab.bench.measuring.temporary_folders import own_folder
with own_folder("run") as folder:
    print(folder, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_it_goes_at_the_end() -> None:
    with own_folder("gate") as folder:
        (folder / "deep").mkdir()
        assert folder.name.startswith("attnlab-gate-")
    assert not folder.exists()


def test_a_living_owners_folder_stays_and_a_killed_ones_goes() -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    assert clear_abandoned() == []
    process.kill()
    process.communicate()
    assert folder.is_dir()
    assert clear_abandoned() == [folder]
    assert not folder.exists()


def test_its_own_folder_is_not_cleared_by_the_process_that_holds_it() -> None:
    with own_folder("gate") as folder:
        assert clear_abandoned() == []
        assert folder.is_dir()


def test_what_has_no_lock_or_is_a_link_stays(tmp_path: Path) -> None:
    (tmp_path / "attnlab-mine").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / LOCK).touch()
    (tmp_path / "attnlab-link").symlink_to(tmp_path / "mine")
    assert clear_abandoned() == []
    assert (tmp_path / "attnlab-mine").is_dir()
    assert (tmp_path / "mine").is_dir()
