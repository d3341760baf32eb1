"""What was listed before is told again without torch, for as long as nothing changed that it hangs on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.bench.cli import _kept_list
from attnlab.bench.cli._entries import ListEntry
from attnlab.bench.cli._kept_list import keep_list, kept_list
from attnlab.bench.contract import outline
from attnlab.bench.store.machine import Device

HERE = Device("cpu", "a processor")
ENTRIES = [ListEntry("axis", "rope.batch", "sequences"), ListEntry("implementation", "rope/x", "fast", "no GPU", "≈")]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "attnlab" / "lists"


def test_it_is_what_was_kept_on_this_device_alone(own_cache: Path) -> None:
    assert kept_list(HERE) is None
    keep_list(ENTRIES, HERE)
    assert kept_list(HERE) == ENTRIES
    assert kept_list(Device("cpu", "another")) is None
    assert len(list(own_cache.iterdir())) == 1


@pytest.mark.parametrize("text", ["", "[{}]", '{"a": 1}', "[1]", '[{"kind": "axis"}]'])
def test_what_is_damaged_is_made_again(own_cache: Path, text: str) -> None:
    keep_list(ENTRIES, HERE)
    next(own_cache.iterdir()).write_text(text)
    assert kept_list(HERE) is None
    keep_list(ENTRIES, HERE)
    assert kept_list(HERE) == ENTRIES


def test_a_cache_that_cannot_be_written_is_none(own_cache: Path) -> None:
    own_cache.parent.mkdir()
    own_cache.write_text("a file in its place")
    keep_list(ENTRIES, HERE)
    assert kept_list(HERE) is None


def test_a_changed_file_package_or_compiler_makes_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, packages = tmp_path / "impls", tmp_path / "site"
    ours.mkdir()
    packages.mkdir()
    monkeypatch.setattr(outline, "BENCH", tmp_path / "none")
    monkeypatch.setattr(outline, "roots", lambda: [ours])
    monkeypatch.setattr(sys, "path", [str(packages), "no such folder"])
    (ours / "one.py").write_text("1")

    def forgotten() -> bool:
        gone = kept_list(HERE) is None
        keep_list(ENTRIES, HERE)
        return gone

    assert forgotten()
    assert not forgotten()
    (ours / "notes.md").write_text("no code")
    assert not forgotten()
    (ours / "two.py").write_text("2")
    assert forgotten()
    os.utime(ours / "one.py", ns=(1, 1))
    assert forgotten()
    (packages / "new_package").mkdir()
    os.utime(packages, ns=(2, 2))
    assert forgotten()
    monkeypatch.setattr(_kept_list, "compiler_reason", lambda: "no compiler any more")
    assert forgotten()
    assert not forgotten()


def test_all_of_an_operator_is_told_again_without_torch() -> None:
    code = (
        "import sys\nfrom attnlab.bench.cli import main\n"
        "assert main(['list', 'rope', '--device', 'cpu']) == 0\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    first, second = (subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2))
    assert first.stderr == "True\n"
    assert second.stderr == "False\n"
    assert first.stdout == second.stdout
    assert "rope/triton" in first.stdout
