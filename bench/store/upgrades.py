"""Stored records of earlier schemas, put into the form of today's before they are decoded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from attnlab.bench.store.deviations import Deviation, relative_errors
from attnlab.bench.store.records import SPEED, Outcome

STRICT_SINCE = 5
OTHER_MEASURES = {
    "log-probabilities, in nats": ("RMS error of log-probabilities", "largest error of log-probabilities", "nats"),
    "logits short of the best": ("RMS of what logits fall short", "most that a logit falls short", "logits"),
    "draws, by chi-square and by likelihood, over what is allowed": ("draws by chi-square", "draws by likelihood", ""),
}
"""What stood as errors of an output and was something else, by that output's name: two measures, and their unit."""


def upgraded(measurement: dict[str, Any]) -> dict[str, Any]:
    """The JSON values of a measurement as today's schema has them; what is damaged is left for the decoder to tell.

    Before schema 5 a check had two errors of each output, whatever had been measured, and a result that did not pass
    could have kept how it was timed.
    """
    if measurement.get("schema_version", STRICT_SINCE) >= STRICT_SINCE:
        return measurement
    passed = measurement.get("outcome") == Outcome.PASSED.value
    kept = {name: value for name, value in measurement.items() if passed or name not in SPEED}
    return {**kept, "check": _upgraded_check(kept["check"])} if "check" in kept else kept


def _upgraded_check(check: Any) -> Any:
    try:
        sets = [{"inputs": one["inputs"], "deviations": _deviations(one["figures"])} for one in check["sets"]]
        return {**check, "sets": sets}
    except (KeyError, TypeError):
        return check


def _deviations(figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [asdict(deviation) for figure in figures for deviation in _of_errors(**figure)]


def _of_errors(
    output: str, rms_error: Any, rms_allowed: Any, max_error: Any, max_allowed: Any
) -> tuple[Deviation, ...]:
    rms, largest = (rms_error, rms_allowed), (max_error, max_allowed)
    if output in OTHER_MEASURES:
        first, second, unit = OTHER_MEASURES[output]
        return Deviation(first, *rms, unit), Deviation(second, *largest, unit)
    if rms == largest:  # one quantity, told twice
        return (Deviation(output, *rms),)
    return relative_errors(output, *rms, *largest)
