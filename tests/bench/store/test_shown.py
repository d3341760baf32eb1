"""A stored run as a notebook shows it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from attnlab.bench import Outcome, StoredRun, read_run

RUN = Path(__file__).parents[3] / "results" / "20261122-081015-quick"


def test_a_run_is_a_line_and_a_table_with_verdicts_first() -> None:
    stored = read_run(str(RUN))
    assert repr(stored).startswith(f"StoredRun({RUN}: suite quick, 2026-11-22, Intel")
    html = ET.fromstring(stored._repr_html_())
    assert [cell.text for cell in html.iter("th")][:4] == ["verdict", "operator", "case", "implementation"]
    rows = list(html.iter("tr"))[1:]
    assert {row[0].text for row in rows} == {"passed"}
    assert len(rows) == sum(m.outcome is Outcome.PASSED for m in stored.measurements)
    told = [line.text or "" for line in html.iter("p")][1:]
    (gpu,) = (line for line in told if line.endswith(": needs an NVIDIA GPU"))
    assert gpu.startswith("unavailable: ")
    assert "flash_attn, " in gpu
    naive = next(row for row in rows if row[3].text == "naive" and row[2].text == "Hq9-Hkv3-Sq256-bf16-causal-smollm2")
    assert naive[4].text == "4.58 ms"


def test_texts_of_a_run_are_no_markup() -> None:
    stored = read_run(RUN)
    hostile = "<img src=x onerror=alert(1)>\u202e" + "x" * 400
    one = replace(stored.measurements[0].fail(hostile), implementation=hostile, operator="<b>", outcome=Outcome.FAILED)
    shown = StoredRun(Path("a<b>"), replace(stored.run, suite=hostile), (one,))._repr_html_()
    html = ET.fromstring(shown)
    assert html.find(".//img") is None
    assert html.find(".//b") is None
    assert "\u202e" not in shown
    assert max(len(cell.text or "") for cell in html.iter("td")) < 320


def test_a_run_of_nothing_is_a_line() -> None:
    stored = replace(read_run(RUN), measurements=())
    assert repr(stored).endswith("0 results)")
    assert ET.fromstring(stored._repr_html_()).find(".//table") is None
