"""What the tests of kernels share: a compiler without a past, and a process under Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(scope="session")
def triton_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run alone, which its processes share: Triton writes there as one file at a time."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "triton-cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def fresh_cache(triton_cache: Path) -> Iterator[None]:
    """Kernels are compiled in this run, each once, and not taken from an earlier one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(triton_cache))
        yield


@pytest.fixture
def passes_interpreted() -> Callable[[str], None]:
    """passes_interpreted(path): its tests pass in a process under the interpreter, all of them, and none is skipped."""

    def run(path: str) -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        command += ["-p", "quick_interpreter", "--import-mode=importlib", "-o", "addopts=", path]
        environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HELPERS)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        assert "passed" in done.stdout
        assert "skipped" not in done.stdout

    return run
