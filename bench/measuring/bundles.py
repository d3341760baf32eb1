"""A plan in bundles: the steps that have to be measured on one machine, whichever that is.

No scheduler is known here. Shards, clusters and simulations take bundles as they are, one at a time, as wholes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attnlab.bench.contract.registry import Registry
from attnlab.bench.measuring.steps import Step, steps_of
from attnlab.bench.ops.serve.servers import EMBEDDED
from attnlab.bench.store.records import SERVE, BenchRecord

Tie = tuple[str, ...]


@dataclass(frozen=True)
class Bundle:
    """Steps of one machine, in the order of the plan; number: the bundle's place in the plan, from 0."""

    number: int
    steps: tuple[Step, ...]

    @property
    def keys(self) -> tuple[tuple[str, str, str], ...]:
        """The keys of its measurements."""
        return tuple(step.key for step in self.steps)

    @property
    def name(self) -> str:
        """What it is called where it is told of."""
        first = self.steps[0]
        cases = len({(step.operator, step.case.id) for step in self.steps})
        return f"{first.operator} {first.case.id}" + (f" and {cases - 1} more" if cases > 1 else "")


def bundles(benches: Sequence[BenchRecord], registry: Registry) -> tuple[Bundle, ...]:
    """The bundles of a plan, in its order; each step is in one of them.

    A case's implementations stay together: they are set against each other, and take turns. So do all cases of a table
    in rounds, which is one interleaved measurement, and all cases of one server, which no two machines may ask at once.
    """
    steps = steps_of(list(benches), registry)
    leader: dict[Tie, Tie] = {}
    for step in steps:
        first, *others = _ties(step)
        for tie in others:
            leader[_lead(tie, leader)] = _lead(first, leader)
    groups: dict[Tie, list[Step]] = {}
    for step in steps:
        groups.setdefault(_lead(_ties(step)[0], leader), []).append(step)
    return tuple(Bundle(number, tuple(group)) for number, group in enumerate(groups.values()))


def steps_in(chosen: Iterable[Bundle]) -> list[Step]:
    """The steps of these bundles, one after another."""
    return [step for bundle in chosen for step in bundle.steps]


def _ties(step: Step) -> list[Tie]:
    """What a step has in common with all that must be measured beside it."""
    ties: list[Tie] = [("case", step.operator, step.case.id)]
    if step.rounds:
        ties.append(("table", str(step.table)))
    server = getattr(step.case, "server", EMBEDDED) if step.operator == SERVE else EMBEDDED
    if server != EMBEDDED:
        ties.append(("server", server))
    return ties


def _lead(tie: Tie, leader: dict[Tie, Tie]) -> Tie:
    """What stands for all that is tied to it; itself where that is nothing yet."""
    while leader.setdefault(tie, tie) != tie:
        tie = leader[tie]
    return tie
