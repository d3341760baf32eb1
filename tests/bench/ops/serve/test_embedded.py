"""Our own server, started for a case: both of OpenAI's interfaces are measured and checked over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from attnlab.bench.contract.registry import discover
from attnlab.bench.errors import Unavailable
from attnlab.bench.machine.clocks import clocks_for
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.ops.serve import embedded, servers
from attnlab.bench.ops.serve.case import ServeCase
from attnlab.bench.ops.serve.contract import SERVE
from attnlab.bench.ops.serve.endpoint import HttpEndpoint
from attnlab.bench.ops.serve.identity import identified
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Measurement, Outcome

from .conftest import case_of

CPU = torch.device("cpu")
EFFORT = Effort(target=0.9, sampling_limit_s=0.01, warmup_limit_s=0.001, max_samples=1)
AXES: dict[str, object] = {"server": "embedded", "load": "concurrency:2", "batch": 4}


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    yield
    embedded.close_all()


def measured(name: str, case: ServeCase) -> Measurement:
    setup = Setup(CPU, clocks_for(CPU), Ceilings("here", 1, 1e12, {}, None, 0.0), EFFORT, memory=False)
    return measure(SERVE, case, discover().implementations("serve").get(name), setup)


@pytest.mark.parametrize("name", ["openai_chat", "openai_completions"])
def test_our_server_passes_and_says_what_was_cached(name: str, toy: Path) -> None:
    found = measured(name, case_of(toy, **AXES))
    assert (found.outcome, found.reason) == (Outcome.PASSED, None)
    assert found.configuration == "our server, paged, 4 at once"
    assert set(found.values("request_cached")) == {0.0}, "prompts that are unique"
    assert min(found.values("request_sent")) > 0
    assert len(found.values("request_headers")) == 4


def test_one_server_serves_all_cases_of_an_engine_and_ends(toy: Path) -> None:
    first = embedded.embedded(case_of(toy, **AXES))
    assert embedded.embedded(case_of(toy, **AXES, new_tokens=3)) == first
    (running,) = embedded._running.values()
    embedded.close_all()
    assert running.process.returncode is not None


def test_a_server_that_does_not_start_says_why(toy: Path) -> None:
    with pytest.raises(Unavailable, match=r"our server does not start \(exit code 2\): .*naif"):
        embedded.embedded(case_of(toy, **AXES, engine="naif"))


class Tells(HttpEndpoint):
    """An endpoint that nothing is asked by."""


@pytest.mark.parametrize(
    ("url", "said"),
    [("http://127.0.0.1:9", "no server answers at http://127.0.0.1:9/v1/models: .*refused")],
)
def test_a_server_that_is_not_there_is_unavailable(
    url: str, said: str, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(servers.VARIABLE, "{}")
    servers.register({"toy": servers.from_stored({"url": url})})
    with pytest.raises(Unavailable, match=said):
        identified(Tells(), servers.named("toy"), case_of(toy))
