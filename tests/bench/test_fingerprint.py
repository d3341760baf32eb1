"""A fingerprint changes with what an implementation is made of, and with nothing else."""

from __future__ import annotations

import importlib.metadata
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench import Needs, Registry, discover, implements
from attnlab.bench.fingerprint import _sources, fingerprint
from attnlab.bench.registry import Implementation


def made(source: Path, needs: Needs = Needs()) -> Implementation:  # noqa: B008
    own = Registry()
    implements("toy", name="mine", needs=needs, into=own)(lambda inputs: inputs)
    return replace(own.all_implementations()[0], source=str(source))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text("x = 1\n")
    return path


def test_it_is_the_same_for_the_same_source(file: Path, tmp_path: Path) -> None:
    first = fingerprint(made(file))
    assert first is not None
    assert len(first) == 16
    int(first, 16)
    elsewhere = tmp_path / "other" / "mine.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text(file.read_text())
    assert fingerprint(made(elsewhere)) == first


def test_a_change_of_the_source_changes_it(file: Path) -> None:
    before = fingerprint(made(file))
    file.write_text("x = 2\n")
    assert fingerprint(made(file)) != before


def test_a_version_of_a_package_it_needs_changes_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    versions = {"flash-attn": "2.8"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: versions.get(name) or real(name))
    needs = Needs(packages=("flash_attn",))
    with_28, without = fingerprint(made(file, needs)), fingerprint(made(file))
    versions["flash-attn"] = "2.9"
    assert fingerprint(made(file, needs)) != with_28
    assert fingerprint(made(file)) == without


def test_what_it_imports_of_ours_is_followed_and_nothing_else() -> None:
    registry = discover()
    kernel = {path.name for path in _sources(Path(registry.implementations("attention").get("triton").source))}
    assert "triton.py" in kernel
    assert {"attention_forward.py"} <= kernel, "through our implementations to our kernels"
    assert "registry.py" not in kernel, "the harness is no part of it"


def test_a_change_of_what_it_imports_changes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "attnlab_made_up"
    package.mkdir()
    (package / "helper.py").write_text("y = 1\n")
    mine = tmp_path / "mine.py"
    mine.write_text("def late():\n    from attnlab_made_up.helper import y\n")
    monkeypatch.setattr("attnlab.bench.fingerprint.OURS", ("attnlab_made_up.",))
    monkeypatch.syspath_prepend(tmp_path)
    before = fingerprint(made(mine))
    (package / "helper.py").write_text("y = 2\n")
    after = fingerprint(made(mine))
    sys.modules.pop("attnlab_made_up", None)
    assert after != before


@pytest.mark.parametrize("source", ["<stdin>", "__main__", "/nowhere/mine.py"])
def test_without_a_source_there_is_none(source: str) -> None:
    assert fingerprint(made(Path(source))) is None


def test_a_source_in_another_encoding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes("# coding: latin-1\nx = 'é'\n".encode("latin-1"))
    assert fingerprint(made(path))


def test_ours_all_have_one_of_their_own() -> None:
    found = [fingerprint(one) for one in discover().all_implementations() if one.module.startswith("attnlab.")]
    assert None not in found
    assert len(set(found)) == len(found) > 10
