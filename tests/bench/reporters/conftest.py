"""The made-up run and the report of it, worked out once for all tests of reporters."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attnlab.bench.reporters.model.report import Report, Section, build_report


@pytest.fixture(scope="session")
def synthetic() -> SimpleNamespace:
    """The functions of synthetic.py."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))


@pytest.fixture(scope="session")
def report(synthetic: SimpleNamespace) -> Report:
    return build_report([synthetic.stored_run(published=True)])


@pytest.fixture(scope="session")
def section(report: Report) -> Section:
    (only,) = report.sections
    return only


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium. For one module: while it runs, no other test of its process can start an event loop."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()
