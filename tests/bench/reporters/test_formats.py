"""Every format: no speed of a wrong result, nothing unescaped, – for what was not measured."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnlab.bench.contract.metric import Metric
from attnlab.bench.contract.registry import registry
from attnlab.bench.errors import UnknownName
from attnlab.bench.reporters import REPORTERS, markdown, write_report
from attnlab.bench.reporters.html_page import render
from attnlab.bench.reporters.model.report import Report, build_report
from attnlab.bench.store.records import BenchRecord, Outcome

HOSTILE = "<script>alert('x')</script>|`$x^2$`\n*b*"
VOID = {"meta", "link", "input"}
SCRIPTS = 3  # the data, the plotting library, and the page's own


class Page(HTMLParser):
    """Reads a page: its tables as text, its ids, its tags, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "table" in self.open and self.open[-1] not in ("table", "thead", "tbody", "tr"):
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return render(report)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def results(page: Page) -> list[dict[str, str]]:
    table = next(t for t in page.tables if "95 % interval" in t[0])
    return [dict(zip(table[0], row, strict=True)) for row in table[1:]]


def test_every_format_is_known() -> None:
    assert set(REPORTERS.names()) == {"html", "markdown", "csv", "plots"}


def test_the_page_is_well_formed_and_stands_alone(html: str, page: Page) -> None:
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("script") == SCRIPTS
    assert not re.search(r"https?://", html)
    assert not re.search(r'(src|href)="(?!#|data:)', html)
    assert "default-src 'none'" in html
    assert "<th" in html
    assert 'scope="row"' in html


def test_the_page_has_every_column_and_its_definition(report: Report, html: str, results: list[dict[str, str]]) -> None:
    wanted = {"latency", "95 % interval", "speed-up", "bandwidth, GB/s", "rate, TFLOP/s", "intensity, FLOP/B"}
    wanted |= {"of measured ceiling", "of published ceiling", "peak memory", "error of budget"}
    wanted |= {"deterministic", "flags"}
    assert wanted <= set(results[0])
    for column in report.columns:
        assert f"<dt>{column.heading}</dt>" in html


def test_figures_in_the_page(results: list[dict[str, str]]) -> None:
    (row,) = (
        r
        for r in results
        if r["implementation"] == "sdpa_flash" and r["case"] == "Hq9-Hkv3-Sq128-D64-bf16-causal-smollm2"
    )
    assert row["latency"] == "97.9 µs"
    assert row["95 % interval"] == "96.9 to 99.1 µs"
    assert row["speed-up"] == "5.76×"
    assert row["of measured ceiling"] == "43.2 %"
    assert row["bound by"] == "compute"
    assert row["peak memory"] == "0 B"  # measured, and none


def test_a_wrong_result_shows_no_speed_in_the_page(
    synthetic: SimpleNamespace, html: str, results: list[dict[str, str]]
) -> None:
    wrong = [row for row in results if row["outcome"] == "wrong values"]
    assert len(wrong) == 9
    allowed = {
        "implementation",
        "case",
        "q_len",
        "outcome",
        "intensity, FLOP/B",
        "bound by",
        "error of budget",
        "deterministic",
        "again",
    }
    for row in wrong:
        assert {key for key, text in row.items() if text != "–"} <= allowed
        assert row["error of budget"] == "700 %"
    assert_no_leak(synthetic, html)


def assert_no_leak(synthetic: SimpleNamespace, text: str) -> None:
    """The time that wrong results carry in the file, in none of the ways in which it could be written."""
    for leak in ("7654321", "7.65 ms", "7.654", str(synthetic.LEAK_NS)):
        assert leak not in text


def test_not_measured_is_a_dash(results: list[dict[str, str]]) -> None:
    untimed = [row for row in results if row["implementation"] == "triton"]
    assert {row["latency"] for row in untimed} == {"–"}
    assert {row["outcome"] for row in untimed} == {"passed, not timed"}
    assert not any(text.startswith("0.0") for row in untimed for text in row.values())


def test_markdown(synthetic: SimpleNamespace, report: Report) -> None:
    text = "\n".join(markdown.render(report))
    assert text.startswith("# attention\n")
    assert "> **WRONG RESULT:** `mine` gave wrong values on" in text
    assert "Use `sdpa_flash` in 8 of 10 cases" in text
    assert "| `Hq9-Hkv3-Sq128-D64-bf16-causal-smollm2` | 564 µs (1.00×) |" in text
    assert "**97.9 µs** (5.76×)" in text
    assert "| **wrong values** |" in text
    assert "- command: `attnlab run quick --device cpu`" in text
    assert_no_leak(synthetic, text)
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_csv(synthetic: SimpleNamespace, report: Report, tmp_path: Path) -> None:
    (path,) = REPORTERS.get("csv").write(report, tmp_path)
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert len(rows) == 110
    flash = next(r for r in rows if r["implementation"] == "sdpa_flash")
    assert float(flash["median_ns"]) == float(flash["latency_ns"]) > 0
    assert flash["q_len"] == "128"
    speeds = {"median_ns", "ci_low_ns", "ci_high_ns", "latency_ns", "speedup", "gb_per_s", "tflop_per_s"}
    speeds |= {"share_of_ceiling", "peak_memory_bytes", "setup_ns", "cpu_time_ns"}
    for row in rows:
        if row["outcome"] != "passed" or row["implementation"] == "triton":
            assert {row[name] for name in speeds} == {""}
    assert_no_leak(synthetic, path.read_text(encoding="utf-8"))


def test_plot_files_show_no_speed_of_a_wrong_result(synthetic: SimpleNamespace, tmp_path: Path) -> None:
    case = synthetic.cases()[0]
    found = (
        synthetic.timed("fine", case, ns=1e6),
        synthetic.timed("good", case, ns=2e6),
        synthetic.timed("wrong", case, Outcome.WRONG_VALUES, synthetic.LEAK_NS, check=synthetic.check(7.0)),
    )
    run = synthetic.stored_run()
    bench = BenchRecord("attention", ("fine", "good", "wrong"), "fine", (case.id,))
    stored = replace(run, run=replace(run.run, benches=(bench,)), measurements=found)
    paths = {path.name: path for path in REPORTERS.get("plots").write(build_report([stored]), tmp_path)}
    stems = ("latency", "speedup", "roofline", "memory", "error")
    assert set(paths) == {f"{stem}.{suffix}" for stem in stems for suffix in ("png", "svg")}
    for stem in stems:
        assert paths[f"{stem}.png"].read_bytes().startswith(b"\x89PNG")
        text = paths[f"{stem}.svg"].read_text(encoding="utf-8")
        assert ("wrong" in text) == (stem == "error")


def test_names_of_plugins_are_escaped_everywhere(synthetic: SimpleNamespace, tmp_path: Path) -> None:
    cases = synthetic.cases()[:3]
    found = [synthetic.timed(HOSTILE, case) for case in cases]
    found += [
        synthetic.timed("wrong " + HOSTILE, case, Outcome.WRONG_VALUES, reason=HOSTILE, detail=HOSTILE)
        for case in cases
    ]
    run = synthetic.stored_run()
    bench = BenchRecord(
        "attention", tuple({m.implementation: None for m in found}), HOSTILE, tuple(c.id for c in cases)
    )
    record = replace(run.run, benches=(bench,), suite=HOSTILE, command=HOSTILE, run_id=HOSTILE)
    stored = replace(run, run=record, measurements=tuple(found))
    paths = {path.name: path for path in write_report([stored], tmp_path)}
    page = paths["index.html"].read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert Page(page).tags.count("script") == SCRIPTS
    summary = paths["summary.md"].read_text(encoding="utf-8")
    assert "<script>" not in summary
    assert "\n*b*" not in summary
    assert "<script>alert" not in paths["latency.svg"].read_text(encoding="utf-8")
    with paths["results.csv"].open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["implementation"] == HOSTILE


def test_a_plugins_metric_is_a_column_without_an_edit(synthetic: SimpleNamespace, tmp_path: Path) -> None:
    case = synthetic.cases()[0]
    run = replace(synthetic.stored_run(), measurements=(synthetic.timed("fine", case),))
    name = "calls_per_s"
    registry.metrics.add(
        name,
        Metric(
            name,
            "<i>calls</i>",
            "1/s",
            "higher",
            "Calls.",
            "1 / median",
            lambda r: 1e9 / (r.measurement.median_ns or 1),
        ),
        __name__,
    )
    try:
        page, table = (path.read_text(encoding="utf-8") for path in write_report([run], tmp_path, ["html", "csv"]))
    finally:
        registry.metrics.discard(name)
    assert "&lt;i&gt;calls&lt;/i&gt;, 1/s" in page
    assert f",{name}\n" in table


def test_an_unknown_operator_is_reported_all_the_same(synthetic: SimpleNamespace, tmp_path: Path) -> None:
    found = [
        replace(synthetic.timed(name, case), operator="novel") for name in ("a", "b") for case in synthetic.cases()
    ]
    run = synthetic.stored_run()
    stored = replace(run, run=replace(run.run, benches=()), measurements=tuple(found))
    page, summary = (p.read_text(encoding="utf-8") for p in write_report([stored], tmp_path, ["html", "markdown"]))
    assert "The operator novel is not known here" in page
    assert "The operator novel is not known here" in summary


def test_the_same_run_gives_the_same_files(synthetic: SimpleNamespace, tmp_path: Path) -> None:
    run = replace(synthetic.stored_run(), measurements=synthetic.stored_run().measurements[:20])
    first, second = (write_report([run], tmp_path / n, ["html", "markdown", "csv"]) for n in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_an_unknown_format_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown format 'htlm'; did you mean 'html'"):
        write_report([], tmp_path / "new", ["htlm"])
    assert not (tmp_path / "new").exists()
