"""A run among others in its report: what moved since the last one, the history, and another machine's beside it."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.reporters import markdown
from attnlab.bench.reporters.model.report import build_report
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.words import plain
from attnlab.bench.reporters.plot_files import PlotFiles
from attnlab.bench.store.machine import Device
from attnlab.bench.store.run_folder import StoredRun

h = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "helpers" / "histories.py")))


def both(run: StoredRun) -> StoredRun:
    """With a second case, which stays as it is."""
    return replace(run, measurements=(*run.measurements, h.measured(2e6, case_id="bf16-causal")))


@pytest.fixture(scope="module")
def runs() -> list[StoredRun]:
    discover()
    return [both(run) for run in h.upgraded()]


def studies(given: list[StoredRun], earlier: list[StoredRun]) -> dict[str, Study]:
    """Of the last section."""
    return {study.title: study for study in build_report(given, earlier=earlier).sections[-1].studies}


def test_since_the_last_run_is_one_sentence_and_a_table(runs: list[StoredRun]) -> None:
    found = studies([runs[12]], runs[:12])["Since the last run"]
    (words,) = map(plain, found.sentences)
    assert words.startswith(f"Since run {runs[11].run.run_id} of 2026-01-12 on the same machine, 1 of 2 times moved by")
    assert "sdpa_flash on Sq512 the most (" in words
    (table,) = found.tables
    ((implementation, case, before, now, ratio),) = table.rows
    assert (implementation, case) == ("sdpa_flash", "Sq512")
    assert "µs (" in before
    assert "ms (" in now
    assert ratio.startswith("1.")
    assert "package torch 2.12.0 → 2.13.0" in table.caption


def test_what_did_not_move_is_said_without_a_table(runs: list[StoredRun]) -> None:
    again = replace(runs[3], run=replace(runs[3].run, run_id="again", started="2026-01-05T12:00:00+00:00"))
    found = studies([again], [runs[3]])["Since the last run"]
    assert found.tables == ()
    assert "none of 2 times moved by more than both intervals" in plain(found.sentences[0])


def test_a_quick_look_in_between_is_passed_over(runs: list[StoredRun]) -> None:
    look = replace(runs[11], run=replace(runs[11].run, effort={"quick": 1}))
    (words,) = map(plain, studies([runs[12]], [*runs[:11], look])["Since the last run"].sentences)
    assert words.startswith(f"Since run {runs[10].run.run_id} ")
    assert "Since the last run" not in studies([runs[12]], [look])


def test_the_history_shows_where_the_level_changed_and_with_what(runs: list[StoredRun], tmp_path: Path) -> None:
    found = studies([runs[-1]], runs)["History on this machine"]
    assert "Over 20 runs on this machine, from 2026-01-01 to 2026-01-20, 1 of 2 benchmarks changed level" in plain(
        found.sentences[0]
    )
    ((implementation, case, between, change, why),) = found.tables[0].rows
    assert (implementation, case, between) == ("sdpa_flash", "Sq512", "2026-01-12 to 2026-01-13")
    assert "more time" in change
    assert "package torch 2.12.0 → 2.13.0" in why
    first, second = found.plots[0].panels
    assert (first.kind, first.title, second.title) == ("timeline", "Sq512", "Sq1024")  # what changed comes first
    assert [(c.x, c.text) for c in first.callouts] == [(11.5, "1")]
    assert first.notes[0].startswith("1  sdpa_flash ")
    assert len(first.curves[0].points) == 20
    written = {path.name for path in PlotFiles().write(build_report([runs[-1]], earlier=runs), tmp_path)}
    assert {"history.png", "history.svg"} <= written


def test_several_given_runs_have_one_history_with_the_newest(runs: list[StoredRun]) -> None:
    report = build_report(runs[:4])
    titles = [[study.title for study in section.studies] for section in report.sections]
    assert titles == [
        [],
        ["Since the last run"],
        ["Since the last run"],
        ["Since the last run", "History on this machine"],
    ]
    words = plain(report.sections[-1].studies[-1].sentences[0])
    assert "no benchmark has the 10 times that a change of level needs to show" in words


def test_one_run_alone_is_among_none(runs: list[StoredRun]) -> None:
    assert studies([runs[0]], []) == {}
    assert studies([runs[0]], [runs[0]]) == {}
    assert studies([runs[0]], runs[1:]) == {}  # what came later is not its history


def test_two_machines_stand_side_by_side_without_a_verdict(runs: list[StoredRun]) -> None:
    gpu = h.environment(device=Device("cuda", "NVIDIA H200"), processor="Other Processor")
    there = h.stored(
        30, [h.measured(5e5, clock="cuda_graph", cache="cold"), h.measured(1e6, case_id="bf16-causal")], gpu
    )
    report = build_report([runs[0], there])
    assert report.sections[0].studies == ()
    (found,) = report.sections[1].studies
    assert found.title == "Beside Processor 9000"
    assert plain(found.sentences[0]).startswith("Two machines: ratios are of the machines, and there is no verdict;")
    (table,) = found.tables
    assert table.headings == ("implementation", "case", "Processor 9000", "NVIDIA H200", "ratio")
    assert [(row[1], row[3]) for row in table.rows] == [("Sq512", "500 µs"), ("Sq1024", "1.00 ms")]
    assert table.rows[1][4] == "0.500×"
    (plot,) = found.plots
    assert plot.panels[0].reference == 1.0
    assert "Since the last run" not in "\n".join(markdown.render(report))


def test_no_sentence_has_a_missing_value(runs: list[StoredRun]) -> None:
    without = replace(
        runs[1], measurements=tuple(replace(m, ci_low_ns=None, ci_high_ns=None) for m in runs[1].measurements)
    )
    (found,) = studies([without], [runs[0]]).values()
    assert "–" not in plain(found.sentences[0])
