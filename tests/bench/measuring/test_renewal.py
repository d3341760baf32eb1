"""Which timed calls are looked at: by chance, within a share of the time, and as many as a rare fault takes."""

from __future__ import annotations

import gc
import signal
import statistics
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from attnlab.bench.contract.contents import Content
from attnlab.bench.contract.operator_spec import NORMAL_DRAW, Operator
from attnlab.bench.contract.registry import discover
from attnlab.bench.measuring import renewal
from attnlab.bench.measuring.judging.plain import take
from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.measuring.renewal import Copy, Renewal, difference

CPU = torch.device("cpu")
MS = 1_000_000


class Called:
    """Two copies of a small case, each call of which takes a millisecond of a clock of its own."""

    def __init__(self, right: Any = lambda inputs: inputs.x @ inputs.weight.mT) -> None:
        self.operator: Operator[Any, Any] = discover().operators.get("linear")
        self.case = self.operator.case_type.parse("M1-N4-K128-fp32")
        self.now_ns = self.calls = 0
        self._right = right
        self.copies = [self._copy(seed) for seed in (1, 2)]
        self.renewal = Renewal(
            self.operator,
            self.case,
            self.copies,
            lambda inputs, out: (out,),
            lambda inputs: None,
            7,
            lambda: self.now_ns,
        )

    def _copy(self, seed: int) -> Copy:
        inputs = self.operator.make_inputs(self.case, NORMAL_DRAW, seed, CPU)
        made: Any = SimpleNamespace(run=self._run)
        return Copy(made, inputs, None, Content(seed, seed))

    def _run(self, inputs: Any, state: Any) -> Any:
        self.now_ns += MS
        self.calls += 1
        return self._right(inputs)

    def time(self, count: int) -> int:
        """So many timed calls; how many were made besides."""
        before = self.calls
        for number in range(count):
            copy = self.copies[number % 2]
            copy.renew()
            copy()
        self.renewal.settle()
        return self.calls - before - count


def test_calls_are_made_again_within_a_share_of_the_time_and_often_enough_for_a_rare_fault() -> None:
    counts = []
    for _ in range(6):  # each is drawn at random, and one of 150 is below 43
        called = Called()
        called.renewal.begin()
        counts.append(called.time(400))
    assert max(counts) <= 0.25 / 0.75 * 400 + 1
    assert statistics.mean(counts) >= 43, "43 pairs, each of two calls, show a fault in one of 29 with 95 %"


def test_contents_to_judge_are_those_of_every_process_and_come_at_other_moments() -> None:
    kept = []
    for _ in range(2):
        called = Called()
        called.renewal.begin()
        called.time(520)
        kept.append([k.content for k in called.renewal.finished()])
    assert len(kept[0]) == renewal.SHARED + 1, "and one that was drawn when it had ended"
    assert len(set(kept[0]) & set(kept[1])) == renewal.SHARED


def test_one_judged_call_is_drawn_after_it_ended() -> None:
    called = Called()
    called.renewal.begin()
    foreseen = {content for _, content in called.renewal._shared}
    called.time(60)
    (drawn,) = [kept.content for kept in called.renewal.finished() if kept.content not in foreseen]
    assert drawn.other is not None


@pytest.mark.parametrize("patched", [(torch, "where"), (torch.Tensor, "copy_"), (torch.Tensor, "view")])
def test_nothing_patched_runs_once_content_is_in_place(monkeypatch: pytest.MonkeyPatch, patched: Any) -> None:
    called, seen = Called(), []
    copy = called.copies[0]
    own = getattr(*patched)

    def watching(*args: Any, **named: Any) -> Any:
        made = own(*args, **named)
        seen.append(copy.inputs.x.clone())
        return made

    monkeypatch.setattr(*patched, watching)
    copy.renew()
    assert not any(torch.equal(x, copy.inputs.x) for x in seen)


def test_no_mode_and_no_collection_runs_while_content_is_put_in_place() -> None:
    called, seen = Called(), []
    copy = called.copies[0]

    class Watching(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = func(*args, **(kwargs or {}))
            look()
            return made

    def look(*_: Any) -> None:
        with torch._C.DisableTorchFunction():
            seen.append(copy.inputs.x.clone())

    thresholds = gc.get_threshold()
    gc.callbacks.append(look)
    gc.set_threshold(1, 1, 1)
    try:
        with Watching():
            copy.renew()
            count = len(seen)
    finally:
        gc.callbacks.remove(look)
        gc.set_threshold(*thresholds)
    assert not any(torch.equal(x, copy.inputs.x) for x in seen[:count])
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("leave", "remove", "named"),
    [
        (lambda: sys.setprofile(lambda *_: None), lambda: sys.setprofile(None), "profile"),
        (lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 0.5, 0.5), lambda: signal.setitimer(1, 0), "timer"),
    ],
)
def test_what_would_be_called_beside_a_call_is_refused(leave: Any, remove: Any, named: str) -> None:
    called = Called()
    leave()
    try:
        with pytest.raises(Rejected, match=f"leaves a {named} function behind"):
            called.copies[0].renew()
    finally:
        remove()


def test_calls_to_warm_up_are_not_judged() -> None:
    called = Called()
    met = set()
    for _ in range(30):
        called.time(2)
        met |= {copy.content for copy in called.copies}
    called.renewal.begin()
    assert not met & {kept.content for kept in called.renewal.finished()}


def test_what_differs_most_from_the_call_after_it_is_judged() -> None:
    noise = iter(range(1, 10**6))
    called = Called(lambda inputs: inputs.x @ inputs.weight.mT + 1e-6 * next(noise))
    called.renewal.begin()
    called.time(60)
    judged = called.renewal.finished()
    assert len(judged) == renewal.SHARED + 1 + renewal.DOUBTS
    assert all(0 < k.difference < 1 for k in judged[-renewal.DOUBTS :])


@pytest.mark.parametrize(
    ("a", "b", "apart"),
    [
        (torch.ones(4), torch.ones(4), 0.0),
        (torch.ones(4), torch.zeros(4), 1.0),
        (torch.zeros(4), torch.full((4,), 2.0), 2.0),
        (torch.ones(4), torch.tensor([1, 1, 1, float("nan")]), float("inf")),
        (torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 3, 5]), 0.25),
    ],
)
def test_how_far_two_outputs_are_apart(a: torch.Tensor, b: torch.Tensor, apart: float) -> None:
    assert difference(take(a), take(b)) == apart
