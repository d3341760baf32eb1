"""A plugin whose implementation of `toy` has a search space: one way is slow, one is wrong."""

from __future__ import annotations

from typing import Any

import toy_operator  # noqa: F401 - registers the operator
from torch import Tensor

from attnlab.bench import Configuration, Space, implements


def unfit(case: Any, chosen: Configuration) -> str | None:
    return "longer than the case" if int(chosen["tile"]) > case.n else None


@implements(
    "toy",
    name="tunable",
    space=Space(
        axes={"tile": (1, 2, 4096), "way": ("right", "slow", "wrong")},
        default=lambda case: {"tile": 1, "way": "right"},
        shape=lambda case: ({"kind": "toy"}, {"n": case.n}),
        unfit=unfit,
    ),
)
class Tunable:
    """Twice its input, in one of several ways."""

    def prepare(self, case: Any, inputs: Any, chosen: Configuration | None = None) -> Configuration:
        return chosen or {"tile": 1, "way": "right"}

    def run(self, inputs: Any, chosen: Configuration) -> Tensor:
        if chosen["way"] == "wrong":
            return inputs.x * 3
        for _ in range(100 if chosen["way"] == "slow" else 0):
            inputs.x * 2
        return inputs.x * 2
