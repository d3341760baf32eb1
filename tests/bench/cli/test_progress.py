"""Progress: a bar with what is running on a terminal, a line for each measurement elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from attnlab.bench.cli._progress import Lines, describe, make_progress
from attnlab.bench.store.records import Measurement, Outcome

BLANK = Measurement("toy", "plus", {"n": 8}, "N8", Outcome.PASSED)

SHOW = """
from types import SimpleNamespace
from attnlab.bench.cli._progress import make_progress
from attnlab.bench.store.records import Measurement, Outcome
steps = [SimpleNamespace(operator="toy", implementation=name, case=SimpleNamespace(id="N8"))
         for name in ("plus", "[red]times[/x]")]
with make_progress(2, quiet=False) as progress:
    for step in steps:
        progress.begin(step)
        progress.phase(step, "timing")
        progress._bar.refresh() if hasattr(progress, "_bar") else None
        progress.end(step, Measurement("toy", step.implementation, {"n": 8}, "N8", Outcome.PASSED, median_ns=1500.0))
"""


def test_lines_where_there_is_no_terminal() -> None:
    ended = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    assert ended.stdout == ""
    assert ended.stderr == "[1/2] toy/plus N8: passed, 1.50 µs\n[2/2] toy/[red]times[/x] N8: passed, 1.50 µs\n"


def test_a_bar_on_a_terminal() -> None:
    pty = pytest.importorskip("pty")
    parent, terminal = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", SHOW],
        stderr=terminal,
        stdout=subprocess.PIPE,
        check=True,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(parent, 1 << 16):
            shown += chunk
    except OSError:  # Linux: the other end is closed
        pass
    os.close(parent)
    text = shown.decode()
    assert "0/2" in text
    assert "2/2" in text
    assert "plus N8: timing" in text
    assert "[red]times[/x] N8: timing" in text, "names are shown as they are"
    assert "left" in text


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = make_progress(1, quiet=True)
    assert isinstance(progress, Lines)
    with progress:
        progress.end(None, BLANK)  # type: ignore[arg-type]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"median_ns": 1500.0}, "passed, 1.50 µs"),
        ({"untimed": "interpreted"}, "passed: not timed: interpreted"),
        ({"outcome": Outcome.FAILED, "reason": "exit code 3"}, "failed: exit code 3"),
        ({"outcome": Outcome.TIMED_OUT}, "timed_out"),
    ],
)
def test_a_measurement_in_few_words(fields: dict[str, object], text: str) -> None:
    from dataclasses import replace

    assert describe(replace(BLANK, **fields)) == text  # type: ignore[arg-type]
