"""What tests of the harness share: plugins, a registry that forgets them, a command line, known ceilings."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType

import pytest

HELPERS = Path(__file__).parents[1] / "helpers"
ROOT = HELPERS.parents[1]
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def helpers() -> Path:
    """The folder of plugins."""
    return HELPERS


@pytest.fixture(scope="session")
def ceilings_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's cache with made-up ceilings of this machine, which take a quarter of a minute to measure."""
    from attnlab.bench.machine.ceilings import cache_path, keep
    from attnlab.bench.machine.environment import describe_device
    from attnlab.bench.store.machine import Ceilings

    folder = tmp_path_factory.mktemp("cache")
    device = describe_device("cpu")
    rates = {"float32": 1e11, "bfloat16": 1e11, "float16": 1e11}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        for threads in range(1, 65):
            made = Ceilings(device.name, threads, 1e10, rates, None, time.time())
            keep(made, cache_path(device, threads))
    return folder


@pytest.fixture(scope="session")
def user_environment(ceilings_cache: Path) -> dict[str, str]:
    """Variables of a user's shell: one thread, known ceilings, and no sign of pytest."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return own | {"XDG_CACHE_HOME": str(ceilings_cache), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@pytest.fixture(scope="session")
def attnlab(user_environment: dict[str, str]) -> Cli:
    """Runs `attnlab …` as a process of its own."""

    def run(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "attnlab.bench", *map(str, arguments)],
            cwd=cwd,
            env=user_environment | variables,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@contextmanager
def forgetting_plugins() -> Iterator[None]:
    """What is registered, imported or put on the import path inside is gone afterwards."""
    from attnlab.bench import discover
    from attnlab.bench.contract.registry import Registry, Table
    from attnlab.bench.measuring import fingerprint

    registry: Registry = discover()
    modules, path = dict(sys.modules), list(sys.path)
    tables: list[Table] = [  # type: ignore[type-arg]
        registry.operators,
        registry.metrics,
        registry.suites,
        *registry._implementations.values(),
    ]
    kept = [dict(table._items) for table in tables]
    operators = set(registry._implementations)
    try:
        yield
    finally:
        for table, items in zip(tables, kept, strict=True):
            table._items = items
        for operator in set(registry._implementations) - operators:
            del registry._implementations[operator]
        for name in set(sys.modules) - set(modules):
            file = Path(getattr(sys.modules[name], "__file__", None) or "")
            made_here = file.is_relative_to(tempfile.gettempdir()) and not file.is_relative_to(ROOT)
            if file.is_relative_to(HELPERS) or (made_here and not file.is_relative_to(sys.prefix)):
                del sys.modules[name]  # the project and its environment may lie under /tmp themselves
        sys.path[:] = path
        fingerprint._found.cache_clear()


@pytest.fixture(scope="session")
def forgetting() -> Callable[[], AbstractContextManager[None]]:
    """For tests that load the same plugin more than once."""
    return forgetting_plugins


@pytest.fixture
def plugins_forgotten() -> Iterator[None]:
    with forgetting_plugins():
        yield


@pytest.fixture(scope="module")
def plugins_forgotten_by_module() -> Iterator[None]:
    with forgetting_plugins():
        yield


class FakeClock:
    """Runs every call and says that it took the next of `times_ns`, over and over; `told` keeps each burst.

    states: what the device says of itself after each burst, the last one from then on.
    """

    def __init__(
        self, times_ns: Iterable[float], name: str = "fake", cache: str = "warm", states: Sequence[object] = ()
    ) -> None:
        self.name, self.cache = name, cache
        self.times = itertools.cycle(times_ns)
        self.states = iter(states)
        self.last_state: object = None
        self.told: list[list[float]] = []
        self.elapsed_ns = 0.0
        self.bytes_a_call: int | None = None

    def start(self, calls: Sequence[Callable[[], object]], bytes_a_call: int, plan: object = None) -> FakeTimer:
        self.bytes_a_call = bytes_a_call
        return FakeTimer(self, calls)


class FakeTimer:
    calls_a_sample = 1
    plan = None
    null_ns = None

    def __init__(self, clock: FakeClock, calls: Sequence[Callable[[], object]]) -> None:
        self.clock, self.cache = clock.name, clock.cache
        self._clock, self._rotation = clock, itertools.cycle(calls)

    def burst(self, count: int) -> list[float]:
        for call in itertools.islice(self._rotation, count):
            call()
        self._clock.told.append([next(self._clock.times) for _ in range(count)])
        self._clock.elapsed_ns += sum(self._clock.told[-1])
        return self._clock.told[-1]

    def state(self) -> object:
        self._clock.last_state = next(self._clock.states, self._clock.last_state)
        return self._clock.last_state

    def notes(self) -> tuple[str, ...]:
        return ()


@pytest.fixture(scope="session")
def fake_clock() -> type[FakeClock]:
    return FakeClock


@pytest.fixture(scope="session")
def fake_gpu() -> ModuleType:
    """The module of the simulated GPU."""
    spec = importlib.util.spec_from_file_location("attnlab_tests_fake_gpu", HELPERS / "fake_gpu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
