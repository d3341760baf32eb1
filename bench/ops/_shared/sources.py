"""Where the queries, keys and values of a case come from, as an axis: random, outliers, or captured of a model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm import captured

if TYPE_CHECKING:
    from typing import Any

SOURCE_PATTERN = rf"normal|outliers|smollm2(?::\d+:(?:{'|'.join(captured.TEXTS)}))?"


def read_source(value: Any) -> str:
    """`normal`, `outliers`, `smollm2` or `smollm2:LAYER:TEXT`; the default layer and text are dropped."""
    text = str(value)
    if not re.fullmatch(SOURCE_PATTERN, text):
        raise ImpossibleCase(
            f"unknown source of inputs {value!r}; expected normal, outliers, smollm2 or smollm2:LAYER:TEXT "
            f"with a text of {', '.join(captured.TEXTS)}"
        )
    default = f"smollm2:{captured.DEFAULT_LAYER}:{captured.DEFAULT_TEXT}"
    return "smollm2" if text == default else text


def capture_of(source: str) -> tuple[int, str]:
    """Layer and text of a `smollm2…` source."""
    _, _, rest = source.partition(":")
    layer, _, text = rest.partition(":")
    return (int(layer), text) if rest else (captured.DEFAULT_LAYER, captured.DEFAULT_TEXT)
