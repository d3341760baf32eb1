"""Adds up what the tests of this folder counted, in a line that can be quoted."""

from __future__ import annotations

from collections import Counter
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for operator in ("attention", "attention_backward"):
        counts: Counter[str] = Counter()
        for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
            counted = dict(report.user_properties)
            if report.when == "call" and counted.pop("operator", None) == operator:
                counts.update(counted)
        if counts:
            terminalreporter.write_line(
                f"{operator}, implementations × cases: "
                f"{counts['rejected']} of {counts['broken']} broken rejected, "
                f"{counts['passed']} of {counts['honest']} honest passed"
            )
