"""Takes an implementation through the same check as `bench.harness` does, without the timing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.contract.ranks import RankFailed
from attnlab.bench.contract.registry import Implementation, Registry, implements
from attnlab.bench.measuring.correctness import Checker
from attnlab.bench.measuring.judging.court import Court
from attnlab.bench.measuring.judging.handing import HereJudge
from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.measuring.judging.verdicts import owed
from attnlab.bench.store.records import CheckRecord, Outcome

from .collection import Defect

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Checked:
    """What came of one implementation on one case; where it was rejected, on which inputs."""

    outcome: Outcome
    reason: str | None
    record: CheckRecord | None


def check(
    operator: Any, case: Case, implementation: Implementation, seed: int = 0, court: Court | None = None
) -> Checked:
    """Prepare, check on two draws and on needles, with seeds from `seed` on; `court` holds expectations."""
    judge = HereJudge(operator, case, court or Court(CPU))
    checker = Checker(operator, case, implementation, judge, CPU)
    try:
        inputs = operator.make_inputs(case, NORMAL_DRAW, seed, CPU)
        state = implementation.prepare(case, inputs)
        checker.check(inputs, state, owed(operator, seed))
    except (Rejected, RankFailed) as rejected:
        return Checked(rejected.outcome, str(rejected), judge.findings.record(poisoned=True))
    return Checked(Outcome.PASSED, None, judge.findings.record(poisoned=True))


def implementation_of(operator: str, target: Any) -> Implementation:
    """A fresh implementation, in a registry of its own, of a class or function."""
    own = Registry()
    implements(operator, name=target.__name__, into=own)(target)
    return own.all_implementations()[0]


@dataclass(frozen=True)
class Tally:
    """How many honest and broken implementations a case had, and which were taken for the other."""

    honest: int
    broken: int
    alarms: tuple[str, ...]
    through: tuple[str, ...]


def tally(operator: Any, case: Any, honest: Iterable[type], defects: Iterable[Defect]) -> Tally:
    """Check the honest implementations and those of the broken ones that differ on this case."""
    alarms, through, court = [], [], Court(CPU)
    good = [implementation_of(operator.name, target) for target in honest]
    bad = [defect for defect in defects if defect.applies(case)]
    for implementation in good:
        checked = check(operator, case, implementation, court=court)
        blunt = checked.record.blunt if checked.record else ()
        if checked.outcome is not Outcome.PASSED or blunt:
            alarms.append(f"{implementation.name}: {checked.reason}, blunt for {blunt}")
    for defect in bad:
        checked = check(operator, case, defect.implementation, court=court)
        if checked.outcome is not defect.outcome(case):
            through.append(f"{defect.name}: {checked.outcome.value}, {checked.reason}")
    return Tally(len(good), len(bad), tuple(alarms), tuple(through))
