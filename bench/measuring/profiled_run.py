"""Profiles steps: each implementation on each case in a worker, which checks, times and takes it apart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from attnlab.bench.measuring.profile_order import ProfileOrder
from attnlab.bench.measuring.profiling import WRONG
from attnlab.bench.measuring.runner import Progress, Runner
from attnlab.bench.measuring.steps import Step
from attnlab.bench.profilers import PROFILERS
from attnlab.bench.profilers.profiled_call import Origin, ProfiledCall
from attnlab.bench.profilers.profiles import CaseProfile
from attnlab.bench.profilers.using import ToolUse, read_call_ns, read_uses, use
from attnlab.bench.store.records import Measurement, Outcome


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
