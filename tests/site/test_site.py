"""The site: read without a network, with all pages, public names, options, operators and metrics."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

import attnlab.bench
from attnlab.bench import discover

ROOT = Path(__file__).parents[2]
LOADED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)|<link\b[^>]*\bhref=\"([^\"]+)")
chromium = Path("/usr/bin/chromium")


def text_of(page: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", page.read_text("utf-8").partition("<article")[2].partition("</article")[0]))


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = [page for page in site.rglob("*.html") if page.name != "404.html"]
    assert len(pages) > 20
    for page in pages:
        for found in LOADED.finditer(page.read_text("utf-8")):
            target = (found[1] or found[2]).partition("?")[0].partition("#")[0]
            assert target.startswith("data:") or (page.parent / target).is_file(), (page, target)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?https?:", sheet.read_text("utf-8"))


def test_every_page_is_in_the_navigation(site: Path) -> None:
    """A page that mkdocs.yml does not name as well."""
    navigation = (site / "index.html").read_text("utf-8").partition('class="md-nav md-nav--primary')[2]
    linked = set(re.findall(r'href="([^"#]+\.html)"', navigation))
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages | {"contributing.html"} <= linked


def test_the_reference_is_whole(site: Path) -> None:
    registry = discover()
    python = (site / "reference" / "python.html").read_text("utf-8")
    assert [name for name in attnlab.bench.__all__ if f'id="attnlab.bench.{name}"' not in python] == []
    operators = text_of(site / "reference" / "operators.html")
    for operator in registry.operators:
        assert operator.summary in operators
        assert all(axis.help in operators for axis in operator.case_type.axes().values())
        assert all(one.summary.replace("`", "") in operators for one in registry.implementations(operator.name))
    metrics = text_of(site / "reference" / "metrics.html")
    assert [m.name for m in registry.metrics if m.summary not in metrics or m.formula not in metrics] == []
    commands = text_of(site / "reference" / "commands.html")
    assert "attnlab gate [-h]" in commands
    assert "-a AXIS=VALUES, --axis AXIS=VALUES" in commands


@pytest.mark.browser
@pytest.mark.skipif(not chromium.is_file(), reason="needs Chromium")
def test_it_is_searched_without_a_network(site: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.locator(".md-search__input").press_sequentially("goodput")
        page.locator(".md-search-result__item").first.wait_for(timeout=20_000)
        assert "matching" in page.locator(".md-search-result__meta").inner_text()
        browser.close()
    assert faults == []
