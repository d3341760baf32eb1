"""Stored runs to export: one measured, with everything that a name and a log can hold, and one imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench.store.run_folder import StoredRun, read_run

RESULTS = Path(__file__).parents[3] / "results"


@pytest.fixture(scope="session")
def attention() -> StoredRun:
    return read_run(RESULTS / "20261122-081015-quick")


@pytest.fixture(scope="session")
def generation() -> StoredRun:
    return read_run(RESULTS / "20261126-160740-generate-quick")
