"""Families, growth, the matrix, plots and several runs in one report."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from attnlab.bench.contract.registry import Registry, registry
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.reporters.model.cases import CaseRef, describe, families, refer
from attnlab.bench.reporters.model.plots import Panel, Plot, panels_each
from attnlab.bench.reporters.model.report import Report, Section, build_report
from attnlab.bench.reporters.model.words import plain
from attnlab.bench.store.machine import Device


@pytest.mark.parametrize(
    ("case_id", "family", "length"),
    [
        ("Hq9-Sq128-bf16-causal", "Hq9-bf16-causal", 128),
        ("Hq9-bf16-causal", "Hq9-bf16-causal", 1024),  # the default length is left out of the id
        ("Sq64-Sk128-bf16", "Sk128-bf16", 64),
        ("packed10+20-bf16", "packed10+20-bf16", 30),
        ("of-another-version", "of-another-version", None),
    ],
)
def test_family(case_id: str, family: str, length: int | None) -> None:
    assert refer([case_id], ATTENTION).by_id[case_id] == CaseRef(case_id, family, length)


def test_without_the_operator_each_case_stands_alone() -> None:
    assert refer(["Hq9-Sq128-bf16"], None).by_id["Hq9-Sq128-bf16"] == CaseRef("Hq9-Sq128-bf16", "Hq9-Sq128-bf16", None)
    assert refer(["Sq128-bf16"], replace(ATTENTION, length_axis=None)).by_id["Sq128-bf16"].length is None


def test_describing_cases() -> None:
    refs = [CaseRef(f"a{n}", "a", n) for n in (1, 2, 3, 4)] + [CaseRef(x, x, None) for x in "bcde"]
    grouped = families(reversed(refs))
    by_id = {ref.case_id: ref for ref in refs}

    def described(*ids: str) -> str:
        return plain(tuple(describe([by_id[i] for i in ids], grouped, "n")))

    assert described(*by_id) == "in all 8 cases"
    assert described("a1", "a2", "a3", "a4") == "on a"
    assert described("a2", "a3", "a4") == "on a at n 2 to 4"
    assert described("a1", "a3", "a4") == "on a at n 1, 3 and 4"
    assert described("a1", "b") == "on b and a at n 1"
    assert described("a1", "b", "c", "d") == "in 4 of 8 cases"


def test_growth_is_fitted_for_swept_families(section: Section) -> None:
    found = {(g.family.label, g.implementation): g for g in section.growths}
    naive = found["Hq9-Hkv3-D64-fp32-causal-smollm2", "naive"]
    assert naive.time.fit is not None
    assert naive.time.fit.low < 2 < naive.time.fit.high
    assert naive.memory.text.startswith("2.00 (")
    assert found["Hq9-Hkv3-D64-fp32-causal-smollm2", "tiled"].memory.text.startswith("1.00 (")
    assert found["Hq9-Hkv3-D64-fp32-causal-smollm2", "sdpa_flash"].memory.text == "0 at every length"
    assert ("Hq9-Hkv3-D64-bf16-causal-smollm2", "mine") not in found  # wrong: it has no time
    assert found["Hq9-Hkv3-D64-bf16-causal-smollm2", "flex"].time.points == 3  # one length timed out


def test_the_matrix_has_every_implementation_on_every_case(section: Section) -> None:
    assert [row.implementation for row in section.matrix] == list(section.implementations)
    assert all(len(row.cells) == len(section.cases) == 10 for row in section.matrix)
    kinds = {row.implementation: {cell.kind for cell in row.cells} for row in section.matrix}
    assert kinds["naive"] == {"passed"}
    assert kinds["triton"] == {"untimed"}
    assert kinds["mine"] == {"wrong", "passed"}
    assert kinds["flex"] == {"passed", "broken", "unavailable"}
    assert all(cell.reason for row in section.matrix for cell in row.cells if cell.kind != "passed")


def test_plots_show_what_passed(section: Section) -> None:
    plots = {plot.name: plot for plot in section.plots}
    assert list(plots) == ["latency", "speedup", "roofline", "memory", "error"]
    kinds = [panel.kind for panel in plots["latency"].panels]
    assert kinds == ["lines", "lines", "dots"]
    assert "mine" not in {curve.name for curve in plots["latency"].panels[0].curves}
    assert [panel.title for panel in plots["roofline"].panels] == ["bfloat16", "float32"]
    assert [roof.name for roof in plots["roofline"].panels[0].roofs] == ["measured", "published"]
    wrong = [curve.name for curve in plots["error"].panels[0].curves if curve.wrong]
    assert wrong == ["mine"]
    assert "sdpa_flash 97.9 µs to 22.5 ms" in plots["latency"].panels[0].description


def test_a_curve_of_no_implementation_has_a_mark_too(section: Section) -> None:
    plot = section.plots[0]
    curve = replace(plot.panels[0].curves[0], name="the limit")
    more = replace(section, plots=(replace(plot, panels=(replace(plot.panels[0], curves=(curve,)),)), *section.plots))
    assert more.drawn == [*section.drawn, "the limit"]


def test_an_unknown_operator_has_no_lengths(synthetic: SimpleNamespace) -> None:
    run = synthetic.stored_run()
    without_operators = Registry()
    without_operators.metrics = registry.metrics
    (section,) = build_report([run], without_operators).sections
    assert {family.swept for family in section.families} == {False}
    assert [p.names for p in section.picks] != []
    assert section.note is not None
    assert "not known here" in section.note
    assert section.growths == ()


def test_runs_are_never_mixed(synthetic: SimpleNamespace) -> None:
    first = synthetic.stored_run("first")
    other = replace(first.run, run_id="second", environment=synthetic.environment(Device("cuda", "Another GPU")))
    second = replace(first, run=other)
    report = build_report([first, second])
    assert [(s.run_id, s.device) for s in report.sections] == [
        ("first", "Example Processor 9000"),
        ("second", "Another GPU"),
    ]
    for section in report.sections:
        assert {r.row.run.run_id for r in section.results} == {section.run_id}
        assert all(p.best.row.run.run_id == section.run_id for p in section.picks)
    assert [facts.run_id for facts in report.runs] == ["first", "second"]


def test_provenance_and_environment(report: Report) -> None:
    (facts,) = report.runs
    said = {fact.label: fact.text for fact in (*facts.provenance, *facts.environment)}
    assert said["command"] == "attnlab run quick --device cpu"
    assert said["revision"].endswith(", with uncommitted changes")
    assert said["seed"] == "7"
    assert said["damaged, left out"].startswith("line 12 of measurements.jsonl")
    assert said["ceilings, measured"].startswith("21.0 GB/s")
    assert "clock wall, warm caches, 64 samples a result" in said["timing"]
    assert "driver" not in said  # not known: not listed


def test_a_run_without_measurements(synthetic: SimpleNamespace) -> None:
    (section,) = build_report([replace(synthetic.stored_run(), measurements=())]).sections
    assert (section.picks, section.plots, section.growths) == ((), (), ())
    assert {cell.kind for row in section.matrix for cell in row.cells} == {"absent"}


def test_panels_of_a_large_run_share_their_room() -> None:
    def of(*counts: int) -> int:
        panel = Panel("lines", "", "", "", "ns", ())
        return panels_each([Plot("p", "", "", (panel,) * count) for count in counts])

    assert of() == of(3, 20) == of(12, 12, 12) == 12
    assert of(12, 12, 13, 1, 1) == 11
    assert of(96, 96, 96, 96, 1, 1) == 8
    assert of(*[96] * 20) == 3
