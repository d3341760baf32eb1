"""TOML files that users write: what is wrong in one is told by file and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from attnlab.bench.errors import UnknownName, UsageError


def read_toml(path: Path, remedy: str, error: type[UsageError] = UsageError) -> tuple[str, dict[str, Any]]:
    """A file's text, and what it says.

    Raises `error`, with the line, where it is no TOML; and with `remedy` where it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise error(f"{path}:1: not TOML: it is no UTF-8 text ({e.reason} at byte {e.start})") from e
    except OSError as e:
        raise error(f"{path}: cannot be read: {e.strerror}; {remedy}") from e
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        line = re.search(r"line (\d+)", str(e))
        place = line.group(1) if line else len(text.splitlines())
        raise error(f"{path}:{place}: not TOML: {e}") from e


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class TomlFile:
    """A file of top-level keys and of `[[tables]]`, which are told apart by their number, counted from 0."""

    path: Path
    text: str

    tables: ClassVar[str]
    """The name that the tables have."""
    error: ClassVar[type[UsageError]] = UsageError
    """What is raised."""

    def no_other_keys(
        self, table: Mapping[str, Any], keys: Sequence[str], what: str, number: int | None = None
    ) -> None:
        for key in table:
            if key not in keys:
                raise self.wrong(key, str(UnknownName(f"key of {what}", key, keys)), number)

    def expect(self, table: Mapping[str, Any], key: str, kind: type, words: str, number: int | None = None) -> Any:
        """The value of a key, of that type; None where the key is absent."""
        value = table.get(key)
        if value is not None and (not isinstance(value, kind) or (kind is int and not is_whole(value))):
            raise self.unexpected(key, value, words, number)
        return value

    def unexpected(self, key: str, value: object, words: str, number: int | None = None) -> UsageError:
        """The error of a value that is another than expected."""
        return self.wrong(key, f"got {key} = {value!r}; expected {words}", number)

    def wrong(self, key: str, message: str, number: int | None = None) -> UsageError:
        """The error of a key."""
        return self.error(f"{self.at(key, number)}: {message}")

    def at(self, key: str, number: int | None = None) -> str:
        """`file:line` of a key: in the table of that number, else where it first stands."""
        pattern = rf"\s*\[*\s*(?:[\w.]+\.)?[\"']?{re.escape(key)}[\"']?\s*[\].=]"
        return self._place(lambda line: re.match(pattern, line) is not None, number)

    def at_word(self, word: str, number: int | None = None) -> str:
        """`file:line` where a word stands, as a key or as a value."""
        pattern = rf"(?<![\w-]){re.escape(word)}(?![\w-])"
        return self._place(lambda line: re.search(pattern, line.partition("#")[0]) is not None, number)

    def _place(self, fits: Callable[[str], bool], number: int | None) -> str:
        lines = self.text.splitlines()
        starts = [n for n, line in enumerate(lines) if re.match(rf"\s*\[\[\s*{self.tables}\s*\]\]", line)]
        first, end = 0, len(lines)
        if number is not None and number < len(starts):
            first = starts[number]
            end = starts[number + 1] if number + 1 < len(starts) else end
        found = next((n for n in range(first, end) if fits(lines[n])), first)
        return f"{self.path}:{found + 1}"
