"""Text of plugins, exceptions and files is printable and short, whatever they do."""

from __future__ import annotations

import json

import pytest

from attnlab.bench.text import (
    LONGEST_BLOCK,
    LONGEST_REASON,
    LONGEST_STORED,
    block,
    brief,
    cleaned,
    command_without,
    one_line,
    printable,
    reason_of,
    shortened,
    traceback_of,
)


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Odd(str):
    def split(self, *_: object) -> list[str]:  # type: ignore[override]
        raise ValueError("no words")


class Subclass(Exception):
    def __str__(self) -> str:
        return Odd("its text")


def test_a_text_that_is_plain_stays_as_it_is() -> None:
    assert printable("µs ± 3 %, 日本\n\tend") == "µs ± 3 %, 日本\n\tend"
    assert one_line(" a\n  b ") == "a b"


@pytest.mark.parametrize("odd", ["\x1b[31m", "\u202e", "\x00", "\x9b", "\u200b", "\u2028", "\r", "\x07"])
def test_what_a_terminal_would_obey_is_a_space(odd: str) -> None:
    assert not set(odd[0]) & set(one_line(f"a{odd}b"))
    assert one_line(f"a{odd}b").isprintable()


def test_half_of_a_surrogate_pair_is_spelled_out() -> None:
    assert printable(b"caf\xe9.cu".decode("utf-8", "surrogateescape")) == r"caf\udce9.cu"


@pytest.mark.parametrize("limit", [1, 50, 600])
def test_of_a_long_text_the_ends_are_left(limit: int) -> None:
    short = shortened("first " + "x" * 10_000_000 + " last", limit)
    assert len(short) <= max(limit, 40)
    if limit == LONGEST_REASON:
        assert short.startswith("first xx")
        assert short.endswith("xx last")
        assert "characters left out" in short


def test_a_long_exception_is_short_in_line_and_traceback() -> None:
    error = raised(RuntimeError("y" * 10_000_000 + "\nlast"))
    assert len(reason_of(error)) <= LONGEST_REASON
    assert reason_of(error).endswith("y last")
    assert reason_of(error).count("left out") == 1
    assert " 9999" in reason_of(error), "of all, not of what was cut before"
    assert len(traceback_of(error)) <= LONGEST_BLOCK
    assert "test_text.py" in traceback_of(error)


def test_an_exception_that_cannot_be_asked_is_told() -> None:
    assert reason_of(raised(Mute())) == "Mute: (its text cannot be had: ValueError)"
    assert reason_of(raised(Subclass())) == "Subclass: its text"
    named = type("Bad\x1b[31m\nName", (Exception,), {})
    assert reason_of(raised(named("x"))) == "Bad [31m Name: x"


def test_values_of_a_file_are_cleaned_with_their_keys() -> None:
    data = json.loads('{"a\\u001b": ["\\ud800", 1.5, null, true], "n": [0.5, 2.5]}')
    assert cleaned(data) == {"a ": [r"\ud800", 1.5, None, True], "n": [0.5, 2.5]}
    assert len(cleaned("x" * 10_000_000)) <= LONGEST_STORED


def test_a_block_keeps_its_lines() -> None:
    assert block("  one\n\x1b[1mtwo\n") == "  one\n [1mtwo\n"


def test_a_brief_text_ends_with_a_sentence() -> None:
    """Of torch's message of exhausted memory what was asked for and what was free is left, its advice is not."""
    asked = "CUDA out of memory. Tried to allocate 48.00 MiB. GPU 0 has 79.18 GiB of which 42.56 MiB is free."
    advice = f" If reserved memory is large try {'setting this ' * 20}. See documentation."
    assert brief(asked + advice) == f"{asked} …"
    assert brief(asked) == asked
    assert brief("x" * 500) == shortened("x" * 500, 200)


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("attnlab run s --shard 1/2 --resume --plugin 'a b'", ["attnlab", "run", "s", "--plugin", "a b"]),
        ("attnlab run s --resume x --shard=1/2", ["attnlab", "run", "s"]),
        ("attnlab run s --resume", ["attnlab", "run", "s"]),
        ("attnlab run 's --resume x", ["attnlab", "run", "'s"]),
        ("attnlab run --shards x", ["attnlab", "run", "--shards", "x"]),
    ],
)
def test_options_are_taken_out_of_a_command(command: str, kept: list[str]) -> None:
    assert command_without(command, "--resume", "--shard") == kept
