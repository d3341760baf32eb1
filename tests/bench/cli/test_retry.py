"""What is measured again says what it was; memory is given as people write it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from attnlab.bench.cli._resume import Remembering
from attnlab.bench.cli.run import read_memory
from attnlab.bench.errors import UsageError
from attnlab.bench.store.records import Measurement, Outcome


def test_a_result_that_is_tried_again_says_what_it_was() -> None:
    kept: list[Measurement] = []
    writer: Any = SimpleNamespace(append=kept.append)
    before = Measurement("toy", "one", {"n": 8}, "N8", Outcome.WRONG_VALUES, reason="far off")
    sink = Remembering(writer, {before.key: before})
    again = Measurement("toy", "one", {"n": 8}, "N8", Outcome.PASSED, flags=("noisy",))
    other = Measurement("toy", "one", {"n": 9}, "N9", Outcome.PASSED)
    for m in (again, other):
        sink.append(m)
    sink.append(kept[0])  # as its turns are stored later
    said = ("noisy", "measured again (before: wrong_values: far off)")
    assert [m.flags for m in kept] == [said, (), said]


def test_retry_needs_a_run(cli) -> None:
    ended = cli("run", "attention", "--retry")
    assert ended.code == 2
    assert "got --retry without --resume; name the run of which to measure again what did not pass" in ended.err


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("8GiB", 8 << 30),
        ("2gb", 2_000_000_000),
        ("1.5 GiB", 3 << 29),
        ("4096MiB", 4 << 30),
        ("1T", 10**12),
        ("2000000000", 2 * 10**9),
        ("2000000000B", 2 * 10**9),
    ],
)
def test_memory_is_read_with_its_unit(text: str, size_bytes: int) -> None:
    assert read_memory(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "8", "1MB", "-8GiB", "8GiBB", "8 lots", "nan", "inf", "1e12", "9" * 15 + "T", "８GiB"]
)
def test_what_is_no_memory_is_told(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected 1\.00 GiB or more, such as 8GiB or 12000MB"):
        read_memory(text)
