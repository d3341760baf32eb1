"""How far a measurement is: a line for those who look on, and nothing in a file."""

from __future__ import annotations

import io
from typing import Any

import pytest

from attnlab.bench.measuring import runner
from attnlab.bench.measuring.steps import Step
from attnlab.bench.notebook.measured import measure
from attnlab.bench.notebook.progress import ProgressLine
from attnlab.bench.ops.attention.case import AttentionCase

STEP = Step("attention", "mine", AttentionCase(q_len=64), 0, 0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_phase_is_told_and_the_end_clears_the_line() -> None:
    told: list[str] = []
    line = ProgressLine(2, told.append)
    line.begin(STEP)
    line.phase(STEP, "check")
    line.end(STEP, Any)  # type: ignore[arg-type]
    line.phase(STEP, "timing")
    line.close()
    case = STEP.case.id
    assert told == [
        f"1 of 2: mine on attention {case}: begins",
        f"1 of 2: mine on attention {case}: check",
        f"2 of 2: mine on attention {case}: timing",
        "",
    ]


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_terminal_sees_one_line_and_a_file_nothing(
    stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = stream()
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setenv("COLUMNS", "40")
    line = ProgressLine(1)
    line.phase(STEP, "check")
    line.close()
    parts = written.getvalue().split("\r")
    if stream is io.StringIO:
        assert parts == [""]
        return
    assert parts[1].startswith("mine on attention ")
    assert parts[-2].strip() == ""  # cleared
    assert {len(part) for part in parts if part} == {39}


def test_measuring_tells(toy: str, known_ceilings: None, fake_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def double(x: Any) -> Any:
        return x * 2

    monkeypatch.setattr(runner, "clocks_for", lambda *_: (fake_clock((1e6, 1.01e6), "pretend"),))
    written = Terminal()
    monkeypatch.setattr("sys.stderr", written)
    assert measure(double, toy)
    assert "double on toy " in written.getvalue()
    assert ": check" in written.getvalue()
    assert written.getvalue().endswith(" \r")
