"""Which names of runs stand in the texts of a folder, as in reports."""

from __future__ import annotations

import html
import os
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

from attnlab.bench.errors import StoreError

WORD = re.compile(r"[\w.+-]+")
"""What a run's id is made of."""

ESCAPED = re.compile(r"\\(?=[^a-zA-Z0-9\s])")  # of a mark, as Markdown and JSON write it
SPELLING = re.compile(r"[\\&%]")  # what begins a character that is spelled out
LOOKED_AT = 8192  # bytes, of which none is zero in a text


def mentions(names: Set[str], places: Sequence[Path]) -> dict[str, str]:
    """Each of these names that a text in one of the places has, and which file that is.

    A place is a file, or a folder with all below it; links are followed. Raises StoreError where one cannot be read.
    """
    found: dict[str, str] = {}
    for place in places:
        for file in _files(place):
            if (text := _text(file)) is not None:
                found |= dict.fromkeys(_in_text(names - found.keys(), text), f"named in {file}")
    return found


def _files(place: Path) -> Iterator[Path]:
    """Each file once; no folder is looked into twice, so that links in a circle have an end."""
    if not place.is_dir():
        yield place
        return
    seen: set[str] = set()
    for folder, inner, files in os.walk(place, onerror=_unreadable, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner.sort()
        yield from (Path(folder, name) for name in sorted(files))


def _text(file: Path) -> str | None:
    """None of a picture or another file that is no text, and of what is no file."""
    if not file.is_file():
        return None
    try:
        content = file.read_bytes()
    except OSError as error:
        _unreadable(error, file)
    return None if b"\0" in content[:LOOKED_AT] else content.decode(errors="replace")


def _unreadable(error: OSError, file: Path | None = None) -> NoReturn:
    raise StoreError(
        f"{file or error.filename} cannot be read: {error.strerror}; what it names is not known, so nothing is removed"
    ) from error


def _in_text(names: Set[str], text: str) -> Iterator[str]:
    """Those that the text has as a word, or as the beginning of one: one too many is kept rather than one too few."""
    plain = ESCAPED.sub("", html.unescape(unquote(text))) if SPELLING.search(text) else text
    words = sorted({*WORD.findall(text), *(WORD.findall(plain) if plain is not text else ())})
    for name in names:
        if WORD.fullmatch(name):
            place = bisect_left(words, name)
            if place < len(words) and words[place].startswith(name):
                yield name
        elif name in text or name in plain:
            yield name
