"""One thread a test, and what the tests of this folder counted, in a line that can be quoted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These cases are small: threads of several test processes would only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for operator in ("attention", "attention_backward", "decode_attention", "kv_append", "sampling"):
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
