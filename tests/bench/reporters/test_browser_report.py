"""The page in Chromium: alone and silent, nothing cut or covered at any width, and every control does what it says."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attnlab.bench import units
from attnlab.bench.analysis.csv_file import harmless
from attnlab.bench.reporters import html_page
from attnlab.bench.reporters.html_page import SCRIPTS, TEMPLATES, render
from attnlab.bench.reporters.model import plots as model_plots
from attnlab.bench.reporters.model.plots import Callout, Curve, Panel, Plot, PlotPoint
from attnlab.bench.reporters.model.report import Report, build_report
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.page import drawings
from attnlab.bench.reporters.page.bundle import packed
from attnlab.bench.store.run_folder import read_run

pytest.importorskip("vl_convert", reason="vl-convert-python is not installed")
axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

pytestmark = pytest.mark.browser

RESULTS = Path(__file__).parents[3] / "results"
WIDTHS = (390, 768, 1280)
PRINTED = 703  # pixels between the margins of A4
CASE = "Hq9-Hkv3-Sq512-bf16-causal-smollm2"
LABEL = "Hq9-Hkv3-Sq512-D64-bf16-causal-smollm2"
FORMULA = "=cmd|'/c calc'!A1"

Open = Callable[..., Any]

# Elements that reach beyond the right edge, outside of what may be scrolled.
BEYOND = """() => [...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll, pre, svg, [hidden]"))
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 90))"""
# The script has drawn the tables, where there are any.
STARTED = "document.querySelectorAll('table.results').length <= document.querySelectorAll('.pager').length"
# Pairs of texts of one plot that overlap, and texts that are outside of their plot.
COVERED = """() => [...document.querySelectorAll(".live svg")].flatMap((svg) => {
  const place = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].filter((t) => t.getAttribute("opacity") !== "0");
  const boxes = texts.map((t) => [t.textContent, t.getBoundingClientRect()]).filter(([, b]) => b.width);
  const out = boxes.filter(([, b]) => b.left < place.left - 2 || b.right > place.right + 2);
  const over = boxes.flatMap(([one, a], n) => boxes.slice(n + 1)
    .filter(([, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3)
    .map(([other]) => `${one} | ${other}`));
  return [...out.map(([one]) => `outside: ${one}`), ...over];
})"""


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return render(report)


@pytest.fixture(scope="module")
def generated() -> Report:
    """Of the stored run of `generate`."""
    return build_report([read_run(RESULTS / "20261126-160740-generate-quick")])


@pytest.fixture(scope="module")
def open_page(browser: Any, html: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Opens a page and returns it; what it logged or asked the network for is in `page.told`."""
    folder = tmp_path_factory.mktemp("pages")
    opened = []

    def opening(width: int = 1280, text: str = html, address: str = "", **options: Any) -> Any:
        path = folder / f"{abs(hash(text))}.html"
        path.write_text(text, encoding="utf-8")
        page = browser.new_context(viewport={"width": width, "height": 800}, **options).new_page()
        opened.append(page.context)
        page.told = []
        page.on("console", lambda message: page.told.append(message.text))
        page.on("pageerror", lambda error: page.told.append(str(error)))
        page.on("request", lambda asked: None if asked.is_navigation_request() else page.told.append(asked.url))
        page.goto(path.as_uri() + address)
        if options.get("java_script_enabled", True):
            page.wait_for_function(STARTED)
        return page

    yield opening
    for context in opened:
        context.close()


@pytest.fixture(scope="module")
def desk(open_page: Open) -> Any:
    """One page for the tests that only choose."""
    return open_page()


@pytest.fixture
def page(desk: Any) -> Any:
    """The page as it opens, with its leading plot drawn."""
    desk.evaluate("location.hash = ''")
    desk.wait_for_selector("[data-lead] .live svg")
    desk.evaluate("scrollTo(0, 0)")
    return desk


def drawn_everywhere(page: Any) -> None:
    """Scroll through the page, so that each plot is drawn."""
    page.evaluate(
        """async () => { for (const f of document.querySelectorAll("[data-plot]")) {
          f.scrollIntoView(); await new Promise((done) => setTimeout(done, 30)); } }"""
    )
    page.wait_for_function("document.querySelectorAll('[data-plot]:not(.touchable):not(.empty)').length === 0")
    page.evaluate("scrollTo(0, 0)")


def column(page: Any, heading: str) -> list[str]:
    """The texts of a column of the results."""
    found: list[str] = page.evaluate(
        """(heading) => { const table = document.querySelector("table.results");
          const place = [...table.tHead.rows[0].cells].findIndex((c) => c.textContent === heading);
          return [...table.tBodies[0].rows].map((row) => row.cells[place].textContent); }""",
        heading,
    )
    return found


def values(page: Any, plot: str = "[data-lead] [data-plot]") -> list[dict[str, Any]]:
    """What a plot shows."""
    page.wait_for_selector(f"{plot} .live svg")
    page.wait_for_timeout(150)
    found: list[dict[str, Any]] = page.evaluate(
        "(plot) => document.querySelector(plot).view.data('points').map((one) => ({...one}))", plot
    )
    return found


def chip(page: Any, name: str) -> Any:
    return page.locator(".chip", has=page.locator(f"span:text-is('{name}')")).first


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_or_covered(open_page: Open, width: int, scheme: str) -> None:
    page = open_page(width, color_scheme=scheme)
    drawn_everywhere(page)
    assert page.told == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(BEYOND) == []
    assert page.evaluate(COVERED) == []
    small = (
        "Math.min(...[...document.querySelectorAll('.live text')].map((t) => parseFloat(getComputedStyle(t).fontSize)))"
    )
    assert page.evaluate(small) >= 10
    ink = page.evaluate("getComputedStyle(document.querySelector('.live text')).fill")
    assert (sum(map(int, re.findall(r"\d+", ink)[:3])) > 380) == (scheme == "dark")
    violations = axe_playwright.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in violations] == []


def test_the_first_screen_has_the_verdict_the_table_and_the_plot(page: Any) -> None:
    boxes = {
        name: page.locator(name).first.bounding_box() for name in (".lead", "table.standings", "[data-lead] .live")
    }
    assert all(box["y"] + box["height"] <= 800 for box in boxes.values())
    assert boxes["table.standings"]["x"] + 100 < boxes["[data-lead] .live"]["x"]  # side by side
    said = page.locator(".operator > .lead, .operator > .prose").all_inner_texts()
    assert said[0].startswith("Use sdpa_flash in 8 of 10 cases")
    assert len(re.findall(r"\.(?= [A-Za-z]|$)", " ".join(said))) <= 3
    assert "–" not in " ".join(said)


def test_a_first_table_of_many_columns_fits_beside_its_plot(open_page: Open, generated: Report) -> None:
    page = open_page(text=render(generated))
    width = page.evaluate(
        "(() => { const e = document.querySelector('.first .scroll'); return e.scrollWidth - e.clientWidth; })()"
    )
    assert width <= 0
    table, plot = (page.locator(name).first.bounding_box() for name in ("table.standings", "[data-lead]"))
    assert table["x"] + table["width"] < plot["x"]
    assert plot["width"] >= 300
    assert page.locator("table.standings thead th").count() == 11


def test_a_phone_keeps_the_first_column_and_says_that_there_is_more(open_page: Open) -> None:
    page = open_page(390)
    region = page.locator(".scroll", has=page.locator("table.results"))
    region.evaluate("(e) => e.scrollTo(400, 0)")
    pinned = region.locator("tbody th").first.bounding_box()
    assert pinned["x"] >= region.bounding_box()["x"] - 1
    assert pinned["width"] < 200
    assert page.locator(".scroll.wide + .hint").count() >= 3
    assert page.locator("details.controls").get_attribute("open") is None  # the table comes first
    assert page.locator("table.standings").bounding_box()["y"] < 844


def test_chips_drive_plots_and_tables_alike(page: Any) -> None:
    chip(page, "naive").click()
    assert "naive" not in column(page, "implementation")
    assert "naive" not in {value["name"] for value in values(page)}
    assert page.locator("table.standings tr[data-implementation=naive]").is_hidden()
    chip(page, "flex").click(modifiers=["Shift"])
    assert set(column(page, "implementation")) == {"flex"} == {value["name"] for value in values(page)}
    page.locator("details.cases summary").first.click()
    chip(page, LABEL).click(modifiers=["Shift"])
    assert column(page, "case") == [LABEL]
    assert [value["case"] for value in values(page)] == [LABEL]
    standing = page.locator("table.standings tr[data-implementation=flex]").inner_text()
    assert "1 of 1" in standing
    assert " to " not in standing


def test_another_baseline_gives_other_speedups(page: Any) -> None:
    before = dict(
        zip(
            zip(column(page, "implementation"), column(page, "case"), strict=True),
            column(page, "speed-up"),
            strict=True,
        )
    )
    page.get_by_label("baseline").first.select_option("sdpa_flash")
    after = dict(
        zip(
            zip(column(page, "implementation"), column(page, "case"), strict=True),
            column(page, "speed-up"),
            strict=True,
        )
    )
    assert after["sdpa_flash", LABEL] == "1.00×"
    ratio = float(before["naive", LABEL][:-1]) / float(before["sdpa_flash", LABEL][:-1])
    assert float(after["naive", LABEL][:-1]) == pytest.approx(ratio, rel=0.01)
    assert after["triton", LABEL] == "–"  # not timed
    page.locator("[data-drawings$='-speedup']").first.scroll_into_view_if_needed()
    shown = values(page, "[data-drawings$='-speedup'] [data-plot]")
    assert {v["shown"] for v in shown if v["name"] == "sdpa_flash"} == {"1.00×"}


def test_another_axis_and_scale(page: Any) -> None:
    page.get_by_label("axis of x").first.select_option("dtype")
    made = values(page, "[data-lead] [data-made]")
    assert {value["x"] for value in made} == {"bfloat16", "float32"}
    page.get_by_label("axis of x").first.select_option("")
    top = page.evaluate("document.querySelector('[data-lead] [data-plot]').view.scale('y').domain()[0]")
    assert top > 0
    page.get_by_label("scale").first.select_option("linear")
    values(page)
    assert page.evaluate("document.querySelector('[data-lead] [data-plot]').view.scale('y').domain()[0]") <= 0
    assert "ms" in page.locator("[data-lead] .live").inner_text()


def test_sorting_puts_what_was_not_measured_last(page: Any) -> None:
    button = page.locator("th[data-column=latency_ns] button").first
    sizes = {"ns": 1.0, "µs": 1e3, "ms": 1e6, "s": 1e9}
    for state, falling in (("ascending", False), ("descending", True)):
        button.click()
        texts = column(page, "latency")
        known = [float(t.split()[0]) * sizes[t.split()[1]] for t in texts if t != "–"]
        assert known == sorted(known, reverse=falling)
        assert set(texts[len(known) :]) == {"–"}
        assert page.locator("th[data-column=latency_ns]").first.get_attribute("aria-sort") == state


def test_words_keep_rows(page: Any) -> None:
    page.get_by_label("rows with").first.fill("FLASH causal Sq512")
    assert set(column(page, "implementation")) == {"sdpa_flash"}
    assert all("Sq512" in case for case in column(page, "case"))
    assert {value["name"] for value in values(page)} == {"sdpa_flash"}
    page.get_by_label("rows with").first.fill("no such thing")
    assert "no row has all of that" in page.locator("[data-pager]").first.inner_text()
    page.get_by_label("rows with").first.fill("")


def test_the_address_keeps_the_choice(page: Any, open_page: Open) -> None:
    chip(page, "naive").click()
    page.get_by_label("baseline").first.select_option("flex")
    page.get_by_label("scale").first.select_option("linear")
    page.locator("th[data-column=latency_ns] button").first.click()
    page.get_by_label("rows with").first.fill("causal")
    shown = column(page, "implementation"), column(page, "speed-up")
    address = page.evaluate("location.hash")
    again = open_page(address=address)
    assert (column(again, "implementation"), column(again, "speed-up")) == shown
    assert chip(again, "naive").get_attribute("aria-pressed") == "false"
    assert again.get_by_label("scale").first.input_value() == "linear"
    whole = column(open_page(), "implementation")
    for strange in (
        "#s0.baseline=nobody&s0.sort=nothing&s0.page=99&s0.without=%00&s9.x=1&at=nowhere",
        "#s0.sort=__proto__&s0.page=1.5&s0.x=constructor&s0.scale=toString",
        "#%",
        "#<img src=x onerror=alert(1)>%E0%A4%A",
    ):
        found = open_page(address=strange)
        assert found.told == []
        assert len(column(found, "implementation")) == len(whole)


def test_an_address_chooses_nothing_that_is_not_offered(open_page: Open, synthetic: SimpleNamespace) -> None:
    """One implementation has no list of baselines."""
    run = synthetic.stored_run()
    kept = tuple(m for m in run.measurements if m.implementation == "naive")
    html = render(build_report([replace(run, measurements=kept)]))
    page = open_page(text=html, address="#s0.baseline=nobody&s0.x=nothing")
    assert page.told == []
    assert "nobody" not in page.inner_text("body")
    assert page.evaluate("location.hash") == "#s0.baseline=nobody&s0.x=nothing"
    page.locator("th[data-column=latency_ns] button").click()
    assert page.evaluate("location.hash") == "#s0.sort=latency_ns"


def test_a_link_leads_to_its_row(page: Any, open_page: Open) -> None:
    place = column(page, "case").index(LABEL)
    page.locator("table.results tbody tr").nth(place).locator("th a").click()
    marked = page.locator("tr.marked")
    assert LABEL in marked.inner_text()
    assert marked.bounding_box()["y"] < 800
    other = open_page(address=page.evaluate("location.hash"))
    assert other.locator("tr.marked td.case").inner_text() == LABEL


def test_a_row_has_the_command_that_takes_it_again(page: Any) -> None:
    place = list(zip(column(page, "implementation"), column(page, "case"), strict=True)).index(("flex", LABEL))
    row = page.locator("table.results tbody tr").nth(place)
    row.locator("details.again summary").click()
    assert (
        row.locator("details.again code").inner_text()
        == f"attnlab run attention --impl flex --case {CASE} --device cpu"
    )
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    row.get_by_text("copy").click()
    assert (
        page.evaluate("navigator.clipboard.readText()")
        == f"attnlab run attention --impl flex --case {CASE} --device cpu"
    )


def test_hovering_tells_value_interval_and_case(page: Any) -> None:
    first = values(page)[0]
    x, y = page.evaluate(
        """() => { const mark = document.querySelector("[data-lead] .mark-symbol path").getBoundingClientRect();
          return [mark.x + mark.width / 2, mark.y + mark.height / 2]; }"""
    )
    page.mouse.move(x, y)
    page.wait_for_selector("#vg-tooltip-element.visible")
    told = page.locator("#vg-tooltip-element").inner_text()
    assert first["shown"] in told
    assert first["interval"] in told
    assert first["case"] in told
    page.mouse.click(x, y)
    assert first["case"] in page.locator("tr.marked").inner_text()
    page.mouse.move(0, 0)


def downloaded(page: Any) -> list[list[str]]:
    with page.expect_download() as waiting:
        page.get_by_text("Download what is shown as CSV").first.click()
    return list(csv.reader(io.StringIO(Path(waiting.value.path()).read_bytes().decode())))


def test_what_is_shown_is_downloaded_as_csv(page: Any) -> None:
    chip(page, "sdpa_flash").click(modifiers=["Shift"])
    headings, *rows = downloaded(page)
    assert len(rows) == 10
    assert CASE in {row[headings.index("case_id")] for row in rows}
    found = dict(zip(headings, next(row for row in rows if row[1] == LABEL), strict=True))
    assert found["implementation"] == "sdpa_flash"
    assert float(found["latency_ns"]) > 1e4
    assert found["again"].startswith("attnlab run attention --impl sdpa_flash")


def hostile_run(synthetic: SimpleNamespace, named: str) -> Report:
    """A run in which a name stands in every place that a plugin or a user can write to."""
    cases = synthetic.cases()[:3]
    names = [named, f"{named} 2", FORMULA, "fine"]
    found = [
        replace(synthetic.timed("naive", case), implementation=name, flags=(named,)) for case in cases for name in names
    ]
    found.append(
        replace(synthetic.measure("mine", cases[0]), implementation=f"wrong {named}", reason=named, detail=named)
    )
    found.append(replace(synthetic.measure("flash_attn", cases[0]), implementation=f"not {named}", reason=named))
    run = synthetic.stored_run(run_id=named, suite=named, command=named, plugins=(named,))
    bench = replace(run.run.benches[0], implementations=tuple({m.implementation: None for m in found}), baseline=named)
    bench = replace(bench, cases=tuple(case.id for case in cases))
    return build_report([replace(run, run=replace(run.run, benches=(bench,)), measurements=tuple(found))])


@pytest.mark.parametrize(
    "named",
    ["<img src=x onerror=alert(1)></script><script>alert(2)</script>", "abc\u202etxt.exe\u2066\u200f", "n" * 300],
    ids=["markup", "direction", "long"],
)
def test_names_are_harmless_everywhere(open_page: Open, synthetic: SimpleNamespace, named: str) -> None:
    html = render(hostile_run(synthetic, named))
    assert not re.search("[\u202e\u2066\u200f]", html)
    for width in (390, 1280):
        page = open_page(width, html)
        drawn_everywhere(page)
        assert page.told == []
        assert page.locator("img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(BEYOND) == []
        assert page.locator("table.results tbody tr").count() == 13
    page.evaluate("document.querySelector('[data-lead] .mark-symbol path').dispatchEvent(new Event('x'))")
    cells = [cell for row in downloaded(page) for cell in row]
    assert f"'{FORMULA}" in cells
    assert not [cell for cell in cells if re.match(r"[=+@\t\r]|-(?![\d.])", cell)]
    field = page.get_by_label("baseline").first
    field.select_option(index=1)
    assert page.told == []
    assert open_page(1280, html, address=page.evaluate("location.hash")).told == []


def grown(html: str, copies: int) -> str:
    """The page with each row so many times."""
    head, given, tail = re.split(r'(?<=id="data">)(.*?)(?=</script>)', html, maxsplit=1)
    data = json.loads(gzip.decompress(base64.b64decode(given)))
    for section in data["sections"]:
        rows = section["rows"]
        section["rows"] = {
            name: values * copies if isinstance(values, list) else values for name, values in rows.items()
        }
        rows["values"].update({name: values * copies for name, values in rows["values"].items()})
    return head + packed(json.dumps(data)) + tail


def test_a_hundred_thousand_rows_are_paged(open_page: Open, html: str) -> None:
    page = open_page(text=grown(html, 100_000 // 79 + 1))
    total = (100_000 // 79 + 1) * 79
    assert page.locator("table.results tbody tr").count() == html_page.ROWS_A_PAGE
    assert f"rows 1 to 200 of {total:,}" in page.locator("[data-pager]").first.inner_text()
    page.get_by_text("next ›").click()
    assert f"rows 201 to 400 of {total:,}" in page.locator("[data-pager]").first.inner_text()
    page.locator("th[data-column=latency_ns] button").click()
    chip(page, "naive").click()
    assert "naive" not in column(page, "implementation")
    page.evaluate(f"location.hash = 'at=s0-row-{total - 1}'")
    page.wait_for_selector(f"tr.marked#s0-row-{total - 1}")
    assert page.told == []


def test_every_kind_of_panel_is_drawn(open_page: Open, report: Report) -> None:
    """By the interpreter of expressions, since the page's policy allows no other."""
    two = (PlotPoint(0, 1e6, 0.9e6, 1.1e6, label="1"), PlotPoint(1, 2e6, 1.9e6, 2.1e6, label="2"))
    parts = tuple(Curve(name, (PlotPoint(1e6, 0), PlotPoint(2e6, 1))) for name in ("prefill", "sample"))
    cells = tuple(PlotPoint(x, y, value=1.0 + x + 3 * y, label="1 ms") for x in (0, 1) for y in (0, 1))
    panels = (
        Panel("bars", "bars", "time", "", "ns", parts, ("a", "b")),
        Panel(
            "curve",
            "curve",
            "time",
            "tok/s",
            "tok/s",
            (Curve("x", two),),
            x_unit="ns",
            callouts=(Callout(1, "knee", 2e6),),
        ),
        Panel("map", "map", "q_len", "batch", "ratio", (Curve("x", cells),), ("1", "2"), columns=("128", "256")),
        Panel(
            "timeline",
            "timeline",
            "run",
            "latency",
            "ns",
            (Curve("x", two),),
            columns=("a's", "b"),
            callouts=(Callout(0.5, "1"),),
            notes=("slower",),
        ),
    )
    study = Study("Kinds", (), (), tuple(Plot(panel.kind, panel.kind, "", (panel,)) for panel in panels))
    (section,) = report.sections
    page = open_page(
        text=render(replace(report, sections=(replace(section, plots=section.plots[:1], studies=(study,)),)))
    )
    drawn_everywhere(page)
    assert page.told == []
    assert page.evaluate(COVERED) == []
    marks = {
        "bars": ".mark-rect path",
        "curve": ".mark-symbol path",
        "map": ".mark-rect path",
        "timeline": ".mark-symbol path",
    }
    counts = {kind: page.locator(f"#s0-study1-{kind}-0 .live {mark}").count() for kind, mark in marks.items()}
    assert counts == {"bars": 4, "curve": 3, "map": 4, "timeline": 2}


def test_a_large_run_has_its_first_rows_and_some_panels_in_the_file(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_plots, "MOST_PANELS", 2)
    monkeypatch.setattr(model_plots, "FEW_PANELS", 2)
    monkeypatch.setattr(drawings, "MOST_POINTS", 30)
    (section,) = report.sections
    latency = next(plot for plot in section.plots if plot.name == "latency")
    (longest, *_) = latency.panels
    many = replace(longest, curves=tuple(replace(c, points=c.points * 9) for c in longest.curves))
    plots = (replace(latency, panels=(longest, *(replace(many, title=str(n)) for n in range(30)))),)
    large = replace(section, results=section.results * 5, plots=plots, growths=section.growths * 30)
    html = render(replace(report, sections=(large,)))
    assert html.count('<tr id="s0-row-') == html_page.ROWS_A_PAGE
    assert "The first 200 of 395; the table of results has all." in html
    assert "2 of 30 panels are drawn." in html
    assert "Of panels with more than 30 points some are drawn, evenly chosen." in html


def test_without_a_script_pictures_and_tables_remain(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    assert page.locator(".still svg").first.is_visible()
    assert page.locator("table.results tbody tr").count() == 79
    assert page.locator("details.again code").first.text_content().startswith("attnlab run attention --impl")
    assert page.locator("button.chip").count() == 0


def test_without_the_library_the_page_has_pictures_and_says_so(
    open_page: Open, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html_page, "bundle", lambda: None)
    page = open_page(text=render(report))
    assert page.told == []
    assert page.locator(".still svg").first.is_visible()
    assert page.locator(".live").count() == 0
    assert (
        "pictures alone, because the package vl-convert-python was not installed" in page.locator("main").inner_text()
    )
    chip(page, "naive").click()
    assert "naive" not in column(page, "implementation")
    assert page.get_by_label("scale").count() == 0


def test_print(open_page: Open) -> None:
    page = open_page(PRINTED)
    drawn_everywhere(page)
    page.emulate_media(media="print")
    assert page.locator(".still svg").first.is_visible()
    assert not page.locator(".live, .controls, nav").filter(visible=True).count()
    assert page.evaluate("document.documentElement.scrollWidth") <= PRINTED
    beyond = BEYOND.replace(".scroll, pre, svg", "svg")
    assert page.evaluate(beyond) == []


def test_numbers_are_written_as_everywhere(browser: Any) -> None:
    page = browser.new_page()
    page.add_script_tag(content=(TEMPLATES / "scripts" / "numbers.js").read_text(encoding="utf-8"))
    numbers = [0.0, 1.0, 9.994, 9.999, 999.4, 999.6, 1023.9, 0.000123, 123456.0, 1.5e9, 3.2e13, 2.0**31, 0.0745, -2.4]
    for unit in ("ns", "B", "share", "ratio", "GB/s"):
        found = page.evaluate("([numbers, unit]) => numbers.map((n) => written(n, unit))", [numbers, unit])
        assert found == [units.format_cell(number, unit) for number in numbers]
    pairs = [(1.2e6, 1.31e6), (9.2e5, 1.1e6), (0.5, 0.9)]
    found = page.evaluate("(pairs) => pairs.map(([low, high]) => writtenInterval(low, high))", pairs)
    assert found == [units.format_interval(low, high, "ns") for low, high in pairs]
    page.close()


def test_no_cell_is_a_formula_as_in_files_of_ours(browser: Any) -> None:
    given = ["=1", " =1", "\n=1", "+1", "-1e3", "-1+1", "@A", "|x", "%x", "＝1", "\t1", "a=1", "-", "1"]
    page = browser.new_page()
    page.add_script_tag(content=(TEMPLATES / "scripts" / "table.js").read_text(encoding="utf-8"))
    found = page.evaluate("(texts) => texts.map(csvCell)", given)
    assert [text.strip('"') for text in found] == [harmless(text) for text in given]
    page.close()


def test_the_script_is_small() -> None:
    assert sum((TEMPLATES / "scripts" / f"{name}.js").stat().st_size for name in SCRIPTS) < 45_000
