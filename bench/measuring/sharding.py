"""Splits a plan's bundles evenly, in the same way on every machine: no figure of this machine has a part in it."""

from __future__ import annotations

import hashlib
import heapq
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from attnlab.bench.contract.registry import Registry
from attnlab.bench.measuring.bundles import Bundle
from attnlab.bench.measuring.forecast.paces import STEP_S
from attnlab.bench.measuring.forecast.step_costs import Terms, planned_cost
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.suite import make_effort
from attnlab.bench.measuring.turns import contenders, lacking
from attnlab.bench.store.codec import encode
from attnlab.bench.store.machine import UNKNOWN, Ceilings, Device
from attnlab.bench.store.records import BenchRecord, Measurement


def bundle_seconds(
    chosen: Sequence[Bundle], registry: Registry, effort: Mapping[str, float], kind: str
) -> tuple[float, ...]:
    """About how long each bundle takes on a nominal device of that kind ("cpu" or "cuda").

    By contract and effort alone: not by packages, ceilings or memory, of which machines have unlike ones. What is
    written for another kind of device costs nothing.
    """
    device = Device(kind, UNKNOWN)
    terms = Terms(device, Ceilings(UNKNOWN, None, math.nan, {}, None, 0.0), make_effort(effort))
    return tuple(sum(_seconds(step, registry, terms) for step in bundle.steps) for bundle in chosen)


def _seconds(step: Step, registry: Registry, terms: Terms) -> float:
    made = registry.implementations(step.operator).get(step.implementation)
    cost = planned_cost(step, registry.operators.get(step.operator), made, terms, first_case=True, first_call=True)
    return STEP_S + cost.seconds


def split(chosen: Sequence[Bundle], seconds: Sequence[float], of: int) -> tuple[tuple[Bundle, ...], ...]:
    """So many shards, whose times are as even as the largest bundle lets them be; some are empty where bundles are few.

    The longest bundle first, each to the shard that has least by then. Within a shard bundles keep the plan's order.
    """
    loads = [(0, number) for number in range(of)]
    shards: list[list[Bundle]] = [[] for _ in range(of)]
    costs = [round(1e3 * value) for value in seconds]  # in milliseconds: no rounding of a sum decides
    for place in sorted(range(len(chosen)), key=lambda place: (-costs[place], place)):
        load, number = heapq.heappop(loads)
        shards[number].append(chosen[place])
        heapq.heappush(loads, (load + costs[place], number))
    return tuple(tuple(sorted(shard, key=lambda bundle: bundle.number)) for shard in shards)


def narrowed(benches: Sequence[BenchRecord], chosen: Sequence[Bundle]) -> tuple[BenchRecord, ...]:
    """The benches with the cases of these bundles alone; those that have none of them are left out."""
    kept = {key[::2] for bundle in chosen for key in bundle.keys}
    cut = (
        replace(bench, cases=tuple(case for case in bench.cases if (bench.operator, case) in kept)) for bench in benches
    )
    return tuple(bench for bench in cut if bench.cases)


def plan_id(suite: str, benches: Sequence[BenchRecord], settings: object, shards: Sequence[Sequence[Bundle]]) -> str:
    """Sixteen digits that stand for a plan and how it was split: alike on every machine, and for no other plan."""
    held = [suite, [encode(bench) for bench in benches], settings, [[b.number for b in shard] for shard in shards]]
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]


def remaining(
    chosen: Iterable[Bundle], held: Sequence[Measurement], machine: str | None, rounds: int
) -> tuple[list[Step], list[Measurement]]:
    """What a machine has to measure of these bundles, and what stands beside it of what is `held` already.

    What it measured itself stands. A bundle that another machine finished is left as it is. One that another began is
    measured from its beginning: a pair never spans two machines. rounds: turns that the nearest of a case take.
    """
    by_key = {m.key: m for m in held}
    steps: list[Step] = []
    beside: list[Measurement] = []
    for bundle in chosen:
        own = [by_key[key] for key in bundle.keys if key in by_key]
        if all(m.machine == machine for m in own):
            beside += own
            steps += [step for step in bundle.steps if step.key not in by_key]
        elif not _whole(bundle, own, rounds):
            steps += bundle.steps
    return steps, beside


def _whole(bundle: Bundle, own: Sequence[Measurement], rounds: int) -> bool:
    """Whether one machine finished it."""
    alike = len({m.machine for m in own}) == 1
    return alike and len(own) == len(bundle.steps) and not (rounds and lacking(contenders(own), rounds))
