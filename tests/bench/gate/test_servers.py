"""A gate of servers: a head that answers more slowly is found by its gaps and its first token, an equal one passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attnlab.bench.gate.rows import Standing
from attnlab.bench.llm.generation.events import CallLog
from attnlab.bench.ops.serve import salt as salting
from attnlab.bench.ops.serve.inputs import ServeOutputs
from attnlab.bench.ops.serve.logs import call_log
from attnlab.bench.serving.asked import Asked
from attnlab.bench.serving.endpoint import Usage
from attnlab.bench.serving.log import Arrivals, Served, ServedLog
from attnlab.bench.stats.verdict import Verdict

from .conftest import ArmScript, Gated, Kernel

Make = Callable[..., Gated]
REQUESTS, TOKENS = 4, 16


def served(first_ms: float, gap_ms: float) -> Callable[[], CallLog]:
    """The log of a load, as the client keeps one of a server with such a first token and such gaps."""

    def one(number: int) -> Served:
        due_ns = number * 50_000_000
        wiggle = 1 + 0.01 * (number % 3)
        times = [round(due_ns + 1e6 * wiggle * (first_ms + place * gap_ms)) for place in range(TOKENS)]
        return Served(
            number=number,
            due_ns=due_ns,
            begun_ns=due_ns,
            sent_ns=due_ns + 1000,
            ended_ns=times[-1],
            arrivals=Arrivals(tuple(times), (1,) * TOKENS, ("text",) * TOKENS, tuple(range(1, TOKENS + 1))),
            usage=Usage(64, TOKENS),
            prompt_tokens=64,
        )

    log = ServedLog(tuple(map(one, range(REQUESTS))), 0, 10**9)
    asked = tuple(Asked(number, prompt="x") for number in range(REQUESTS))
    outputs = ServeOutputs(log, None, (salting.NONE,) * REQUESTS, asked)
    return lambda: call_log(outputs)


def server(first_ms: float = 40.0, gap_ms: float = 10.0) -> ArmScript:
    return ArmScript({"quick": Kernel(ns=1e9, log=served(first_ms, gap_ms))})


def test_an_equal_server_passes(gated: Make) -> None:
    report = gated(server(), server()).run()
    assert report.exit_code == 0
    assert report.rows[0].standing is Standing.COMPARED
    assert report.rows[0].verdict is Verdict.SAME


@pytest.mark.parametrize(
    ("head", "labels"),
    [(server(gap_ms=11.5), {"ITL"}), (server(first_ms=60.0), {"TTFT"})],
    ids=["tokens", "first token"],
)
def test_a_slow_server_is_found(gated: Make, head: Any, labels: set[str]) -> None:
    report = gated(server(), head).run()
    assert report.exit_code == 1
    assert labels <= {found.label for found in report.regressions}
