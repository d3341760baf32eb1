"""How fast a function is, beside others: checked and timed by what `attnlab run` measures with, as an object."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from attnlab.bench.contract import needs
from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import OURS, Implementation, Registry, discover
from attnlab.bench.errors import Unavailable, UsageError
from attnlab.bench.machine.environment import choose_device, describe_device
from attnlab.bench.measuring.draft import draft_run
from attnlab.bench.measuring.runner import Limits, Runner
from attnlab.bench.measuring.settings import kept_settings
from attnlab.bench.measuring.steps import plan, steps_of
from attnlab.bench.measuring.suite import Bench, Suite, make_effort
from attnlab.bench.notebook.functions import implementation
from attnlab.bench.notebook.progress import ProgressLine
from attnlab.bench.notebook.result import MeasureResult
from attnlab.bench.notebook.subject import CaseLike, Subject, subject
from attnlab.bench.store.machine import Device
from attnlab.bench.store.records import BenchRecord, Measurement

ROUNDS = 16  # bursts of each that takes turns, 30 ms each where a call is short
ROUNDS_OF_LONG_CALLS = 6  # where calls are observed one by one: a generation takes seconds
MAIN = "__main__"
Measurable = str | Callable[..., Any]


def measure(
    function: Measurable,
    case: CaseLike = None,
    against: Measurable | Sequence[Measurable] = (),
    *,
    operator: str | None = None,
    device: str = "auto",
    name: str | None = None,
    rounds: int | None = None,
    **axes: Any,
) -> MeasureResult:
    """Check a function on a case, then time it, beside `against` where that is given.

    function, case, operator, device, name, axes: as of `check`; of several cases, or an axis with a list of values, all
    are measured. against: names of registered implementations, or functions. They take turns with it, burst by burst,
    and the ratio of their times is paired by rounds. rounds: how many bursts each takes (16; of long calls 6). Without
    `against` it is timed until its median is known, for about 2 s at most.

    A function is measured in this process: another would have to import it, and might import something else. Its result
    says so. What is named runs in a process of its own, as under `attnlab run`. The first measurement on a machine
    takes half a minute more, for the ceilings.

    What is wrong has no time, and that is a result. Raises UsageError on what cannot be asked, and Unavailable where
    one of `against` cannot run here.
    """
    registry = discover((), kept_settings)
    asked = subject(case, operator, axes, registry)
    kind = choose_device(device)
    members = _members(function, against, asked.operator, registry, name, describe_device(kind))
    made = tuple(member.implementation for member in members)
    own = registry.with_implementations(made)
    suite = _suite(asked, made, _rounds(rounds, len(made), asked.operator))
    benches = tuple(plan(suite, own))
    plugins = tuple(dict.fromkeys(member.plugin for member in members if member.plugin is not None))
    run = draft_run(suite, benches, kind, _command(benches[0]), plugins, known=own)
    runner = Runner(
        own,
        run.environment,
        run.ceilings,
        make_effort(run.effort),
        Limits(),
        plugins,
        run.seed or 0,
        here=tuple(member.implementation.name for member in members if member.here),
    )
    sink = _Kept()
    with _threads_of_this_process():
        steps = steps_of(list(benches), own)
        line = ProgressLine(len(steps))
        try:
            for _ in runner.run(steps, sink, line):
                pass
        finally:
            line.close()
    return MeasureResult(run, tuple(sink.measurements), made[0].name, own)


@dataclass(frozen=True)
class _Member:
    """What is measured; here: whether in this process. plugin: the module that a worker imports to have it."""

    implementation: Implementation
    here: bool
    plugin: str | None = None


def _members(
    function: Measurable,
    against: Measurable | Sequence[Measurable],
    operator: Operator[Any, Any],
    registry: Registry,
    name: str | None,
    device: Device,
) -> list[_Member]:
    """The function's first. Raises UsageError where one is named twice, Unavailable where another cannot run here."""
    others = list(against) if isinstance(against, Sequence) and not isinstance(against, str) else [against]
    members = [_member(function, operator, registry, name)]
    for other in others:
        known = [member.implementation for member in members]
        member = _member(other, operator, registry.with_implementations(known))
        one = member.implementation
        if one.name in [each.name for each in known]:
            raise UsageError(f"got {one.name!r} twice; expected another to measure it against")
        reason = needs.missing(one, device)
        if reason is not None:
            here = [m.name for m in registry.implementations(operator.name) if needs.missing(m, device) is None]
            raise Unavailable(f"{one.name}: {reason}; {operator.name} has here: {', '.join(sorted(here)) or 'none'}")
        members.append(member)
    return members


def _member(given: Measurable, operator: Operator[Any, Any], registry: Registry, name: str | None = None) -> _Member:
    if not isinstance(given, str):
        return _Member(implementation(given, operator, registry, name), here=True)
    if name is not None:
        raise UsageError(f"got name={name!r} of {given!r}, which is registered by its own; leave it out")
    found = registry.implementations(operator.name).get(given)
    return _Member(found, here=found.module == MAIN, plugin=_plugin(found))


def _plugin(made: Implementation) -> str | None:
    """What a worker loads to have it: a module of a package by name, another by its file; None of ours."""
    if made.module == MAIN or made.module.startswith(f"{OURS}."):
        return None
    file = getattr(sys.modules.get(made.module), "__file__", None)
    return made.module if "." in made.module or file is None else file


def _rounds(wanted: int | None, members: int, operator: Operator[Any, Any]) -> int:
    """Bursts of each; 0 where it is timed alone until its median is known."""
    if wanted is None:
        return (ROUNDS if operator.observe is None else ROUNDS_OF_LONG_CALLS) if members > 1 else 0
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise UsageError(f"got rounds={wanted!r}; expected a whole number above zero: an interval takes 6")
    return wanted


def _suite(asked: Subject, made: Sequence[Implementation], rounds: int) -> Suite:
    names = tuple(one.name for one in made)
    baseline = names[1] if len(names) > 1 else None
    return Suite("measure", (Bench(asked.operator.name, asked.cases, names, baseline, rounds),), effort={"turns": 0})


def _command(bench: BenchRecord) -> str:
    """What measures it again, where the function is there."""
    cases = [f"{bench.operator}: {case}" for case in bench.cases]
    function, *others = bench.implementations
    against = f", against={others!r}" if others else ""
    return f"attnlab.bench.measure({function}, {cases[0] if len(cases) == 1 else cases!r}{against})"


@contextmanager
def _threads_of_this_process() -> Iterator[None]:
    """Processes that are started inside take as many threads as this one."""
    import torch

    variable, before = "OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS")
    os.environ[variable] = str(torch.get_num_threads())
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


@dataclass
class _Kept:
    """Where a run puts its measurements."""

    measurements: list[Measurement] = field(default_factory=list)

    def append(self, measurement: Measurement) -> None:
        self.measurements.append(measurement)
