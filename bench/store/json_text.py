"""Values of a JSON text that was stored, made printable and short."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from attnlab.bench.text import LONGEST_STORED, cleaned

ODD_ESCAPE = re.compile(r'\\[^nt"\\/]')  # what may spell a character that is not printable


def values_of(text: str) -> Any:
    """The values of a JSON text, `cleaned`; raises ValueError or RecursionError where it is none."""
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        data = json.loads(text)  # NaN and 1e400 are numbers; or it tells what is wrong
    return data if _spells_clean(text) else cleaned(data)


def _spells_clean(text: str) -> bool:
    """Whether no value can hold what `cleaned` changes, told by the text alone: that is short, and plain ASCII."""
    return len(text) <= LONGEST_STORED and text.isascii() and text.isprintable() and not ODD_ESCAPE.search(text)
