"""What a test has to say beside its outcome: travels with its report between processes, and is summed up."""

from __future__ import annotations

from collections import Counter

import pytest

UNTIMED = "attnlab_untimed"
FLAG = "attnlab_flag"
RUN = "attnlab_run"
PROFILED = "attnlab_profile"  # said when a test is torn down, and known whether it passed


def note(item: pytest.Item, kind: str, text: str) -> None:
    """Say it once a test; JUnit's XML has it as a property too."""
    if (kind, text) not in item.user_properties:
        item.user_properties.append((kind, text))


def summarise(reporter: pytest.TerminalReporter) -> None:
    """A section of the terminal's summary; nothing where no test has anything to say."""
    said: Counter[tuple[str, str]] = Counter()
    for reports in reporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                said.update((kind, str(text)) for kind, text in report.user_properties if kind in (UNTIMED, FLAG, RUN))
            elif isinstance(report, pytest.TestReport) and report.when == "teardown":
                said.update((kind, str(text)) for kind, text in report.user_properties if kind == PROFILED)
    if not said:
        return
    reporter.write_sep("=", "attnlab")
    for kind, words in ((UNTIMED, "not timed"), (FLAG, "flagged")):
        for (_, text), count in sorted(entry for entry in said.items() if entry[0][0] == kind):
            reporter.write_line(f"{words} [{count}]: {text}")
    for (_, folder), count in sorted(entry for entry in said.items() if entry[0][0] == RUN):
        reporter.write_line(f"stored [{count}]: {folder}")
    for _, text in sorted(entry for entry in said if entry[0] == PROFILED):
        reporter.write_line(f"profile: {text}")
