"""The checker: what it rejects and why, what it reports, and that fresh memory really is NaN meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.contents import Content
from attnlab.bench.contract.error_budget import ErrorBudget, Probe, YardstickOutput, zeros
from attnlab.bench.contract.operator_spec import NORMAL_DRAW, Operator, TensorSpec, dynamic, mutable, static
from attnlab.bench.contract.registry import Implementation, Registry, implements
from attnlab.bench.measuring.correctness import Checker, poisoned_memory
from attnlab.bench.measuring.judging.court import Court
from attnlab.bench.measuring.judging.handing import HereJudge
from attnlab.bench.measuring.judging.plain import take
from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.measuring.judging.verdicts import owed
from attnlab.bench.measuring.renewal import KeptCall
from attnlab.bench.ops._shared import attention_math
from attnlab.bench.ops.attention.case import AttentionCase, AttentionInputs
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.store.records import CheckRecord, Outcome

CPU = torch.device("cpu")
CASE = AttentionCase.parse("Hq2-Sq20-D8-fp32-causal")


def right(inputs: AttentionInputs) -> Tensor:
    """What the contract's yardstick computes."""
    rows = torch.arange(inputs.q.shape[2])
    return attention_math.yardstick(CASE, inputs, rows).outputs[0]


def made(target: Any, operator: str = "attention", **options: Any) -> Implementation:
    registry = Registry()
    implements(operator, name="made", into=registry, **options)(target)
    return registry.all_implementations()[0]


def checked(target: Any, operator: Any = ATTENTION, court: Court | None = None, **options: Any) -> CheckRecord:
    """Check a function on two draws and needles; raises Rejected."""
    implementation = made(target, operator.name, **options)
    judge = HereJudge(operator, CASE, court or Court(CPU))
    inputs = operator.make_inputs(CASE, NORMAL_DRAW, 0, CPU)
    Checker(operator, CASE, implementation, judge, CPU).check(inputs, None, owed(operator, 0))
    record = judge.findings.record(poisoned=not implementation.compiled)
    assert record is not None
    return record


def rejection(target: Any, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        checked(target, **options)
    return caught.value


def test_a_right_implementation_passes_with_its_figures() -> None:
    record = checked(right)
    assert [(one.inputs, len(one.deviations)) for one in record.sets] == [
        ("drawn", 2),
        ("redrawn", 2),
        *[("needles", 2)] * ATTENTION.needle_draws,
    ]
    assert all(one.within for found in record.sets for one in found.deviations)
    assert record.probes == ("zeros", "one key shifted", "heads permuted")
    assert record.blunt == ()
    assert record.deterministic is True
    assert record.coverage == 1.0
    assert record.poisoned is True


@pytest.mark.parametrize(
    ("returned", "outcome", "says"),
    [
        (lambda out: None, Outcome.WRONG_SHAPE, "returned (NoneType); expected 1 tensors: out"),
        (lambda out: (out, out), Outcome.WRONG_SHAPE, "returned (Tensor, Tensor)"),
        (lambda out: out.mT, Outcome.WRONG_SHAPE, "out has shape [1, 2, 8, 20]; expected [1, 2, 20, 8]"),
        (lambda out: out.half(), Outcome.WRONG_DTYPE, "out has dtype torch.float16; expected torch.float32"),
        (lambda out: out.log(), Outcome.WRONG_VALUES, "elements NaN or infinite on drawn inputs"),
        (lambda out: out * 1.001, Outcome.WRONG_VALUES, "out on drawn inputs: relative RMS error 1.00e-03"),
    ],
)
def test_a_rejection_says_what_was_got(returned: Callable[[Tensor], Any], outcome: Outcome, says: str) -> None:
    rejected = rejection(lambda inputs: returned(right(inputs)))
    assert rejected.outcome is outcome
    assert says in str(rejected)


def test_a_list_of_one_and_a_view_are_outputs_too() -> None:
    assert checked(lambda inputs: [right(inputs)]).deterministic
    assert checked(lambda inputs: right(inputs).transpose(1, 2).contiguous().transpose(1, 2)).deterministic


def test_runs_that_differ_in_bits_are_reported_and_both_judged() -> None:
    calls = iter(range(100))
    assert checked(lambda inputs: right(inputs) * (1 + 2.0**-23 * (next(calls) % 2))).deterministic is False
    calls = iter(range(100))
    rejected = rejection(lambda inputs: right(inputs) * (1 + next(calls) % 2))
    assert "out on drawn (second call) inputs" in str(rejected)


def test_one_differing_run_of_three_is_not_deterministic() -> None:
    calls = iter(range(100))
    assert checked(lambda inputs: right(inputs) * (1 + 2.0**-23 * (next(calls) == 1))).deterministic is False


@pytest.mark.parametrize("field", ["q", "k", "v"])
def test_inputs_must_come_back_as_they_were(field: str) -> None:
    def greedy(inputs: AttentionInputs) -> Tensor:
        out = right(inputs)
        getattr(inputs, field)[0, 0, 0, 0] += 1e-3
        return out

    rejected = rejection(greedy)
    assert rejected.outcome is Outcome.WRONG_VALUES
    assert str(rejected) == f"changed its input {field}, which must come back as it was"


def test_inputs_changed_by_a_later_call_are_found_too() -> None:
    calls = iter(range(100))

    def later(inputs: AttentionInputs) -> Tensor:
        out = right(inputs)
        if next(calls) == 1:
            inputs.k.add_(1.0)
        return out

    assert "changed its input k" in str(rejection(later))


def test_inputs_may_be_changed_meanwhile() -> None:
    def restores(inputs: AttentionInputs) -> Tensor:
        kept = inputs.q.clone()
        inputs.q.zero_()
        inputs.q.copy_(kept)
        return right(inputs)

    assert checked(restores).deterministic


def test_fresh_memory_is_nan_while_an_implementation_runs() -> None:
    seen = []

    def looks(inputs: AttentionInputs) -> Tensor:
        seen.append(bool(torch.empty(1000).isnan().all()))
        seen.append(bool(torch.empty_like(inputs.q).isnan().all()))
        return right(inputs)

    assert checked(looks).poisoned
    assert seen[:2] == [True, True]


def test_compiled_code_is_not_poisoned_and_that_is_recorded() -> None:
    filled = []

    def looks(inputs: AttentionInputs) -> Tensor:
        filled.append(torch.are_deterministic_algorithms_enabled())
        return right(inputs)

    assert not checked(looks, compiled=True).poisoned
    assert not any(filled)


@pytest.mark.parametrize("enabled", [True, False])
def test_poisoning_leaves_torch_as_it_was(enabled: bool) -> None:
    flag = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    inputs = ATTENTION.make_inputs(CASE, NORMAL_DRAW, 0, CPU)
    with pytest.raises(RuntimeError), poisoned_memory(inputs, enabled):  # noqa: PT012 - both states matter
        assert torch.are_deterministic_algorithms_enabled() is enabled
        raise RuntimeError
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory is flag  # type: ignore[attr-defined]


def test_a_nan_outside_the_sampled_rows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_math, "FULL_CHECK_OPERATIONS", 0)
    monkeypatch.setattr(attention_math, "EDGES", ())
    case = replace(CASE, q_len=200, kv_len=200)
    rows = attention_math.sample_rows(case).tolist()
    hidden = next(row for row in range(200) if row not in rows)
    judge = HereJudge(ATTENTION, case, Court(CPU))
    checker = Checker(ATTENTION, case, made(lambda inputs: None), judge, CPU)
    inputs = ATTENTION.make_inputs(case, NORMAL_DRAW, 1, CPU)
    out = right(inputs)
    checker.check_timed(KeptCall(Content(1, 1), (take(out),), ()))
    assert judge.findings.record(poisoned=True).coverage == len(rows) / 200
    out[0, 0, hidden, 0] = float("nan")
    with pytest.raises(Rejected, match="out has 1 of 3200 elements NaN or infinite on timed inputs"):
        checker.check_timed(KeptCall(Content(1, 1), (take(out),), ()))


def with_probes(*probes: Probe[Any, Any]) -> Any:
    return replace(ATTENTION, check=replace(ATTENTION.check, probes=probes))


def test_a_check_that_accepts_a_probe_is_blunt() -> None:
    same = Probe("as good as right", lambda case: True, lambda case, inputs, sample, expected: expected)
    record = checked(right, with_probes(Probe("zeros", lambda case: True, zeros), same))
    assert record.probes == ("zeros", "as good as right")
    assert record.blunt == ("as good as right",)


def test_a_probe_found_out_on_one_set_of_inputs_is_not_blunt() -> None:
    needles_only = Probe(
        "wrong only beside needles",
        lambda case: True,
        lambda case, inputs, sample, expected: (
            zeros(case, inputs, sample, expected) if float(inputs.q.abs().max()) > 30 else expected
        ),
    )
    assert checked(right, with_probes(needles_only)).blunt == ()


def test_what_is_expected_is_computed_once_for_all_implementations() -> None:
    computed = []

    def oracle(case: Any, inputs: Any, sample: Any) -> Any:
        computed.append(1)
        return ATTENTION.check.oracle(case, inputs, sample)

    counting = replace(ATTENTION, check=replace(ATTENTION.check, oracle=oracle))
    court = Court(CPU)
    first = checked(right, counting, court)
    assert checked(lambda inputs: right(inputs) * (1 + 1e-6), counting, court).sets != first.sets
    assert len(computed) == 2 + ATTENTION.needle_draws, "two draws and needles"
    assert "relative RMS error" in str(rejection(lambda inputs: right(inputs) * 2, operator=counting, court=court))
    assert len(computed) == 2 + ATTENTION.needle_draws


@dataclass(frozen=True)
class CacheInputs:
    """A cache that the operator writes to, what it appends, and a table that it must leave alone."""

    new: Tensor = dynamic("new entries [4]")
    table: Tensor = static("where they go [4]")
    cache: Tensor = mutable("cache [8]")


def append(inputs: CacheInputs) -> Tensor:
    inputs.cache[inputs.table] = inputs.new
    return inputs.new * 2.0


def appending() -> Operator[Any, CacheInputs]:
    def make_inputs(case: Any, draw: str, seed: int, device: torch.device) -> CacheInputs:
        new = torch.randn(4, generator=torch.Generator().manual_seed(seed))
        return CacheInputs(new, torch.tensor([0, 2, 4, 6]), torch.zeros(8))

    return Operator(
        name="append",
        summary="appends",
        case_type=AttentionCase,
        inputs_type=CacheInputs,
        outputs=lambda case: (TensorSpec("out", (4,), torch.float32),),
        make_inputs=make_inputs,
        operations=lambda case: 4,
        bytes_moved=lambda case: 32,
        check=ErrorBudget(
            sample=lambda case: None,
            select=lambda outputs, sample: outputs,
            oracle=lambda case, inputs, sample: (inputs.new.double() * 2,),
            yardstick=lambda case, inputs, sample: YardstickOutput((inputs.new * 2,), (inputs.new.abs() * 2,)),
            probes=(Probe("zeros", lambda case: True, zeros),),
            dtype=lambda case: "float32",
        ),
    )


def test_a_cache_may_be_written_to_and_a_table_may_not() -> None:
    assert checked(append, appending()).deterministic

    def spoils(inputs: CacheInputs) -> Tensor:
        out = append(inputs)
        inputs.table[0] = 1
        return out

    with pytest.raises(Rejected, match="changed its input table"):
        checked(spoils, appending())
