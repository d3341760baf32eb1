"""What skips work between timed calls is rejected, and told why; or nothing is skipped, and its time is honest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.registry import discover
from attnlab.bench.machine.clocks.wall import Wall
from attnlab.bench.measuring import renewal
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.judging.refusals import CHANGING, STALE
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Measurement, Outcome

from . import decoding, gradients, honest, keeping, parts, sampling
from .checking import CPU, implementation_of

UNLIMITED = Ceilings("none", 1, 1e15, {"float32": 1e18}, None, 0.0)
SETUP = Setup(CPU, (Wall(),), UNLIMITED, Effort(1e-9, 5.0, 0.02, min_samples=2, max_samples=60))


def decoded(inputs: Any) -> Tensor:
    return decoding.Decode().run(inputs, INT8)


OPERATORS: dict[str, tuple[str, Any]] = {
    "attention": ("Hq4-Hkv2-Sq40-D16-fp32", honest.Attention().run),
    "attention_backward": ("Hq4-Hkv2-Sq20-D16-fp32", gradients.Gradients().run),
    "decode_attention": ("Hq4-Hkv2-C60-D64-fp32-int8_token", decoded),
    "linear": ("M2-N16-K64-fp32", lambda inputs: inputs.x @ inputs.weight.mT),
    "rmsnorm": ("M2-N64-fp32", parts.RmsNorm().run),
    "sampling": ("B2-V100-N200-fp32", sampling.Sampler().run),
}
INT8 = discover().operators.get("decode_attention").case_type.parse(OPERATORS["decode_attention"][0])


def taken(operator: str, run: Any, setup: Setup = SETUP, prepare: Any = None) -> Measurement:
    contract = discover().operators.get(operator)
    made = replace(implementation_of(operator, honest_function), run=lambda inputs, state: run(inputs))
    if prepare is not None:
        made = replace(made, prepare=prepare, run=run)
    return measure(contract, contract.case_type.parse(OPERATORS[operator][0]), made, setup)


def honest_function(inputs: Any) -> None:
    """Replaced by what is measured."""


ALL = ("attention", "attention_backward", "decode_attention")
SOME = ("by_pointer", "by_a_few_elements", "wrong_one_in_5")  # on the others
ALL_NEW = (("attention_backward", "by_a_few_elements"),)  # each content is a draw of its own: any element tells it


@pytest.mark.parametrize(
    ("operator", "cheat"),
    [
        (operator, cheat)
        for operator in OPERATORS
        for cheat in keeping.REJECTED
        if (operator in ALL or cheat in SOME) and (operator, cheat) not in ALL_NEW
    ],
)
def test_what_is_kept_from_earlier_calls_is_rejected(operator: str, cheat: str) -> None:
    measured = taken(operator, keeping.Skipping(OPERATORS[operator][1], keeping.REJECTED[cheat]))
    assert measured.outcome is Outcome.WRONG_VALUES, measured.reason
    assert measured.reason is not None
    assert measured.median_ns is None
    assert STALE in measured.reason or CHANGING in measured.reason
    if cheat in ("by_pointer", "in_turn", "wrong_in_the_end") and operator != "sampling":
        assert STALE in measured.reason


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("cheat", keeping.HONESTLY_TIMED)
def test_what_looks_at_contents_computes_in_each_timed_call(
    operator: str, cheat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "AGAIN", 0)  # of a call that is made again the inputs are known
    skipping = keeping.Skipping(OPERATORS[operator][1], keeping.HONESTLY_TIMED[cheat])
    measured = taken(operator, skipping)
    assert (measured.outcome, measured.reason) == (Outcome.PASSED, None)
    assert skipping.calls > keeping.ARMED + 20
    assert skipping.calls - skipping.computed <= 4, "the last call of each copy is made again, and that for memory"


def test_results_in_a_file_are_of_no_use_to_the_next_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "AGAIN", 0)
    file = tmp_path / "results.pt"

    def through_a_file(inputs: Any, compute: Any, memory: dict[Any, Any]) -> Any:
        if not memory and file.exists():
            memory |= torch.load(file, weights_only=True)
        out = keeping.by_content(inputs, compute, memory)
        torch.save(memory, file)
        return out

    setup = replace(SETUP, effort=replace(SETUP.effort, max_samples=8))
    for _ in range(2):
        skipping = keeping.Skipping(OPERATORS["linear"][1], through_a_file)
        assert taken("linear", skipping, setup).outcome is Outcome.PASSED
        assert skipping.calls - skipping.computed <= 3 + renewal.SHARED, "those that all processes of a run meet"


def test_an_int8_cache_that_was_unpacked_once_is_rejected() -> None:
    unpacked: list[tuple[Tensor, Tensor]] = []

    def run(inputs: Any) -> Tensor:
        if run.calls < keeping.ARMED:  # type: ignore[attr-defined]
            run.calls += 1  # type: ignore[attr-defined]
            return decoded(inputs)
        unpacked.append(inputs.cache.read()) if not unpacked else None
        k, v = (x.repeat_interleave(2, 1) for x in unpacked[0])
        return (inputs.q @ k.mT * inputs.scale).softmax(-1) @ v

    run.calls = 0  # type: ignore[attr-defined]
    measured = taken("decode_attention", run)
    assert measured.outcome is Outcome.WRONG_VALUES
    assert measured.reason is not None
    assert CHANGING in measured.reason


def test_an_output_that_a_thread_fills_later_is_rejected() -> None:
    measured = taken("attention", keeping.Skipping(OPERATORS["attention"][1], keeping.by_a_thread))
    assert measured.outcome is Outcome.WRONG_VALUES


def test_a_forward_pass_kept_from_set_up_is_rejected() -> None:
    """The gradients of the inputs that there were when the graph was made."""

    def prepare(case: Any, inputs: Any) -> Any:
        leaves = [x.detach().clone().requires_grad_() for x in (inputs.q, inputs.k, inputs.v)]
        return attend(leaves, inputs.scale), leaves

    def run(inputs: Any, graph: Any) -> Any:
        return torch.autograd.grad(graph[0], graph[1], inputs.dout, retain_graph=True)

    measured = taken("attention_backward", run, prepare=prepare)
    assert measured.outcome is Outcome.WRONG_VALUES
    assert measured.median_ns is None


class WeightsOfKnownQueries(gradients.Gradients):
    """Weights are kept, and found again by a look at the queries alone: another gradient of the output is no matter."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Tensor] = {}
        self.found = self.computed = 0

    def weights_of(self, scores: Tensor, permitted: Tensor, inputs: Any) -> Tensor:
        key = keeping.as_bytes(inputs.q.flatten()[:16])
        self.found += key in self._kept
        self.computed += key not in self._kept
        if key not in self._kept:
            self._kept[key] = super().weights_of(scores, permitted, inputs)
        return self._kept[key]


def test_weights_of_a_backward_pass_serve_no_other_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "AGAIN", 0)
    keeper = WeightsOfKnownQueries()
    measured = taken("attention_backward", keeper.run)
    assert (measured.outcome, measured.reason) == (Outcome.PASSED, None)
    twice_checked = len(measured.check.sets) if measured.check else 0
    assert keeper.computed > 60
    assert keeper.found <= twice_checked + 4, "only where a call was made again on the same inputs"


def attend(qkv: Any, scale: float) -> Tensor:
    return torch.nn.functional.scaled_dot_product_attention(*qkv, scale=scale, enable_gqa=True)


def static_buffer(inputs: Any, state: Tensor) -> Tensor:
    return torch.matmul(inputs.x, inputs.weight.mT, out=state)


def workspace_in_place(inputs: Any, state: Tensor) -> Tensor:
    return state.copy_(inputs.x @ inputs.weight.mT).clone()


def sums_in_any_order(inputs: Any, state: Tensor) -> Tensor:
    order = torch.randperm(inputs.x.shape[1])
    return inputs.x[:, order] @ inputs.weight[:, order].mT


@pytest.mark.parametrize("run", [static_buffer, workspace_in_place, sums_in_any_order])
def test_honest_ones_pass(run: Any) -> None:
    measured = taken("linear", run, prepare=lambda case, inputs: torch.empty(case.m, case.n))
    assert (measured.outcome, measured.reason) == (Outcome.PASSED, None)
    assert measured.check is not None
    assert measured.check.deterministic is (run is not sums_in_any_order)


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_skips_nothing_passes(operator: str) -> None:
    skipping = keeping.Skipping(OPERATORS[operator][1], lambda inputs, compute, memory: compute(inputs))
    measured = taken(operator, skipping)
    assert (measured.outcome, measured.reason) == (Outcome.PASSED, None)
