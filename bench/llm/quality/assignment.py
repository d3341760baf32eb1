"""Which format each layer gets under a budget of bytes, from what each costs where it alone is stored so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.quality.sensitivity import LayerCost


@dataclass(frozen=True)
class Assignment:
    """A format for each layer, in order. kl: the sum of what each layer costs alone, which is what was made least."""

    choices: tuple[LayerCost, ...]

    @property
    def formats(self) -> tuple[str, ...]:
        return tuple(choice.format for choice in self.choices)

    @property
    def nbytes(self) -> int:
        return sum(choice.nbytes for choice in self.choices)

    @property
    def kl(self) -> float:
        return sum(choice.kl for choice in self.choices)


def assign(costs: Iterable[LayerCost], budget_bytes: float) -> Assignment:
    """The formats that lose least together, as far as what layers lose adds up, within the budget.

    Each layer begins with the fewest bytes. Then the step to a larger format that saves most KL for each byte is taken
    over and over, of those that fit: along the lower convex hull of each layer, so that no step hides a better one
    behind it (a knapsack with several choices an item, by Lagrange's relaxation). Raises UsageError where nothing is to
    be assigned, or the budget is below the smallest formats of all layers.
    """
    by_layer: dict[int, list[LayerCost]] = {}
    for cost in costs:
        by_layer.setdefault(cost.layer, []).append(cost)
    if not by_layer:
        raise UsageError("got no layer to assign a format to; expected the costs of one or more")
    hulls = {layer: hull(choices) for layer, choices in sorted(by_layer.items())}
    at = dict.fromkeys(hulls, 0)
    spent = sum(choices[0].nbytes for choices in hulls.values())
    if spent > budget_bytes:
        names = sorted({choices[0].format for choices in hulls.values()})
        raise UsageError(
            f"got a budget of {budget_bytes:.0f} bytes for {len(hulls)} layers; expected {spent} or more, which they "
            f"take in {' and '.join(names)}, the smallest of the formats given"
        )
    while True:
        steps = [
            (_slope(choices[at[layer]], following), layer, following)
            for layer, choices in hulls.items()
            if at[layer] + 1 < len(choices)
            and spent + (following := choices[at[layer] + 1]).nbytes - choices[at[layer]].nbytes <= budget_bytes
        ]
        if not steps:
            return Assignment(tuple(choices[at[layer]] for layer, choices in hulls.items()))
        _, layer, following = max(steps, key=lambda step: (step[0], -step[1]))
        spent += following.nbytes - hulls[layer][at[layer]].nbytes
        at[layer] += 1


def hull(choices: Sequence[LayerCost]) -> list[LayerCost]:
    """Those of one layer that are worth their bytes: by rising bytes, each step saving less KL a byte than the last."""
    kept: list[LayerCost] = []
    for choice in sorted(choices, key=lambda one: (one.nbytes, one.kl)):
        if kept and choice.kl >= kept[-1].kl:
            continue
        while len(kept) > 1 and _slope(kept[-2], kept[-1]) <= _slope(kept[-1], choice):
            kept.pop()
        kept.append(choice)
    return kept


def _slope(smaller: LayerCost, larger: LayerCost) -> float:
    """KL saved for each byte more; equal bytes never come after each other, as the better is kept alone."""
    return (smaller.kl - larger.kl) / max(1, larger.nbytes - smaller.nbytes)
