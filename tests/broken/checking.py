"""Takes an implementation through the same check as `bench.harness` does, without the timing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attnlab.bench.axes import Case
from attnlab.bench.contract import NORMAL_DRAW
from attnlab.bench.correctness import Checker, Expectations, Rejected
from attnlab.bench.registry import Implementation, Registry, implements
from attnlab.bench.store.records import CheckRecord, Outcome

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
    return next(iter(own._implementations[operator]))
