"""Names with markup, marks of direction, line ends and 300 characters, in every place that shows a stored run.

The page has tests of its own.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.reporters.draw.fitting import cut_to_page
from attnlab.bench.reporters.markdown import name, text
from attnlab.bench.store.records import BenchRecord
from attnlab.bench.store.run_folder import RunWriter, read_run
from attnlab.bench.text import LONGEST_STEM, file_stem
from attnlab.bench.text_table import columns, fitted, width_of

FIXTURE = Path(__file__).parents[1] / "store" / "fixtures" / "schema-6"
NAMES = (
    "[red]markup[/red]",
    "<script>alert(1)</script>",
    r"$\frac{1}{0}$",
    "x" * 300,
    "=HYPERLINK(1)",
    "a|b`c`*d*_e_",
    "\u202eevil\u2066",
    "line\nbreak\ttab",
    "../../etc/passwd",
    "漢字 🚀",
    "{{ x }} {% y %} %s",
    "@octocat",
)
SHOWN = tuple(" ".join("".join(c if c.isprintable() else " " for c in one).split()) for one in NAMES)
"""As they may be shown: on one line, without what a terminal would obey."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every name as an implementation, and as a case."""
    folder = tmp_path_factory.mktemp("runs")
    stored = read_run(FIXTURE)
    right = stored.measurements[0]
    made = [replace(right, implementation=one, case_id="plain", flags=(NAMES[0],)) for one in NAMES]
    made += [replace(right, case_id=one, configuration=one) for one in NAMES]
    bench = BenchRecord(right.operator, (*NAMES, right.implementation), right.implementation, ("plain", *NAMES))
    for day in (1, 2):
        record = replace(stored.run, run_id=f"2026010{day}-s", started=f"2026-01-0{day}T00:00:00", benches=(bench,))
        writer = RunWriter.create(folder, replace(record, suite=NAMES[5], plugins=(NAMES[1],)))
        for m in made:
            writer.append(m)
        writer.close()
    return folder / "20260101-s"


def test_names_are_on_one_line_once_they_are_read(run: Path) -> None:
    measurements = read_run(run).measurements
    assert tuple(m.implementation for m in measurements[: len(NAMES)]) == SHOWN
    assert tuple(m.case_id for m in measurements[len(NAMES) :]) == SHOWN


@pytest.mark.parametrize("width", [None, 80, 40])
def test_the_table_of_a_run(cli, run: Path, monkeypatch: pytest.MonkeyPatch, width: int | None) -> None:
    monkeypatch.setattr("attnlab.bench.text_table.terminal_width", lambda: width)
    ended = cli("results", "show", run)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert all(any(line.strip().startswith(shown) for line in lines) for shown in SHOWN), "markup is text"
    assert all(c.isprintable() for line in lines for c in line)


def test_a_case_that_the_record_does_not_plan_is_shown(cli, run: Path, tmp_path: Path) -> None:
    stored = read_run(run)
    writer = RunWriter.create(tmp_path, replace(stored.run, benches=()))
    writer.append(stored.measurements[0])
    writer.close()
    assert "plain" in cli("results", "show", writer.folder).out


def test_the_comparison_and_the_history(cli, run: Path, tmp_path: Path) -> None:
    compared = cli("compare", run, run.with_name("20260102-s"))
    assert compared.code == 0, compared.err
    assert all(f"/{shown} plain" in compared.out for shown in SHOWN)
    drawn = [shown for shown in SHOWN if "," not in shown][:4]
    ended = cli("history", run.parent, "--out", "plots", *(part for one in drawn for part in ("--impl", one)))
    assert ended.code == 0, ended.err
    assert all(f"/{shown[:100]}" in ended.out for shown in drawn), "markup is text"
    plots = list(Path("plots").iterdir())
    assert len(plots) == 2 * len(drawn), "a picture each, in two formats"
    assert all(len(plot.name) < 200 for plot in plots)


def test_the_formats_of_a_report(cli, run: Path) -> None:
    ended = cli("report", run, "--out", "out", "--format", "csv,markdown,plots")
    assert ended.code == 0, ended.err
    with Path("out/results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["implementation"].removeprefix("'") for row in rows[: len(NAMES)]] == list(SHOWN)
    assert rows[4]["implementation"] == "'=HYPERLINK(1)"
    page = Path("out/summary.md").read_text()
    tables = [line for line in page.splitlines() if line.startswith("|")]
    inside = [re.sub(r"`[^`|]*`", "", re.sub(r"\\.", "", line)) for line in tables]  # without escapes and code
    assert {line.count("|") for line in inside if "plain" in line} <= {len(NAMES) + 3, 6}
    plain = re.sub(r"`[^`\n]*`", "", page)
    assert not re.search(r"<(?!/?(details|summary|!-- -->))|(?<!\\)\[red|\$|@\w", plain)


@pytest.mark.parametrize("given", NAMES)
def test_markdown_of_a_name(given: str) -> None:
    written = name(given)
    assert "\n" not in written
    assert written == f"`{given}`" or written == text(given)
    assert "<script" not in written
    assert not re.search(r"(?<!\\)\|", written)


def test_stems_of_files() -> None:
    stems = [file_stem(one) for one in (*NAMES, "a/b", "a_b", "a b", "x" * 299)]
    assert len(set(stems)) == len(stems), "two names never share a file"
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", stem) for stem in stems)
    assert max(map(len, stems)) <= LONGEST_STEM + 9
    assert file_stem("20260101-s-attention") == "20260101-s-attention", "plain names stay as they are"


def test_wide_letters_are_aligned() -> None:
    rows = [("name", "time"), ("漢字", "1 ms"), ("abcd", "2 ms")]
    for lines in (list(columns(rows)), list(fitted(rows, (0,), 80))):
        assert lines[1] == "漢字  1 ms"
        assert {width_of(line) for line in lines} == {10}


@pytest.fixture
def figure() -> Callable[..., str]:
    from matplotlib.figure import Figure

    def written(said: str, **where: float) -> str:
        page = Figure(figsize=(6, 1))
        label = page.text(where.get("x", 0.05), 0.5, said, **({"ha": "right"} if "x" in where else {}))
        cut_to_page(page)
        extent = label.get_window_extent(page.canvas.get_renderer())  # type: ignore[attr-defined]
        assert extent.x0 >= 0
        assert extent.x1 <= page.bbox.x1
        return str(label.get_text())

    return written


def test_text_that_would_leave_a_picture_is_cut(figure: Callable[..., str]) -> None:
    assert figure("short") == "short"
    for shown in (figure("W" * 300), figure("W" * 300, x=0.95)):
        assert 20 < len(shown) < 100
        assert "…" in shown
