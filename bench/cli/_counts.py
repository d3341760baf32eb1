"""How many implementations of each operator can run here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from attnlab.bench.contract import needs, outline
from attnlab.bench.contract.registry import Registry
from attnlab.bench.store.machine import Device


@dataclass(frozen=True)
class OperatorCounts:
    """An operator, with how many implementations can run here, and how many cannot."""

    name: str
    summary: str
    here: int
    elsewhere: int


def outlined(device: Device) -> list[OperatorCounts]:
    """The counts, read off the files of this repository without importing them."""
    made = outline.implementations()
    here = Counter(one.operator for one in made if needs.unmet(one.needs, device) is None)
    every = Counter(one.operator for one in made)
    return [OperatorCounts(o.name, o.summary, here[o.name], every[o.name] - here[o.name]) for o in outline.operators()]


def counted(registry: Registry, device: Device) -> list[OperatorCounts]:
    """The counts, of what is registered."""
    found = []
    for operator in sorted(registry.operators, key=lambda operator: operator.name):
        made = list(registry.implementations(operator.name))
        here = sum(needs.missing(one, device) is None for one in made)
        found.append(OperatorCounts(operator.name, operator.summary, here, len(made) - here))
    return found
