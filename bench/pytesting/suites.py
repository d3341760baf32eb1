"""Suites as test modules: a function an implementation, parametrised by case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from attnlab.bench.errors import AttnlabError
from attnlab.bench.measuring.steps import Step
from attnlab.bench.pytesting.figures import extra_info, failure_text
from attnlab.bench.pytesting.lab import Lab, PlannedSuite
from attnlab.bench.pytesting.notes import FLAG, RUN, UNTIMED, note
from attnlab.bench.pytesting.replay import REPLAY, BenchmarkFixture, give_replay, hand_over, leave_out, why_untimed
from attnlab.bench.store.records import Measurement, Outcome

Steps = dict[tuple[str, str], Step]


class SuiteModule(pytest.Module):
    """Collects a suite's tests, ordered case by case as `attnlab run` measures them."""

    lab: Lab
    planned: PlannedSuite
    timed: bool

    @classmethod
    def of(cls, session: pytest.Session, lab: Lab, planned: PlannedSuite, timed: bool) -> SuiteModule:
        """`timed` says whether pytest-benchmark is there to take times."""
        root = session.config.rootpath
        path = root if planned.path is None else planned.path.resolve()
        if planned.target.endswith(".toml"):  # a file is named as test files are, relative to the root
            name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        else:
            name = planned.target
        made: SuiteModule = cls.from_parent(session, path=path, name=name, nodeid=name)
        made.lab, made.planned, made.timed = lab, planned, timed
        return made

    def _getobj(self) -> ModuleType:
        """A module made for the occasion: there is no file of Python to import."""
        module = ModuleType(self.planned.suite.name)
        functions: dict[str, list[Step]] = {}
        for step in self.planned.steps:
            functions.setdefault(f"{step.operator}/{step.implementation}", []).append(step)
        for name, steps in functions.items():
            setattr(module, name, _function(self.lab, self.planned, steps, self.timed))
        return module

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        place = {f"{s.operator}/{s.implementation}[{s.case.id}]": n for n, s in enumerate(self.planned.steps)}
        items = sorted(super().collect(), key=lambda node: place[node.name])
        for item in items:
            if self.timed and isinstance(item, pytest.Item):
                give_replay(item)
        return items


def _function(lab: Lab, planned: PlannedSuite, steps: list[Step], timed: bool) -> Callable[..., None]:
    """The test of one implementation; its argument `case` is a case's id."""
    by_id = {step.case.id: step for step in steps}

    def check_and_time(case: str, request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> None:
        judge(lab, planned, by_id[case], request.node, benchmark)

    def check(case: str, request: pytest.FixtureRequest) -> None:
        judge(lab, planned, by_id[case], request.node, None)

    test: Any = check_and_time if timed else check
    test.__test__ = True  # collected although it is not named test_…
    cases = [pytest.param(id, id=id, marks=_marks(step, timed)) for id, step in by_id.items()]
    marked: Callable[..., None] = pytest.mark.attnlab(pytest.mark.parametrize("case", cases)(test))
    return marked


def _marks(step: Step, timed: bool) -> list[pytest.MarkDecorator]:
    """The implementations of one case stand in one table."""
    return [pytest.mark.benchmark(group=f"{step.operator} {step.case.id}")] if timed else []


def judge(lab: Lab, planned: PlannedSuite, step: Step, item: pytest.Item, benchmark: BenchmarkFixture | None) -> None:
    """Measure; skip what is unavailable, fail what is not right, hand over the times of what is."""
    try:
        row = lab.measure(planned, step, why_untimed(item.config, benchmark))
    except AttnlabError as error:
        leave_out(item, benchmark)
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    m = row.measurement
    if lab.folder is not None:
        note(item, RUN, str(lab.folder))
    if m.outcome is Outcome.UNAVAILABLE:
        pytest.skip(f"{m.implementation}: {m.reason}")
    if m.outcome is not Outcome.PASSED:
        leave_out(item, benchmark)
        pytest.fail(failure_text(m), pytrace=False)
    for text in _notes(m):
        note(item, *text)
    if benchmark is None or m.timing is None:
        leave_out(item, benchmark)
        return
    benchmark.extra_info.update(extra_info(row))
    hand_over(benchmark, item.stash[REPLAY], m.values("latency", m.timing.clock), m.timing.clock)


def _notes(m: Measurement) -> Iterator[tuple[str, str]]:
    if m.untimed is not None:
        yield UNTIMED, m.untimed
    for flag in m.flags:
        yield FLAG, flag


def skipped_here(item: pytest.Item) -> tuple[str, int] | None:
    """The file and line that a skip of a suite's test is reported at, in place of this module's."""
    parent: Any = item.parent
    return (str(parent.path), 1) if isinstance(parent, SuiteModule) else None
