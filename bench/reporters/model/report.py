"""The report: sections of one operator in one run each, ready to be laid out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from attnlab.bench.analysis.metrics import known_metrics, rows_of
from attnlab.bench.contract.axes import unique
from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.operator_spec import OF_A_KERNEL, Operator
from attnlab.bench.contract.registry import Registry, registry
from attnlab.bench.reporters.model.among import RunAmong, all_runs
from attnlab.bench.reporters.model.beside import beside
from attnlab.bench.reporters.model.cases import CaseFamily, CaseRef, families, refer
from attnlab.bench.reporters.model.findings import Findings, OperatorResults, findings
from attnlab.bench.reporters.model.growths import GrowthRow, growths
from attnlab.bench.reporters.model.landscapes import found_by_search
from attnlab.bench.reporters.model.outcomes import MatrixRow, Reason, matrix, reasons
from attnlab.bench.reporters.model.panels import plots
from attnlab.bench.reporters.model.picks import Pick, picks
from attnlab.bench.reporters.model.plots import Plot
from attnlab.bench.reporters.model.provenance import ProvenanceRow, environment, provenance
from attnlab.bench.reporters.model.results import Column, Result, columns, result_of
from attnlab.bench.reporters.model.since import since_last
from attnlab.bench.reporters.model.studies import Study, studies
from attnlab.bench.reporters.model.timeline import history
from attnlab.bench.store.run_folder import StoredRun

MOST_HEADLINES = 6


@dataclass(frozen=True)
class Section:
    """One operator in one run: results are compared within a section only.

    common: what all cases share, as their labels leave it out. headlines: its main metrics by name. streams: a call
    gives its results one after another, so that its length is no kernel's latency.
    """

    name: str
    operator: str
    run_id: str
    device: str
    baseline: str | None
    length_axis: str | None
    common: tuple[str, ...]
    note: str | None
    families: tuple[CaseFamily, ...]
    cases: tuple[CaseRef, ...]
    implementations: tuple[str, ...]
    results: tuple[Result, ...]
    findings: Findings
    picks: tuple[Pick, ...]
    matrix: tuple[MatrixRow, ...]
    reasons: tuple[Reason, ...]
    growths: tuple[GrowthRow, ...]
    plots: tuple[Plot, ...]
    studies: tuple[Study, ...] = ()
    headlines: tuple[str, ...] = OF_A_KERNEL
    streams: bool = False

    @property
    def shared(self) -> str:
        """`all: bf16, causal`; "" where nothing is shared or there is one case."""
        return f"all: {', '.join(self.common)}" if self.common else ""

    @property
    def drawn(self) -> list[str]:
        """The implementations that any plot shows, and then the other names of curves."""
        shown = dict.fromkeys(name for plot in self.plots for name in plot.drawn)
        return list(dict.fromkeys([*(name for name in self.implementations if name in shown), *shown]))


@dataclass(frozen=True)
class RunFacts:
    """The environment and the provenance of one run."""

    run_id: str
    environment: tuple[ProvenanceRow, ...]
    provenance: tuple[ProvenanceRow, ...]


@dataclass(frozen=True)
class Report:
    """Everything that formats lay out; `stored` is for those that need the runs themselves."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    columns: tuple[Column, ...]
    runs: tuple[RunFacts, ...]
    stored: tuple[StoredRun, ...]


def build_report(stored: Sequence[StoredRun], source: Registry = registry, earlier: Sequence[StoredRun] = ()) -> Report:
    """Work out a report; operators and metrics of plugins are known once these are loaded (`discover`).

    earlier: runs that it is set among and that have no section; what is of another machine or later is left out.
    """
    metrics = known_metrics(source)
    sections: list[Section] = []
    facts: list[RunFacts] = []
    every = all_runs(stored, earlier) if len(stored) + len(earlier) > 1 else ()
    for one in stored:
        made = [_among(section, one, stored, every) for section in _sections(one, metrics, source)]
        results = [result for section in made for result in section.results]
        facts.append(RunFacts(one.run.run_id, tuple(environment(one.run)), tuple(provenance(one, results))))
        sections += made
    operators = unique(section.operator for section in sections)
    return Report(
        title=", ".join(operators) or "nothing measured",
        subtitle=" · ".join(unique(f"{one.run.environment.device.told} · {_day(one)}" for one in stored)),
        sections=tuple(sections),
        columns=columns(metrics),
        runs=tuple(facts),
        stored=tuple(stored),
    )


def _among(section: Section, one: StoredRun, given: Sequence[StoredRun], every: Sequence[StoredRun]) -> Section:
    """The section with what it is among other runs."""
    if not every:
        return section
    cases = {case.case_id: case for case in section.cases}
    among = RunAmong(one, section.operator, cases, tuple(given), tuple(every))
    found = [study for study in (since_last(among), history(among), *beside(among)) if study is not None]
    return replace(section, studies=(*section.studies, *found))


def _day(stored: StoredRun) -> str:
    return f"suite {stored.run.suite}, {stored.run.started.partition('T')[0]}"


def _sections(stored: StoredRun, metrics: Sequence[Metric], source: Registry) -> list[Section]:
    rows = rows_of(stored.run, stored.measurements)
    operators = unique([*(b.operator for b in stored.run.benches), *(row.measurement.operator for row in rows)])
    return [_section(stored, name, rows, metrics, source) for name in operators]


def _section(
    stored: StoredRun, name: str, every: Sequence[Row], metrics: Sequence[Metric], source: Registry
) -> Section:
    """every: the rows of all operators of the run."""
    run, rows = stored.run, [row for row in every if row.measurement.operator == name]
    benches = [bench for bench in run.benches if bench.operator == name]
    operator: Operator[Any, Any] | None = source.operators.get(name) if name in source.operators else None
    ids = unique([*(c for b in benches for c in b.cases), *(row.measurement.case_id for row in rows)])
    referred = refer(ids, operator)
    refs = referred.by_id
    grouped = families(refs.values())
    cases = tuple(case for family in grouped for case in family.cases)
    implementations = tuple(
        unique(
            [
                *(i for b in benches for i in b.implementations),
                *(row.measurement.implementation for row in rows),
            ]
        )
    )
    results = tuple(result_of(row, refs[row.measurement.case_id], metrics) for row in rows)
    axis = operator.length_axis if operator else None
    chosen = picks(cases, results)
    why = tuple(reasons(implementations, grouped, axis, results))
    evidence = OperatorResults(run, name, axis, grouped, cases, implementations, results, chosen, why)
    return Section(
        name=f"{run.run_id}-{name}",
        operator=name,
        run_id=run.run_id,
        device=run.environment.device.told,
        baseline=", ".join(unique(b.baseline for b in benches if b.baseline)) or None,
        length_axis=axis,
        common=referred.common,
        note=None
        if operator or run.imported
        else f"The operator {name} is not known here (its plugin is not loaded), so lengths are not.",
        families=grouped,
        cases=cases,
        implementations=implementations,
        results=results,
        findings=findings(evidence),
        picks=chosen,
        matrix=tuple(matrix(implementations, cases, results)),
        reasons=why,
        growths=tuple(growths(grouped, implementations, results)),
        plots=plots(cases, implementations, axis, results, run.ceilings),
        studies=(*found_by_search(stored, name), *studies(name, results, every)),
        headlines=operator.headlines if operator else _headlines(results, metrics),
        streams=operator is not None and operator.observe is not None,
    )


def _headlines(results: Sequence[Result], metrics: Sequence[Metric]) -> tuple[str, ...]:
    """Of an operator that is not known: a kernel's where anything has a latency, else the first that have values."""
    if any(result.median_ns is not None for result in results):
        return OF_A_KERNEL
    known = (m.name for m in metrics if any(result.number(m.name) is not None for result in results))
    return tuple(itertools.islice(known, MOST_HEADLINES)) or OF_A_KERNEL
