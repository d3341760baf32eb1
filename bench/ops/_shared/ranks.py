"""What cases of operators over several ranks share, beside collectives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from attnlab.bench.contract.axes import size
from attnlab.bench.contract.error_budget import BudgetExpectation, ErrorBudget


def world_size_axis() -> Any:
    """How many ranks share the work."""
    return size("p", help="ranks", default=2)


def world_size(case: Any) -> int:
    """Of a case with that axis."""
    return int(case.world_size)


class ByPass:
    """The check of a case by what it gives: the first output alone, or gradients too, of which the budget has all."""

    def __init__(self, budget: ErrorBudget[Any, Any]) -> None:
        self._budgets = {True: budget, False: replace(budget, names=budget.names[:1])}

    def expect(self, case: Any, inputs: Any) -> BudgetExpectation:
        return self._budgets[case.goes_back].expect(case, inputs)
