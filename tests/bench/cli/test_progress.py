"""Progress: a bar with what is running on a terminal, a line for each measurement elsewhere."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from attnlab.bench.cli._progress import Bar, Lines, describe, make_progress
from attnlab.bench.store.records import Measurement, Outcome

BLANK = Measurement("toy", "plus", {"n": 8}, "N8", Outcome.PASSED)

SHOW = """
import sys
from types import SimpleNamespace
from attnlab.bench.cli._progress import make_progress
from attnlab.bench.store.records import Measurement, Outcome
steps = [SimpleNamespace(operator="toy", implementation=name, case=SimpleNamespace(id="N8"), rounds=0)
         for name in ("plus", "[red]times[/x]")]
class Left:
    left = lambda self, now_s: 75.0
    begin = phase = end = lambda self, *_: None
with make_progress(2, quiet=False, left=Left() if sys.stderr.isatty() else None) as progress:
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
    assert "1 min 15 s left" in text


class Clockwork:
    """Knows of each event how much is left: ten seconds less for each."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def begin(self, now_s: float) -> None:
        self.events.append("begin")

    def phase(self, step: object, phase: str, now_s: float) -> None:
        self.events.append(phase)

    def burst(self, step: object, now_s: float) -> None:
        self.events.append("burst")

    def end(self, step: object, measurement: Measurement, now_s: float) -> None:
        self.events.append("end")

    def turn(self, number: int, now_s: float) -> None:
        self.events.append(f"turn {number}")

    def left(self, now_s: float) -> float:
        return 100.0 - 10 * len(self.events)


def test_lines_say_how_much_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the last step nothing is."""
    step = SimpleNamespace(operator="toy", implementation="plus", case=SimpleNamespace(id="N8"), rounds=2)
    clockwork: Any = Clockwork()
    with Lines(2, quiet=False, left=clockwork) as progress:
        progress.begin(step)  # type: ignore[arg-type]
        progress.phase(step, "check")  # type: ignore[arg-type]
        progress.phase(step, "round 1 of 2")  # type: ignore[arg-type]
        progress.end(step, BLANK)  # type: ignore[arg-type]
        progress.turn(1, 6, BLANK)
        progress.end(step, BLANK)  # type: ignore[arg-type]
    assert clockwork.events == ["begin", "check", "burst", "end", "turn 1", "end"]
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] toy/plus N8: passed; about 1 min left",
        "round 1 of 6 in fresh processes; about 50 s left",
        "[2/2] toy/plus N8: passed",
    ]


def test_a_bar_counts_down_between_events_to_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    clockwork: Any = Clockwork()
    monkeypatch.setattr(clockwork, "left", lambda now_s: 60.0 if now_s < math.inf else 20.0, raising=False)
    bar = Bar(2, clockwork)
    shown = []
    for seconds in (0.0, 30.0, 30.0):
        bar._looked_s -= seconds
        shown.append(bar.left_words())
    assert shown == ["1 min left", "30 s left", "20 s left"]


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
