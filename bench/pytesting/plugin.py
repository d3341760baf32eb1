"""The pytest plugin: `pytest --attnlab SUITE` collects a suite as tests, and fixture `attnlab_bench` times a callable.

Loaded with every pytest session, so that it imports next to nothing; the rest comes when it is asked for.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from attnlab.bench.pytesting.options import ALONE

if TYPE_CHECKING:
    from attnlab.bench.pytesting.gate import SuiteGate
    from attnlab.bench.pytesting.lab import Lab

FIXTURE = "attnlab_bench"


def pytest_addoption(parser: pytest.Parser) -> None:
    from attnlab.bench.pytesting.options import add_options

    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    from attnlab.bench.pytesting import fixture, marker, options, replay

    config.addinivalue_line("markers", marker.HELP)
    timed = replay.is_active(config)
    config.pluginmanager.register(fixture.WithTimes() if timed else fixture.WithoutTimes(), "attnlab-fixture")
    asked = options.Options.from_config(config)
    if asked.suites:
        from attnlab.bench.pytesting.lab import open_lab

        lab, gates = open_lab(asked, config), []
        if asked.gate is not None:
            from attnlab.bench.pytesting.gate import open_gates

            gates = open_gates(lab, asked, config)
        suites = SuiteTests(lab, timed, alone=options.suites_alone(config), gates=gates)
        config.pluginmanager.register(suites, "attnlab-suites")


def pytest_itemcollected(item: pytest.Item) -> None:
    names = getattr(item, "fixturenames", ())
    if FIXTURE in names and "benchmark" in names:
        from attnlab.bench.pytesting.replay import give_replay

        give_replay(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    from attnlab.bench.pytesting.replay import PASSED

    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    from attnlab.bench.pytesting.notes import summarise

    summarise(terminalreporter)


class SuiteTests:
    """The hooks of a session that was asked for suites."""

    def __init__(self, lab: Lab, timed: bool, alone: bool, gates: Sequence[SuiteGate] = ()) -> None:
        self._lab, self._timed, self._alone, self._gates = lab, timed, alone, gates

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Suites stand beside the files that the session collects."""
        report = yield
        if isinstance(collector, pytest.Session) and report.passed:
            from attnlab.bench.pytesting.suites import SuiteModule

            if self._gates:
                from attnlab.bench.pytesting.gate import GateFile

                gated = [GateFile.of(collector, gate) for gate in self._gates]
                report.result = [*(report.result or ()), *gated]
                return report
            modules = [SuiteModule.of(collector, self._lab, planned, self._timed) for planned in self._lab.planned]
            report.result = [*(report.result or ()), *modules]
        return report

    def pytest_ignore_collect(self) -> bool | None:
        """Other tests are collected only where the command line names them."""
        return True if self._alone else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """xdist: a worker does not see the command line."""
        node.workerinput[ALONE] = self._alone

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A skip is reported at the suite's file, not at ours."""
        from attnlab.bench.pytesting.suites import skipped_here

        report = yield
        place = skipped_here(item)
        if place is not None and report.skipped and isinstance(report.longrepr, tuple):
            report.longrepr = (*place, report.longrepr[2])
        return report

    def pytest_sessionfinish(self) -> None:
        self._lab.close()

    def pytest_unconfigure(self) -> None:
        self._lab.close()
