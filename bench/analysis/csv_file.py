"""Tables as CSV files that no spreadsheet takes for formulas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.text import printable

if TYPE_CHECKING:
    import pandas as pd

FORMULA = re.compile(r"\s*[=+\-@\t\r\n|%＝＋－＠]")
"""How text begins that a spreadsheet may run; the wide forms of East Asian fonts count as well."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Every cell and heading of text by `harmless`; raises OSError."""
    texts = table.select_dtypes(include=["object", "string"]).columns
    safe = table.assign(**{str(name): table[name].map(harmless) for name in texts})
    safe.columns = [harmless(name) for name in safe.columns]
    safe.to_csv(path, index=False)


def harmless(value: Any) -> Any:
    """Text without what a terminal would obey, and with an apostrophe before what a spreadsheet would run.

    Numbers, also those in text, stay as they are.
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text
