"""Tables of text: plain lines, and what rich draws where there is no terminal."""

from __future__ import annotations

import pytest

from attnlab.bench import text_table


def test_columns_are_as_wide_as_their_widest_cell_and_end_without_blanks() -> None:
    rows = [("a", "what", ""), ("longer", "b", "x" * 300), ("", "", "")]
    assert list(text_table.columns(rows)) == ["a       what", f"longer  b     {'x' * 300}", ""]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        list(text_table.columns([("a", "b"), ("c",)]))


def test_a_pipe_gets_no_colour_no_lines_and_the_width_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    table = text_table.table("title", "bold")
    table.add_column("name", no_wrap=True)
    table.add_column("what")
    table.add_row("one", "y" * 120)
    text_table.console(140).print(table)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "title",
        f"name{'':2}what",
        f"one{'':3}{'y' * 120}",
    ]
