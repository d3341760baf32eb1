"""`--attnlab-gate BASE`: a suite's benchmarks as tests that fail where the working tree is slower than BASE."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.errors import AttnlabError, UsageError
from attnlab.bench.gate.checkouts import WORKTREE, checked_out, repository, revision_of
from attnlab.bench.gate.messages import benchmark_key
from attnlab.bench.gate.outputs import words
from attnlab.bench.gate.report import GateReport
from attnlab.bench.gate.rows import GateRow, Standing
from attnlab.bench.gate.running import ask_for, run_gate
from attnlab.bench.gate.suite_source import SuiteSource
from attnlab.bench.gate.thresholds import Thresholds, load_thresholds
from attnlab.bench.pytesting.lab import Lab, PlannedSuite
from attnlab.bench.pytesting.notes import FLAG, RUN, note
from attnlab.bench.pytesting.options import Options, command_line
from attnlab.bench.stats.verdict import Verdict
from attnlab.bench.text import message_of

RESULTS = Path("results")
WHOLE = "everything else"  # what has no test of its own: what only base's suite has, groups


class GateFile(pytest.File):
    """Collects one test a benchmark; the first that runs starts the gate of all that were selected."""

    gate: SuiteGate

    @classmethod
    def of(cls, session: pytest.Session, gate: SuiteGate) -> GateFile:
        path = gate.planned.path.resolve() if gate.planned.path else session.config.rootpath
        made: GateFile = cls.from_parent(session, path=path, name=gate.planned.target, nodeid=gate.planned.target)
        made.gate = gate
        return made

    def collect(self) -> Iterator[pytest.Item]:
        for step in self.gate.planned.steps:
            key = benchmark_key(step.operator, step.implementation, step.case.id)
            yield GateItem.of(self, self.gate, key)
        yield GateItem.of(self, self.gate, None)


class GateItem(pytest.Item):
    """One benchmark's verdict, or, with no key, what has no test of its own."""

    gate: SuiteGate
    key: str | None

    @classmethod
    def of(cls, parent: GateFile, gate: SuiteGate, key: str | None) -> GateItem:
        made: GateItem = cls.from_parent(parent, name=key or WHOLE)
        made.gate, made.key = gate, key
        return made

    def runtest(self) -> None:
        report, folder = self.gate.measured(self.session)
        note(self, RUN, str(folder))
        if self.key is None:
            _judge_whole(report, self.gate.tested)
            return
        row = next((row for row in report.rows if row.key == self.key), None)
        if row is None:
            pytest.skip("not of this repository: the same on both sides")
        for flag in row.flags:
            note(self, FLAG, flag)
        _judge(row)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        if isinstance(excinfo.value, (AttnlabError, pytest.fail.Exception)):
            return message_of(excinfo.value)
        return str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[os.PathLike[str], int | None, str]:
        return self.path, 0, self.name


class SuiteGate:
    """The gate of one suite against BASE; runs once, for the benchmarks whose tests were selected."""

    def __init__(
        self, planned: PlannedSuite, repo: Path, base: str, thresholds: Thresholds, options: Options, command: str
    ) -> None:
        self.planned, self._repo, self._base = planned, repo, base
        self._thresholds, self._options, self._command = thresholds, options, command
        self._found: tuple[GateReport, Path] | None = None
        self._failed: AttnlabError | None = None
        self.tested: frozenset[str] = frozenset()

    def measured(self, session: pytest.Session) -> tuple[GateReport, Path]:
        """The report and the gate's folder. Raises what the gate raised, at every test of it."""
        if self._failed is not None:
            raise self._failed
        if self._found is None:
            try:
                self._found = self._measure(session)
            except AttnlabError as error:
                self._failed = error
                raise
        return self._found

    def _measure(self, session: pytest.Session) -> tuple[GateReport, Path]:
        mine = [item for item in session.items if isinstance(item, GateItem) and item.gate is self]
        only = frozenset(item.key for item in mine if item.key is not None)
        self.tested = only
        whole = any(item.key is None for item in mine)
        suite = str(self.planned.path) if self.planned.target.endswith(".toml") else self.planned.target
        source = SuiteSource(suite, self._options.plugins)
        ask = ask_for([source], self._thresholds, self._command, self._options.device)
        with checked_out(self._repo, self._base, WORKTREE) as (base, head):
            report, folder = run_gate(
                self._repo,
                base,
                head,
                ask,
                self._options.out or RESULTS,
                only=None if whole else only,
                thresholds_file=self._options.thresholds,
            )
        if report.interrupted:
            raise KeyboardInterrupt
        return report, folder


def open_gates(lab: Lab, options: Options, config: pytest.Config) -> list[SuiteGate]:
    """A gate for each suite that was asked for. Raises pytest.UsageError on what can be told beforehand."""
    try:
        if hasattr(config, "workerinput") or config.option.__dict__.get("numprocesses"):
            raise UsageError("--attnlab-gate measures live pairs by itself; run it without xdist (-n 0)")
        assert options.gate is not None
        repo = repository(config.invocation_params.dir)
        revision_of(repo, options.gate)
        thresholds = load_thresholds(options.thresholds)
    except AttnlabError as error:
        raise pytest.UsageError(f"attnlab: {message_of(error)}") from error
    return [
        SuiteGate(planned, repo, options.gate, thresholds, options, command_line(config)) for planned in lab.planned
    ]


def _judge(row: GateRow) -> None:
    told = words.told(row)
    own = (words.verdict(row), words.change(row.first), words.explanation(row))
    said = "; ".join(filter(None, (*own, *map(words.quantity, told))))
    if any(found.verdict is Verdict.SLOWER or found.closed for found in row.judged):
        pytest.fail(said, pytrace=False)
    if row.standing is not Standing.COMPARED:
        pytest.skip(said)


def _judge_whole(report: GateReport, keys: frozenset[str]) -> None:
    """What is worse or closes the gate without a test of its own, and groups that are slower."""
    lost = [f"{found.closing}: {found.title}" for found in report.closed if found.benchmark not in keys]
    worse = [found for found in report.of_verdict(Verdict.SLOWER) if found.benchmark not in keys]
    slower = [f"{words.verdict(found)}: {found.title}" for found in worse]
    groups = [f"slower: {words.group_name(g)}" for g in report.groups if g.verdict is Verdict.SLOWER]
    nothing = [] if report.measured else ["nothing could be compared"]
    said = [*slower, *lost, *groups, *nothing]
    if said:
        pytest.fail("; ".join(said), pytrace=False)
