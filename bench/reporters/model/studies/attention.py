"""Variants of attention over a prompt: what each costs, by implementation."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.studies._variants import study_of

OPERATOR = "attention"


def make(results: Sequence[Result]) -> Study | None:
    """None where no shape was timed both plain and with a variant."""
    return study_of(ATTENTION, results)
