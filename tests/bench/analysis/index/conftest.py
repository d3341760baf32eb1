"""Folders of stored runs, with an index however few they are."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from attnlab.bench.analysis.index import opening

FIXTURES = Path(__file__).parents[2] / "store" / "fixtures"
LONG_AGO = time.time() - 1000


@pytest.fixture(autouse=True)
def _any_size(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(opening, "SMALL_BYTES", 0)
    monkeypatch.setattr("attnlab.bench.analysis.index.keys.SETTLED_NS", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A run of each schema, in which nothing changed for a while."""
    folder = tmp_path / "results"
    for source in sorted(FIXTURES.iterdir()):
        shutil.copytree(source, folder / source.name)
    for file in folder.glob("*/*.json*"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Names of the folders that were read for the index since it was asked last."""
    from attnlab.bench.analysis.index import segments

    names: list[str] = []
    plain = segments.read_record

    def noted(folder: Path) -> object:
        names.append(folder.name)
        return plain(folder)

    monkeypatch.setattr(segments, "read_record", noted)

    def taken() -> list[str]:
        found = sorted(names)
        names.clear()
        return found

    return taken
