"""The benchmark of the client's capacity works, and its stub's times are those at which tokens were written."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from attnlab.bench import units

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "client_capacity.py"


@pytest.fixture(scope="module")
def capacity() -> ModuleType:
    spec = importlib.util.spec_from_file_location("client_capacity", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["client_capacity"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("client", ["attnlab", "httpx", "openai"])
def test_a_client_sees_every_token_after_it_was_written(capacity: ModuleType, client: str) -> None:
    if client != "attnlab":
        pytest.importorskip(client, reason="a peer's client, which only this benchmark uses")
    with capacity.stub(rate=200.0, tokens=8) as url:
        taken = capacity.take(client, url, 3, 8)
    assert taken.tokens == 24
    assert 0 < taken.error_p50_ns <= taken.error_p99_ns <= taken.error_max_ns < units.NS_PER_S
    assert taken.elapsed_s > 7 / 200
    assert (taken.flagged is None) is (client != "attnlab")


def test_a_line_says_whether_a_load_was_kept_up_with(capacity: ModuleType) -> None:
    kept = capacity.Taken(100, 2.0, 2e5, 9e5, 3e6, 0.01, False)
    missed = capacity.Taken(100, 2.0, 2e5, 2e6, 3e6, 0.01, True)
    assert capacity.line("attnlab", 4, [kept, kept, missed]) == (
        "| `attnlab` | 4 | 50 | 200 µs | 900 µs | 3.00 ms | 100 µs | yes | 1 of 3 |"
    )
    assert "| no | – |" in capacity.line("httpx", 4, [capacity.Taken(100, 2.0, 2e5, 2e6, 3e6, 0.01)])
