"""States of a prefix cache, on the engine that our server runs, which reuses whatever prompts begin alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.ops.serve.contract import SERVE
from attnlab.bench.ops.serve.in_process import EngineDriver, EngineEndpoint
from attnlab.bench.ops.serve.inputs import ServeOutputs

from .conftest import case_of

CPU = torch.device("cpu")


class Asked:
    """One engine, which loads of several cases are put to, one after another."""

    def __init__(self, toy: Path) -> None:
        case = case_of(toy, server="embedded")
        self.driver: EngineDriver = EngineEndpoint().prepare(case, SERVE.make_inputs(case, NORMAL_DRAW, 0, CPU))

    def cached(self, toy: Path, **axes: object) -> float:
        """The share of the prompts' tokens that the engine had, of a load with seed 0."""
        log = self.put(toy, **axes).log
        usages = [one.usage for one in log.requests if one.usage is not None]
        assert len(usages) == len(log.requests)
        return sum(one.cached or 0 for one in usages) / sum(one.prompt or 0 for one in usages)

    def put(self, toy: Path, **axes: object) -> ServeOutputs:
        case = case_of(toy, server="embedded", **axes)
        return EngineEndpoint().run(SERVE.make_inputs(case, NORMAL_DRAW, 0, CPU), self.driver)


@pytest.fixture(scope="module")
def engine(toy: Path) -> Iterator[Asked]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Asked(toy)
    torch.set_num_threads(before)


def test_cold_stays_cold_however_often_it_is_asked(engine: Asked, toy: Path) -> None:
    assert engine.cached(toy) == 0
    assert engine.cached(toy) == 0, "the same seed again, in the same process and on the same server"


def test_warm_is_primed_and_as_it_comes_is_what_came_before(engine: Asked, toy: Path) -> None:
    assert engine.cached(toy, prefix="warm") > 0.8
    assert engine.cached(toy, prefix="asis") > 0.8, "the same prompts again"
    assert engine.cached(toy, prefix="cold") == 0


def test_what_makes_prompts_unique_is_of_each_call_and_each_conversation(engine: Asked, toy: Path) -> None:
    calls = [engine.put(toy).salts for _ in range(2)]
    assert len({salt for call in calls for salt in call}) == 8
    talk = engine.put(toy, load="conversations:2:0", prompt_len=140)
    assert talk.salts[0] == talk.salts[1] != talk.salts[2]
    first, second = (talk.log.requests[n].usage for n in (0, 1))
    assert first is not None
    assert second is not None
    assert (first.cached, (second.cached or 0) > 100) == (0, True), "a turn finds the one before it"


@pytest.mark.parametrize("load", ["concurrency:2", "poisson:50"])
def test_the_log_of_an_engine_is_that_of_a_client(engine: Asked, toy: Path, load: str) -> None:
    outputs = engine.put(toy, load=load)
    assert [one.number for one in outputs.log.requests] == [0, 1, 2, 3]
    for one in outputs.log.requests:
        assert one.sent_ns is not None
        assert one.due_ns <= one.begun_ns <= one.sent_ns <= one.arrivals.times_ns[0] <= one.ended_ns
        assert (one.tokens, len(one.ids or ())) == (6, 6)
    dues = [one.due_ns for one in outputs.log.requests]
    if load.startswith("poisson"):
        assert dues == [round(1e9 * one.due_s) for one in outputs.asked]
    else:
        assert dues[:2] == [0, 0]
        assert dues[2] == min(one.ended_ns for one in outputs.log.requests[:2])
