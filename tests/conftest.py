"""What all tests share: on CI nothing may be skipped for lack of an installed tool; what is timed can be alone."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

with suppress(ImportError):  # a machine with a GPU may lack it
    from hypothesis import HealthCheck, settings

    settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("shared")  # on a busy machine even drawing takes long

if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several test processes would only wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # which torch reads at its import

TURNS = "ATTNLAB_TESTS_TURNS"  # the folder of the locks, for the processes of one run
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


class Turns:
    """Test processes run side by side, or one runs alone. Locks of a process that dies are free.

    Who waits to be alone stands in the door meanwhile: the others end their test and begin no other.
    """

    def __init__(self, folder: Path) -> None:
        self._door, self._room = ((folder / name).open("w") for name in ("door", "room"))

    def enter(self) -> None:
        self._enter(fcntl.LOCK_SH)

    def leave(self) -> None:
        fcntl.flock(self._room, fcntl.LOCK_UN)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside, which is within a test, no other process runs a test."""
        self.leave()  # or two that both want to be alone would wait for each other
        self._enter(fcntl.LOCK_EX)
        try:
            yield
        finally:
            self.leave()
            self.enter()

    def _enter(self, how: int) -> None:
        fcntl.flock(self._door, how)
        try:
            fcntl.flock(self._room, how)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)


_turns = pytest.StashKey[Turns]()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # a worker's own session, not one that a test of it starts
        config.stash[_turns] = Turns(Path(os.environ[TURNS]))
    elif config.getoption("numprocesses", None):
        folder = tempfile.TemporaryDirectory(prefix="attnlab-tests-")
        os.environ[TURNS] = folder.name
        config.add_cleanup(folder.cleanup)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    turns = item.config.stash.get(_turns, None)
    if turns is None:
        return (yield)
    turns.enter()
    try:
        return (yield)
    finally:
        turns.leave()


@pytest.fixture(scope="session")
def alone(pytestconfig: pytest.Config) -> Callable[[], AbstractContextManager[None]]:
    """with alone(): no test of a sibling process runs meanwhile. For what is timed, and fails where it is disturbed."""
    turns = pytestconfig.stash.get(_turns, None)
    return nullcontext if turns is None else turns.alone


@pytest.fixture(autouse=True)
def environment_kept() -> Iterator[None]:
    """A test that leaves a variable of the process changed fails itself, and not what runs after it by chance."""
    own = {"PYTEST_CURRENT_TEST", "TORCHINDUCTOR_CACHE_DIR"}  # pytest's; torch's, which its first compilation sets
    before = {name: value for name, value in os.environ.items() if name not in own}
    yield
    after = {name: value for name, value in os.environ.items() if name not in own}
    if after != before:
        for name in after.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        pytest.fail(f"left changed in the environment: {', '.join(changed)}; set them by monkeypatch")
