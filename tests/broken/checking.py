"""Takes an implementation through the same check as `bench.harness` does, without the timing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attnlab.bench.axes import Case
from attnlab.bench.contract import NORMAL_DRAW
from attnlab.bench.correctness import Checker, Expectations, Rejected
from attnlab.bench.registry import Implementation, Registry, implements
from attnlab.bench.store.records import CheckRecord, Outcome

from .collection import Defect

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Checked:
    """What came of one implementation on one case; where it was rejected, on which inputs."""

    outcome: Outcome
    reason: str | None
    record: CheckRecord


def check(
    operator: Any, case: Case, implementation: Implementation, seed: int = 0, folder: Path | None = None
) -> Checked:
    """Prepare, check on two draws and on needles, with seeds from `seed` on; `folder` keeps expectations."""
    checker = Checker(operator, case, implementation, Expectations(operator, case, CPU, folder))
    try:
        inputs = operator.make_inputs(case, NORMAL_DRAW, seed, CPU)
        state = implementation.prepare(case, inputs)
        checker.check_redrawn(inputs, state, (seed + 1, seed + 2), CPU)
        checker.check_needles(lambda made: implementation.prepare(case, made), seed + 3, CPU)
    except Rejected as rejected:
        return Checked(rejected.outcome, str(rejected), checker.record())
    return Checked(Outcome.PASSED, None, checker.record())


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


def tally(operator: Any, case: Any, honest: Iterable[type], defects: Iterable[Defect], folder: Path) -> Tally:
    """Check the honest implementations and those of the broken ones that differ on this case."""
    alarms, through = [], []
    good = [implementation_of(operator.name, target) for target in honest]
    bad = [defect for defect in defects if defect.applies(case)]
    for implementation in good:
        checked = check(operator, case, implementation, folder=folder)
        if checked.outcome is not Outcome.PASSED or checked.record.blunt:
            alarms.append(f"{implementation.name}: {checked.reason}, blunt for {checked.record.blunt}")
    for defect in bad:
        checked = check(operator, case, defect.implementation, folder=folder)
        if checked.outcome is not defect.outcome(case):
            through.append(f"{defect.name}: {checked.outcome.value}, {checked.reason}")
    return Tally(len(good), len(bad), tuple(alarms), tuple(through))
