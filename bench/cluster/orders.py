"""What a node is told to measure, and what it answers with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from attnlab.bench.contract.registry import Registry
from attnlab.bench.measuring.bundles import Bundle
from attnlab.bench.measuring.steps import Step
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.machine import Machine
from attnlab.bench.store.records import Measurement

# Answers, each a kind and a value:
MACHINE = "machine"  # a `Described`, first of all
BEGIN, PHASE, MEASURED = "begin", "phase", "measured"  # a key, a key and a word, a measurement
UNFIT = "unfit"  # the node is of no use for this run: why
DONE = "done"  # all was measured
LOST = "lost"  # by who runs the node: nothing more comes, for this reason


@dataclass(frozen=True)
class StepOrder:
    """A step, by names."""

    operator: str
    implementation: str
    case_id: str
    rounds: int
    table: int


@dataclass(frozen=True)
class Settings:
    """How all bundles of a run are measured.

    device: "cpu" or "cuda". effort: as a run's record has it. plugins: as the node imports them. code: the hash that
    the node's own code has to have.
    """

    device: str
    effort: dict[str, float]
    seed: int
    cache: str
    time_limit_s: float
    memory_bytes: int | None
    plugins: tuple[str, ...]
    code: str


@dataclass(frozen=True)
class Order:
    """A bundle for a node, or only the question what machine it is, where there are no steps.

    node: what the scheduler calls it. like: the machine that it has to be of one kind with. held: what is known of the
    bundle already.
    """

    settings: Settings
    node: str
    steps: tuple[StepOrder, ...] = ()
    held: tuple[dict[str, Any], ...] = ()
    like: dict[str, Any] | None = None

    def text(self) -> str:
        return json.dumps(encode(self))


@dataclass(frozen=True)
class Described:
    """What a node says of itself: its machine, and hashes of implementations, as they are installed there."""

    machine: Machine
    prints: dict[str, str | None] = field(default_factory=dict)


def order_of(settings: Settings, node: str, bundle: Bundle, held: Sequence[Measurement], like: Machine) -> Order:
    """The order to measure a bundle."""
    steps = tuple(StepOrder(s.operator, s.implementation, s.case.id, s.rounds, s.table) for s in bundle.steps)
    known = tuple(encode(m) for m in held if m.key in bundle.keys)
    return Order(settings, node, steps, known, encode(like))


def read_order(value: Any) -> Order:
    """The order behind the JSON values of its text."""
    return decode(Order, value)


def bundle_of(order: Order, registry: Registry) -> Bundle:
    """The bundle that is ordered."""
    return Bundle(
        0,
        tuple(
            Step(
                s.operator,
                s.implementation,
                registry.operators.get(s.operator).case_type.parse(s.case_id),
                s.rounds,
                s.table,
            )
            for s in order.steps
        ),
    )


def read_measurement(value: Mapping[str, Any]) -> Measurement:
    """A measurement that a node sent; raises ValueError where it is none."""
    return decode(Measurement, value)


def stamped(measurement: Measurement, machine: str) -> Measurement:
    """The measurement with the key of the machine that it was taken on."""
    return replace(measurement, machine=machine)
