"""The made-up run and the report of it, worked out once for all tests of reporters."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

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
