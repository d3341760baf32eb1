"""What all tests share: on CI nothing may be skipped for lack of a tool that CI installs."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

pytest_plugins = ["pytester"]

if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several test processes would only wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # which torch reads at its import

INSTALLED_ON_CI = ("chromium", "compiler", "headers", "not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("ATTNLAB_NO_SKIPS") and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr)
        if any(word in reason.lower() for word in INSTALLED_ON_CI):
            report.outcome = "failed"
            report.longrepr = f"skipped where nothing may be skipped: {reason}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_tests:
        import torch

        if not torch.cuda.is_available():
            for item in gpu_tests:
                item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))
