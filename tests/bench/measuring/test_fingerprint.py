"""A fingerprint changes with what an implementation is made of, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench import Needs, Registry, discover, implements
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.measuring.fingerprint import _hashed, comparable, fingerprint, sources


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
    assert first.startswith("2:")
    assert len(first) == 2 + 16
    int(first[2:], 16)
    elsewhere = tmp_path / "other" / "mine.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text(file.read_text())
    assert fingerprint(made(elsewhere)) == first


def test_a_change_of_the_source_changes_it(file: Path) -> None:
    before = fingerprint(made(file))
    file.write_text("x = 2\n")
    assert fingerprint(made(file)) != before


def test_a_version_of_a_package_it_needs_changes_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"flash_attn": "2.8"}
    monkeypatch.setattr("attnlab.bench.measuring.fingerprint._version", lambda name: versions.get(name))
    needs = Needs(packages=("flash_attn",))
    with_28, without = fingerprint(made(file, needs)), fingerprint(made(file))
    versions["flash_attn"] = "2.9"
    _hashed.cache_clear()
    assert fingerprint(made(file, needs)) != with_28
    assert fingerprint(made(file)) == without


def test_what_it_imports_of_ours_is_followed_and_nothing_else() -> None:
    registry = discover()
    kernel = {path.name for path in sources(Path(registry.implementations("attention").get("triton").source))}
    assert "triton.py" in kernel
    assert {"attention_forward.py"} <= kernel, "through our implementations to our kernels"
    assert "registry.py" not in kernel, "the harness is no part of it"


def test_a_change_of_what_it_imports_changes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin's own repository: packages in it, modules beside it, what a function imports late, and relatively."""
    package = tmp_path / "attnlab_made_up"
    package.mkdir()
    (tmp_path / "pyproject.toml").touch()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("from . import tables\n")
    (package / "tables.py").write_text("y = 1\n")
    (tmp_path / "beside.py").write_text("z = 1\n")
    (tmp_path / "torch.py").write_text("hides nothing\n")
    mine = tmp_path / "kernels" / "mine.py"
    mine.parent.mkdir()
    mine.write_text("import torch, json\nimport beside\ndef late():\n    from attnlab_made_up.helper import y\n")
    own = made(mine)
    assert [path.name for path in sources(mine)] == ["__init__.py", "helper.py", "tables.py", "beside.py", "mine.py"]
    seen = {fingerprint(own)}
    for file in (package / "tables.py", package / "__init__.py", tmp_path / "beside.py"):
        file.write_text(file.read_text() + "# other\n")
        seen.add(fingerprint(own))
    assert len(seen) == 4


def test_what_is_named_is_part_of_it(file: Path) -> None:
    (file.parent / "codes.bin").write_bytes(b"1")
    named = replace(made(file), built_from=("codes.bin", "rope/triton", "attnlab.impls.generate._engine.decoding"))
    names = {path.name for path in sources(file, named.built_from)}
    assert {"mine.py", "codes.bin", "rope.py", "beam.py"} <= names
    before = fingerprint(named)
    (file.parent / "codes.bin").write_bytes(b"2")
    assert fingerprint(named) != before
    with pytest.raises(ValueError, match="is built from 'no/such', which is no implementation, no module and no file"):
        fingerprint(replace(named, built_from=("no/such",)))


def test_it_is_worked_out_once_for_files_that_do_not_change(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = made(file)
    first = fingerprint(own)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read again"))
    assert fingerprint(own) == first


def test_versions_are_not_compared() -> None:
    assert comparable("2:aa", "2:bb")
    assert comparable("aa", "bb")
    assert not comparable("aa", "2:aa")


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
