"""Suites: a named set of operators, their cases, implementations and a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.contract.axes import Case, sweep, unique
from attnlab.bench.contract.registry import Registry
from attnlab.bench.errors import SuiteError, UnknownName, UsageError

if TYPE_CHECKING:
    from attnlab.bench.measuring.timing import Effort
    from attnlab.bench.serving.service import Service

EAGER = "naive"  # what every operator's plain implementation is called
QUICK_LIMITS = {"sampling_limit_s": 0.1, "warmup_limit_s": 0.1, "least_s": 0.03, "least_bursts": 3}
QUICK_TARGET = 0.05
QUICK_ROUNDS = 2


@dataclass(frozen=True)
class Bench:
    """One table of a suite. implementations is None where every one that the operator has is meant.

    rounds: how many bursts are taken of its cases and implementations in turn; 0: each is measured alone.
    """

    operator: str
    cases: tuple[Case, ...]
    implementations: tuple[str, ...] | None = None
    baseline: str | None = None
    rounds: int = 0


@dataclass(frozen=True)
class Suite:
    """A named set of benches.

    effort overrides the harness's defaults by name of its fields. notes say in plain words what of the
    suite's file is not among the benches. cache is what the L2 of a GPU is to hold when a call starts, "cold"
    or "hot"; of no meaning on a CPU. unknown_operators: those of benches that were left out, where that was asked for.
    servers: those that its cases name, by name.
    """

    name: str
    benches: tuple[Bench, ...]
    description: str = ""
    effort: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    cache: str = "cold"
    unknown_operators: tuple[str, ...] = ()
    servers: Mapping[str, Service] = field(default_factory=dict)


def suite_names(registry: Registry) -> list[str]:
    return sorted(registry.suites.names())


def find_suite(name: str, registry: Registry) -> Path:
    """The file of a suite, by name or path; raises UnknownName, or SuiteError where the file is missing."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise SuiteError(f"{path}: no such suite file; `attnlab list suites` names those that come along")
        return path
    if name not in registry.suites:
        raise UnknownName("suite or operator", name, [*suite_names(registry), *registry.operators.names()])
    return Path(registry.suites.get(name))


def operator_suite(name: str, registry: Registry, overrides: Mapping[str, Any], cases: tuple[str, ...]) -> Suite:
    """A suite of one operator on the cases of a command line: its default case where none is given.

    Axes in `overrides` take the place of those in each case. Speed-ups are over the eager implementation.
    """
    case_type = registry.operators.get(name).case_type
    given = [case_type.parse(text) for text in cases] or [case_type()]
    for text, case in zip(cases, given, strict=False):
        twice = [axis for axis in overrides if axis in case.chosen()]
        if twice:
            raise UsageError(f"--case {text} sets {' and '.join(twice)}, and so does -a; set it in one of them")
    baseline = EAGER if EAGER in registry.implementations(name) else None
    return Suite(name, (Bench(name, tuple(with_axes(given, overrides)), baseline=baseline),))


def with_axes(cases: Iterable[Case], axes: Mapping[str, Any]) -> list[Case]:
    """Each case with the given axes instead of its own; a list is swept.

    Raises ImpossibleCase where an axis has no such value, or where no case is possible with it.
    """
    varied: list[Case] = []
    for case in cases:
        own = {name: value for name, value in case.chosen().items() if name not in axes}
        varied += sweep(type(case), {**own, **axes})
    return unique(varied)


def quick_look(suite: Suite) -> Suite:
    """The suite as `attnlab run --quick` takes it: checked once, few samples, no turns; what is quicker stays as it is.

    Runs of it are marked (`RunRecord.quick`), for its figures never stand beside those of a full run unmarked.
    """
    default = asdict(make_effort({}))
    own = {**default, **suite.effort}
    limits = {name: min(own[name], most) for name, most in QUICK_LIMITS.items()}
    effort = {**suite.effort, **limits, "target": max(own["target"], QUICK_TARGET), "turns": 0, "quick": 1}
    benches = tuple(replace(bench, rounds=min(bench.rounds, QUICK_ROUNDS)) for bench in suite.benches)
    return replace(suite, effort=effort, benches=benches)


def make_effort(effort: Mapping[str, float]) -> Effort:
    """The effort that a suite asks for, defaults where it is silent."""
    from attnlab.bench.measuring.timing import Effort

    return Effort(**effort)  # type: ignore[arg-type]
