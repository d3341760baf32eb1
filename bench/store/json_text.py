"""Values of a JSON text that was stored, made printable and short."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from attnlab.bench.text import LONGEST_STORED, cleaned

ODD_ESCAPE = re.compile(rb'\\(u[0-9a-fA-F]{4}|[^nt"\\/])')  # what may spell a character that is not printable
DELETE = b"\x7f"


def values_of(text: str) -> Any:
    """The values of a JSON text, `cleaned`; raises ValueError or RecursionError where it is none."""
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        data = json.loads(text)  # NaN and 1e400 are numbers; or it tells what is wrong
    return data if spells_clean(text.encode("utf-8", "surrogatepass")) else cleaned(data)


def spells_clean(text: bytes) -> bool:
    """Whether no value of a JSON text can hold what `cleaned` changes, told by the text alone.

    That is short, plain ASCII, and spells no odd character; a control character as such no JSON text may hold.
    """
    if len(text) > LONGEST_STORED or not text.isascii() or DELETE in text:
        return False
    return b"\\" not in text or all(map(_is_printable, ODD_ESCAPE.findall(text)))


def _is_printable(escape: bytes) -> bool:
    return len(escape) > 1 and chr(int(escape[1:], 16)).isprintable()
