"""The page in headless Chromium: silent, alone, sortable, and legible on a phone and in the dark."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from attnlab.bench.reporters.html_page import render
from attnlab.bench.reporters.model.report import build_report

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=4000",
)
DARK = "--blink-settings=preferredColorScheme=0"
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"),
]

PROBE = """
const answer = {};
const table = document.getElementById("s0-table");
const rows = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);
const headings = [...table.tHead.rows[0].cells];
const column = (heading) => headings.findIndex((cell) => cell.textContent.startsWith(heading));
const shown = (heading) => rows().map((row) => row.cells[column(heading)].textContent.trim());
const click = (heading) => headings[column(heading)].querySelector("button").click();
const state = (heading) => headings[column(heading)].getAttribute("aria-sort");
click("latency"); answer.rising = shown("latency"); answer.state = state("latency");
click("latency"); answer.falling = shown("latency"); answer.turned = state("latency");
click("implementation"); answer.names = shown("implementation"); answer.left = state("latency");
const field = document.querySelector("input[type=search]");
field.value = "FLASH causal 512"; field.dispatchEvent(new Event("input", { bubbles: true }));
answer.filtered = rows().map((row) => row.cells[0].textContent + " " + row.cells[1].textContent);
answer.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
answer.width = innerWidth;
answer.overflow = document.documentElement.scrollWidth - innerWidth;
answer.wide = [...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll, pre, svg"))
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80));
answer.page = getComputedStyle(document.body).backgroundColor;
answer.ink = getComputedStyle(document.querySelector("figure svg text")).fill;
const texts = [...document.querySelectorAll("figure svg text")];
answer.small = Math.min(...texts.map((text) => text.getBoundingClientRect().height));
answer.series = [...document.querySelectorAll("figure svg path")].map((e) => getComputedStyle(e).stroke);
parent.postMessage(JSON.stringify(answer), "*");
"""
FRAME = """<!doctype html><pre id="answer"></pre><script>
addEventListener("message", (event) => { document.getElementById("answer").textContent = event.data; });
</script><iframe src="page.html" width="WIDTH" height="800" style="border:0"></iframe>"""


def chromium(page: Path, *flags: str) -> tuple[str, str]:
    """The page after its scripts ran, and what was logged."""
    assert CHROMIUM is not None
    profile = f"--user-data-dir={page.parent / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *FLAGS, profile, *flags, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def html() -> str:
    synthetic = runpy.run_path(str(Path(__file__).with_name("synthetic.py")))
    return render(build_report([synthetic["stored_run"](published=True)]))


def probed(html: str, folder: Path, width: int, *flags: str) -> dict[str, object]:
    """What a script finds in a copy of the page, framed: a window cannot be as narrow as a phone."""
    copy = POLICY.sub("", html).replace("</body>", f"<script>{PROBE}</script></body>")
    (folder / "page.html").write_text(copy, encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    document, log = chromium(folder / "frame.html", "--window-size=1300,1000", *flags)
    assert "CONSOLE" not in log, log
    found = re.search(r'<pre id="answer">(.*?)</pre>', document, flags=re.DOTALL)
    assert found is not None
    answer: dict[str, object] = json.loads(unescape(found[1]))
    return answer


def milliseconds(text: str) -> float:
    value, unit = text.split()
    return float(value) * {"µs": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def brightness(colour: str) -> float:
    return sum(float(part) for part in re.findall(r"[\d.]+", colour)[:3]) / 3


def test_the_page_as_it_is_logs_nothing(html: str, tmp_path: Path) -> None:
    """With its content security policy, which would log whatever it stops."""
    path = tmp_path / "index.html"
    path.write_text(html, encoding="utf-8")
    document, log = chromium(path)
    assert "CONSOLE" not in log, log
    assert "</table>" in document


def test_a_wide_light_page_sorts_and_filters(html: str, tmp_path: Path) -> None:
    answer = probed(html, tmp_path, 1200)
    rising = answer["rising"]
    assert isinstance(rising, list)
    times = [milliseconds(text) for text in rising if text != "–"]
    assert times == sorted(times)
    assert len(times) > 40
    assert set(rising[len(times) :]) == {"–"}  # not measured comes last, both ways
    falling = answer["falling"]
    assert isinstance(falling, list)
    assert [milliseconds(text) for text in falling[: len(times)]] == times[::-1]
    assert set(falling[len(times) :]) == {"–"}
    assert (answer["state"], answer["turned"], answer["left"]) == ("ascending", "descending", None)
    names = answer["names"]
    assert isinstance(names, list)
    assert names == sorted(names, key=str.lower)
    filtered = answer["filtered"]
    assert isinstance(filtered, list)
    assert sorted(filtered) == [
        "sdpa_flash Hq9-Hkv3-Sq512-D64-bf16-causal-smollm2",
        "sdpa_flash Hq9-Hkv3-Sq512-D64-fp32-causal-smollm2",
    ]
    assert answer["requests"] == []
    assert answer["overflow"] == 0
    assert brightness(str(answer["page"])) > 240
    assert brightness(str(answer["ink"])) < 120


def test_a_dark_phone(html: str, tmp_path: Path) -> None:
    answer = probed(html, tmp_path, 390, DARK)
    assert answer["width"] == 390
    assert answer["overflow"] == 0
    assert answer["wide"] == []
    assert brightness(str(answer["page"])) < 40
    assert brightness(str(answer["ink"])) > 150
    series = answer["series"]
    assert isinstance(series, list)
    assert not any("var(" in colour for colour in series)
    small = answer["small"]
    assert isinstance(small, (int, float))
    assert small >= 9  # pixels: text of plots stays readable
