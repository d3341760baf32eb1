"""Profiles steps: each implementation on each case in a worker, which checks, times and takes it apart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from attnlab.bench import units
from attnlab.bench.measuring.isolation import Worker
from attnlab.bench.measuring.profile_order import ProfileOrder
from attnlab.bench.measuring.profiling import WRONG
from attnlab.bench.measuring.runner import Progress, Runner
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.turns import take_in_turn, with_turn
from attnlab.bench.profilers import PROFILERS
from attnlab.bench.profilers.profiled_call import Origin, ProfiledCall
from attnlab.bench.profilers.profiles import CaseProfile
from attnlab.bench.profilers.using import ToolUse, read_call_ns, read_uses, use
from attnlab.bench.store.records import Measurement, Outcome

BURSTS = 12  # of each, where two or more are set side by side
BURSTS_OF_LONG, LONG_NS = 6, 0.5 * units.NS_PER_S  # the fewest that an interval can be had from


def take_profiles(
    runner: Runner, steps: Sequence[Step], order: ProfileOrder, side: str, progress: Progress
) -> Iterator[CaseProfile]:
    """One by one. side: which revision it is of, where there are two."""
    with replace(runner, profile=order).workers(steps) as measure:
        for step in steps:
            progress.begin(step)
            found = _profile_of(runner, step, order, measure(step, partial(progress.phase, step)), side)
            progress.end(step, found.measurement)
            yield found


def set_side_by_side(
    sides: Sequence[tuple[Runner, Sequence[CaseProfile]]], progress: Progress
) -> tuple[CaseProfile, ...]:
    """The profiles of all sides in their order; those of one case have taken bursts in turn, unprofiled.

    Each has a fresh process, which lives beside the others'. So how their times compare has an interval, and what
    disturbs the machine disturbs all.
    """
    profiles = [profile for _, found in sides for profile in found]
    cases: dict[str, list[int]] = {}
    for place, profile in enumerate(profiles):
        if profile.call_ns is not None and profile.wrong is None and profile.measurement.outcome is Outcome.PASSED:
            cases.setdefault(profile.measurement.case_id, []).append(place)
    compared = [places for places in cases.values() if len(places) > 1]
    if not compared:
        return tuple(profiles)
    with ExitStack() as stack:
        staffs = [stack.enter_context(replace(runner, profile=None).staff()) for runner, _ in sides]
        hire = [staff.for_turn for staff, (_, found) in zip(staffs, sides, strict=True) for _ in found]
        for places in compared:
            measured = [profiles[place].measurement for place in places]
            progress.turn(1, 1, measured[0])
            workers = [hire[place](m) for place, m in zip(places, measured, strict=True)]
            for place, taken in zip(places, _in_turn(measured, workers, profiles, places), strict=True):
                profiles[place] = replace(profiles[place], measurement=with_turn(profiles[place].measurement, 1, taken))
    return tuple(profiles)


def _in_turn(
    measured: Sequence[Measurement], workers: Sequence[Worker], profiles: Sequence[CaseProfile], places: Sequence[int]
) -> list[Measurement]:
    longest_ns = max(profiles[place].call_ns or 0.0 for place in places)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.wait()
        bursts = BURSTS_OF_LONG if longest_ns > LONG_NS else BURSTS
        return take_in_turn(list(zip(measured, workers, strict=True)), bursts)
    finally:
        for worker in workers:
            worker.close()


def _profile_of(runner: Runner, step: Step, order: ProfileOrder, measured: Measurement, side: str) -> CaseProfile:
    of = step.operator, step.implementation, step.case.id
    place = order.path(*of)
    failed_before = measured.outcome is Outcome.FAILED and not place.exists()  # before a tool saw it
    if failed_before or measured.outcome is Outcome.UNAVAILABLE:
        tools = _without_calls(runner, step, order, measured, place)
    else:
        tools = read_uses(order.tools, place)
    call_ns = read_call_ns(place)
    wrong = f"{measured.outcome.value}: {measured.reason}" if tools and measured.outcome in WRONG else None
    return CaseProfile(measured, tuple(tools), order.place(*of), call_ns, wrong, side)


def _without_calls(
    runner: Runner, step: Step, order: ProfileOrder, measured: Measurement, place: Path
) -> list[ToolUse]:
    """What tools find that need no call, of what cannot run here or fails, such as a kernel that does not compile."""
    tools = [name for name in order.tools if not PROFILERS.get(name).needs_calls]
    made = runner.registry.implementations(step.operator).get(step.implementation)
    origin = Origin(step.operator, step.implementation, made.module, step.case.id, runner.plugins, runner.seed)
    device = torch.device(runner.environment.device.kind)
    call = ProfiledCall(
        made.key,
        device,
        untimed=measured.reason,
        origin=origin,
        dtype=measured.case.get("dtype"),
        interpreter=order.fresh,
        targets=order.targets,
    )
    use(tools, call, place)
    found = read_uses(tools, place)
    if not any(one.record for one in found):
        shutil.rmtree(place, ignore_errors=True)
    return found
