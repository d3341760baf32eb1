"""The study of attention's variants: what each costs over plain attention, and who does not serve it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.reporters import markdown
from attnlab.bench.reporters.model.report import Report, build_report
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.studies._variants import plain_of, said_of
from attnlab.bench.reporters.model.words import plain
from attnlab.bench.reporters.plot_files import PlotFiles
from attnlab.bench.store.records import BenchRecord, Burst, Launch, Measurement, Outcome, Series

from . import synthetic

PLAIN, CAP, CHUNK, PACK = (
    "Hq2-Sq64-bf16-causal",
    "Hq2-Sq64-bf16-causal-cap50-sink_learned",
    "Hq2-Sq64-bf16-chunked.16",
    "packed3+4-keys5+6-bf16-causal",
)
TIMES = {  # ns; None: refused
    ("naive", PLAIN): 4000.0,
    ("naive", CAP): 6000.0,
    ("naive", CHUNK): 4000.0,
    ("quick", PLAIN): 1000.0,
    ("quick", CAP): None,
    ("quick", CHUNK): 500.0,
    ("naive", PACK): 100.0,
}


def measurement(name: str, case: AttentionCase, median: float | None) -> Measurement:
    found = Measurement(
        operator="attention",
        implementation=name,
        case=case.values(),
        case_id=case.id,
        outcome=Outcome.PASSED,
        operations=ATTENTION.operations(case),
        bytes_moved=ATTENTION.bytes_moved(case),
    )
    if median is None:
        return found.fail("softcap 50 is not served: none only", None, Outcome.UNAVAILABLE)
    samples = tuple(median * f for f in (0.99, 1.0, 1.01))
    return replace(
        found,
        timing=synthetic.timing(),
        launches=(Launch(1, (Burst(1.7e9, (Series("latency", "ns", "wall", "lower", samples),)),)),),
        median_ns=median,
        ci_low_ns=0.99 * median,
        ci_high_ns=1.01 * median,
    )


@pytest.fixture(scope="module")
def report() -> Report:
    discover()
    cases = {case_id: AttentionCase.parse(case_id) for _, case_id in TIMES}
    bench = BenchRecord("attention", ("naive", "quick"), "naive", tuple(cases))
    found = tuple(measurement(name, cases[case_id], median) for (name, case_id), median in TIMES.items())
    made: Any = synthetic.stored_run(benches=(bench,))
    return build_report([replace(made, measurements=found, damages=())])


@pytest.fixture(scope="module")
def study(report: Report) -> Study:
    (section,) = report.sections
    (found,) = section.studies
    return found


def test_the_table_is_the_matrix_of_variants_and_implementations(study: Study) -> None:
    (table,) = study.tables
    assert table.headings == ("variant", "pairs", "naive", "quick")
    assert table.rows[0] == ("plain", "1.00×", "4.00 µs", "1.00 µs")
    assert table.rows[1] == ("softcap 50, sinks learned", "1.00×", "1.50× (1.47 to 1.53)", "unavailable")
    pairs = 4 * (16 * 17 // 2) / (64 * 65 // 2)
    assert table.rows[2] == ("mask chunked:16", f"{pairs:.3f}×", "1.00× (0.980 to 1.02)", "0.500× (0.490 to 0.510)")


def test_words_say_who_is_fastest_what_it_costs_and_who_lacks_it(study: Study) -> None:
    words = [plain(sentence) for sentence in study.sentences]
    assert words[0].startswith(
        "On Hq2-Sq64-bf16-causal, softcap 50, sinks learned: naive is the fastest, 6.00 µs, 1.50×"
    )
    assert words[0].endswith("6.00× as long as the fastest plain attention, by quick.")
    assert words[1] == "It is not served by quick."
    assert words[2].endswith(
        "quick is the fastest, 500 ns, 0.500× (0.490 to 0.510) as long as its own plain attention."
    )
    assert len(words) == 3


def test_the_plot_marks_plain_attention(report: Report, study: Study, tmp_path: Path) -> None:
    (plot,) = study.plots
    (panel,) = plot.panels
    assert panel.rows == ("softcap 50, sinks learned", "mask chunked:16")
    assert panel.reference == 1.0
    points = {curve.name: [(p.x, p.y) for p in curve.points] for curve in panel.curves}
    assert points == {"naive": [(1.5, 0), (1.0, 1)], "quick": [(0.5, 1)]}
    assert "Variants of attention" in "\n".join(markdown.render(report))
    assert "variants.png" in {path.name for path in PlotFiles().write(report, tmp_path)}


@pytest.mark.parametrize(
    ("case_id", "of", "said"),
    [
        (PLAIN, PLAIN, "plain"),
        ("bf16-window.8-qk_rms", "bf16-window.8", "qk_norm rms"),
        ("bf16-document.5+6", "Sq11-bf16-causal", "mask document:5+6"),
        ("Sk90-bf16-tree.2x2-cap5", "Sq7-Sk90-bf16-causal", "mask tree:2x2, softcap 5"),
        ("packed3+4-bf16-causal-bias_alibi", "packed3+4-bf16-causal", "bias alibi"),
    ],
)
def test_plain_attention_of_a_variant(case_id: str, of: str, said: str) -> None:
    case = AttentionCase.parse(case_id)
    found = plain_of(case)
    assert found is not None
    assert (found.id, said_of(case, found)) == (of, said)


def test_a_pack_of_other_keys_has_no_plain_attention() -> None:
    assert plain_of(AttentionCase.parse(PACK)) is None


def test_nothing_is_said_without_plain_attention_beside() -> None:
    discover()
    case = AttentionCase.parse(CAP)
    bench = BenchRecord("attention", ("naive",), None, (case.id,))
    made: Any = synthetic.stored_run(benches=(bench,))
    built = build_report([replace(made, measurements=(measurement("naive", case, 1.0),), damages=())])
    assert not built.sections[0].studies
