"""Every broken sampler is rejected on every case that it differs on, and every honest one passes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from attnlab.bench import SamplingCase
from attnlab.bench.contract.distribution import DistributionExpectation, Law
from attnlab.bench.ops.sampling.contract import SAMPLING
from attnlab.bench.store.records import Outcome

from .checking import check, implementation_of, tally
from .sampling import HONEST, SAMPLING_DEFECTS, Sampler

IDS = (
    "V100-N60000-t0.7-k10-p0.9-r1.3-fp32-peaked",
    "B4-V3000-N5000-fp32",
    "B5-V200-N20000-t1.3-k50-r1.2-H20-fp32-peaked",
    "B64-V2000-fp32-peaked",
    "B2-V60-N60000-k12-bf16-ties",
    "V60-N60000-m0.1-fp16",
    "B2-V60-N60000-t1.5-m0.05-fp32-peaked",
    "V40-N20000-k5-fp32-flat",
    "V50-N60000-k20-fp32",
    "V60-N60000-t2-p0.8-bf16-ties",
    "B3-V40-N5-t0-fp16-peaked",
    "V40-N50-p0.5-fp32-one_hot",
    "V80-N60000-bf16-minus_inf",
)


@pytest.mark.parametrize("case_id", IDS)
def test_told_apart(case_id: str, record_property: Callable[[str, object], None]) -> None:
    case = SamplingCase.parse(case_id)
    counted = tally(SAMPLING, case, HONEST, SAMPLING_DEFECTS)
    record_property("operator", SAMPLING.name)
    record_property("honest", counted.honest)
    record_property("passed", counted.honest - len(counted.alarms))
    record_property("broken", counted.broken)
    record_property("rejected", counted.broken - len(counted.through))
    assert not counted.alarms
    assert not counted.through


def test_every_defect_has_a_case_that_shows_it() -> None:
    cases = [SamplingCase.parse(case_id) for case_id in IDS]
    assert [defect.name for defect in SAMPLING_DEFECTS if not any(defect.applies(case) for case in cases)] == []


@pytest.mark.parametrize("defect", ["AlwaysLargest", "TenPercentHotter", "TenPercentColder", "OneTooMany", "OneTooFew"])
def test_a_case_of_one_draw_is_checked_on_many_too(defect: str) -> None:
    case = SamplingCase(vocab=128_000, top_k=50)
    assert check(SAMPLING, case, implementation_of("sampling", Sampler)).reason is None
    (broken,) = (one for one in SAMPLING_DEFECTS if one.name == defect)
    checked = check(SAMPLING, case, broken.implementation)
    assert checked.outcome is Outcome.WRONG_VALUES
    assert checked.record is not None
    assert not checked.record.blunt


def test_few_draws_are_judged_by_their_likelihood() -> None:
    """n draws of the token of probability 1/2, and none of another, have a probability of 2^-n: 1e-9 at 30."""
    law = Law(torch.tensor([[0.5, 0.3, 0.2]]).double(), torch.zeros(1, 3, dtype=torch.bool), torch.zeros(1, 1).long())
    judged = DistributionExpectation.of(law)
    assert judged.accepts(torch.zeros(1, 8, dtype=torch.int64))
    assert not judged.accepts(torch.zeros(1, 32, dtype=torch.int64))
    one_each = torch.zeros(32, 1, dtype=torch.int64)  # a row has too few for chi-square
    many = DistributionExpectation.of(Law(law.probabilities.expand(32, -1), law.unsure.expand(32, -1), one_each))
    assert not many.accepts(one_each)
    assert many.accepts(torch.arange(32)[:, None] % 3 % 2)


def test_unsure_tokens_are_let_through_and_count_for_nothing() -> None:
    unsure = torch.tensor([[False, True, False, False]])
    judged = DistributionExpectation.of(
        Law(torch.tensor([[0.5, 0.25, 0.25, 0.0]]).double(), unsure, torch.zeros(1, 1).long())
    )
    fair = torch.tensor([0, 0, 2]).repeat(1, 1000)[:, torch.randperm(3000, generator=torch.Generator().manual_seed(0))]
    assert judged.accepts(fair)
    assert judged.accepts(torch.cat([fair, torch.ones(1, 5000, dtype=torch.int64)], 1))
    assert not judged.accepts(torch.tensor([0, 2]).repeat(1, 1000))
    assert not judged.accepts(torch.cat([fair, torch.tensor([[3]])], 1))


def test_the_last_token_of_top_k_is_missed_over_all_rows_together() -> None:
    """Of each row it would be drawn some ten times: too seldom for one row to show that it never is."""
    (broken,) = (one for one in SAMPLING_DEFECTS if one.name == "OneTooFew")
    case = SamplingCase(batch=8, vocab=128, top_k=50)
    checked = check(SAMPLING, case, broken.implementation)
    assert checked.outcome is Outcome.WRONG_VALUES
