"""Variants of attention over a cache: what each costs, by implementation."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench.ops.decode_attention.contract import DECODE_ATTENTION
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.studies._variants import study_of

OPERATOR = "decode_attention"


def make(results: Sequence[Result]) -> Study | None:
    """None where no shape was timed both plain and with a variant."""
    return study_of(DECODE_ATTENTION, results)
