"""The study of quality: what loses least at what bytes and gaps, what methods save, and that each format shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.llm.generation.events import series_of
from attnlab.bench.llm.generation.logs import CallLog, RequestLog
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.perplexity.case import PerplexityCase
from attnlab.bench.reporters import markdown
from attnlab.bench.reporters.html_page import render
from attnlab.bench.reporters.model.report import Report, build_report
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.studies.perplexity import Kept
from attnlab.bench.reporters.model.words import plain
from attnlab.bench.reporters.plot_files import PlotFiles
from attnlab.bench.store.records import BenchRecord, Burst, Launch, Measurement, Outcome, Series

from . import synthetic

VARIANTS = {  # (weights, cache): (perplexity, difference, KL, bits a weight, gap in ms)
    ("same", "same"): (20.0, 0.0, 0.0, 32.0, 30.0),
    ("int8", "same"): (20.02, 0.02, 0.0004, 13.0, 20.0),
    ("int4_g32", "same"): (25.0, 5.0, 0.3, 10.0, 12.0),
    ("int4_g32:gptq", "same"): (23.0, 3.0, 0.2, 10.0, 12.5),
    ("int4_g64", "same"): (27.0, 7.0, 0.4, 10.2, None),
    ("same", "int8_token"): (20.1, 0.1, 0.001, 32.0, None),
    ("int4_g32", "int8_token"): (25.2, 5.2, 0.302, 10.0, None),
}


def facts(row: tuple[float, float, float, float, float | None]) -> tuple[Series, ...]:
    ppl, difference, kl, bits, _ = row
    values = {
        "ppl": ppl,
        "ppl_difference": difference,
        "ppl_difference_low": difference - 0.5,
        "ppl_difference_high": difference + 0.5,
        "kl_mean": kl,
        "kl_p99": 5 * kl,
        "kl_p999": 9 * kl,
        "same_top": 1 - kl,
        "rms_probability_change": kl / 3,
        "weight_bits": bits,
        "cache_bits": 32.0,
    }
    return tuple(Series(name, "nat", None, "lower", (value,)) for name, value in values.items())


def measurement(operator: str, case: Any, series: tuple[Series, ...]) -> Measurement:
    latency = Series("latency", "ns", "wall", "lower", (1e9, 1.01e9, 0.99e9))
    return Measurement(
        operator=operator,
        implementation="mine",
        case=case.values(),
        case_id=case.id,
        outcome=Outcome.PASSED,
        timing=synthetic.timing(),
        launches=(Launch(1, (Burst(1.7e9, (latency,)), Burst(1.7e9, series))),),
        median_ns=1e9,
        ci_low_ns=0.99e9,
        ci_high_ns=1.01e9,
    )


def answered(gap_ms: float) -> tuple[Series, ...]:
    times = tuple(1e8 + gap_ms * 1e6 * n for n in range(5))
    request = RequestLog(0.0, 32, times, (1, 2, 3, 4, 5))
    return series_of(CallLog((request,), (), {}))


@pytest.fixture(scope="module")
def report() -> Report:
    discover()
    found = []
    for (weights, cache), row in VARIANTS.items():
        case = PerplexityCase(window=128, windows=4, weights=weights, cache=cache)
        found.append(measurement("perplexity", case, facts(row)))
        if row[-1] is not None:
            asked = GenerateCase(prompt_len=32, new_tokens=5, weights=weights, dtype="float32")
            found.append(measurement("generate", asked, answered(row[-1])))
    benches = tuple(
        BenchRecord(name, ("mine",), None, tuple(m.case_id for m in found if m.operator == name))
        for name in ("perplexity", "generate")
    )
    made: Any = synthetic.stored_run(benches=benches)
    return build_report([replace(made, measurements=tuple(found), damages=())])


@pytest.fixture(scope="module")
def study(report: Report) -> Study:
    section = next(section for section in report.sections if section.operator == "perplexity")
    return next(study for study in section.studies if study.title == "Quality")


def test_words(study: Study) -> None:
    words = [plain(sentence) for sentence in study.sentences]
    assert words[0] == "smollm2_135m on prose, 4 windows of 128: perplexity 20.0 with nothing quantised."
    assert words[1].startswith("With the fewest bits, int4_g32:gptq at 10.0 bits a weight adds 3.00 (2.50 to 3.50)")
    assert words[2].startswith("With the least loss, int8 at 13.0 bits a weight adds 0.0200 (-0.480 to 0.520)")
    assert words[3] == "Nothing beats int4_g32:gptq and int8 in bits and divergence both."
    assert words[4] == "In int4_g32, gptq loses least: 0.667× of rtn's KL."
    assert words[5] == (
        "int4_g32, cache int8_token together cost 0.302 nat; the weights alone 0.300, the cache alone 0.00100."
    )
    assert words[6] == (
        "By the gaps of mine on summarise-P32-N5-fp32, nothing beats int4_g32, int4_g32:gptq, int8 and nothing "
        "quantised in time and divergence both."
    )
    assert len(words) == 7


def test_the_table_has_every_way_once(study: Study) -> None:
    (table,) = study.tables
    assert [row[0] for row in table.rows] == [
        "nothing quantised",
        "int8",
        "cache int8_token",
        "int4_g32:gptq",
        "int4_g32",
        "int4_g32, cache int8_token",
        "int4_g64",
    ]
    assert table.rows[1][4] == "0.0200 (-0.480 to 0.520)"


def test_pictures(study: Study) -> None:
    of_bytes, speed, difference = study.plots
    (panel,) = of_bytes.panels
    assert [curve.name for curve in panel.curves] == ["int8", "int4_g32:gptq", "int4_g32", "int4_g64"]
    assert (panel.scale, panel.logarithmic, panel.x_logarithmic) == ("log", True, False)
    assert [(point.x, point.label) for point in panel.front] == [(10.0, "int4_g32:gptq"), (13.0, "int8")]
    (panel,) = speed.panels
    assert {curve.name: curve.points[0].x for curve in panel.curves} == {
        "int4_g32": 12e6,
        "int4_g32:gptq": 12.5e6,
        "int8": 20e6,
    }
    (panel,) = difference.panels
    assert panel.rows[0] == "int8"
    assert (panel.curves[0].points[0].low, panel.curves[0].points[0].high) == pytest.approx((-0.48, 0.52))


def test_every_format_lays_it_out(report: Report, tmp_path: Path) -> None:
    for shown in ("\n".join(markdown.render(report)), render(report)):
        assert "in bits and divergence both" in shown
        assert "int4_g32, cache int8_token" in shown
    stems = {path.stem.rpartition("perplexity-")[2] for path in PlotFiles().write(report, tmp_path)}
    assert {"quality-bytes", "quality-speed", "quality-difference"} <= stems


def test_it_stands_before_the_plots_of_time_with_its_picture_first(report: Report) -> None:
    page = render(report)
    section = page[page.index('<p class="lead">') :]
    first, study, plots = "<h2>Quality against bytes</h2>", ">Quality</h2>", ">Plots</h2>"
    assert section.index(first) < section.index(study) < section.index(plots)


def test_nothing_quantised_is_no_study() -> None:
    discover()
    case = PerplexityCase(window=128, windows=4)
    bench = BenchRecord("perplexity", ("mine",), None, (case.id,))
    made: Any = synthetic.stored_run(benches=(bench,))
    alone = (measurement("perplexity", case, facts(VARIANTS["same", "same"])),)
    (section,) = build_report([replace(made, measurements=alone, damages=())]).sections
    assert [study.title for study in section.studies] == []


@pytest.mark.parametrize(
    ("axes", "label"),
    [
        ({"weights": "int8"}, "int8"),
        ({"weights": "int8", "dtype": "bfloat16"}, "int8 in bfloat16"),
        ({"weights": "int8", "cache": "int8_token", "dtype": "bfloat16"}, "int8, cache int8_token in bfloat16"),
        ({"cache": "int8_token", "dtype": "bfloat16"}, "cache int8_token in bfloat16"),
    ],
)
def test_dtypes_are_told_apart(axes: dict[str, str], label: str) -> None:
    """Else the second of two would be lost beside the first."""
    result: Any = None
    assert Kept(result, PerplexityCase(**axes)).label == label
