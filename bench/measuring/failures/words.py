"""What a check found, in lines: the error of each set of inputs, and what is wrong first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from attnlab.bench import units

if TYPE_CHECKING:
    from attnlab.bench.contract.wrong import Wrong
    from attnlab.bench.measuring.failures.replay import ReplayResult
    from attnlab.bench.store.records import SetDeviations


def shares(sets: Iterable[SetDeviations]) -> dict[str, float]:
    """The largest share of its budget that each output takes, and those of what outputs are judged by together."""
    found: dict[str, float] = {}
    for deviation in (deviation for one in sets for deviation in one.deviations):
        name = deviation.output or deviation.name
        found[name] = max(deviation.share_of_budget, found.get(name, 0.0))
    return found


def finding_lines(found: ReplayResult) -> Iterator[str]:
    """Sets of inputs with their errors, then the first row that is wrong."""
    for name, ruling in found.sets:
        told = [f"{output} {units.format_share(share)}" for output, share in shares(ruling.sets).items()]
        yield f"{name}: error of budget {', '.join(told)}" if told else f"{name}: {ruling.reason}"
    if found.wrong is not None:
        yield from wrong_lines(found.wrong)
    elif found.reason is not None and found.sets:
        yield "no single element is wrong: all are judged together"


def wrong_lines(wrong: Wrong) -> Iterator[str]:
    """Where it is, what was expected there, and what was got."""
    yield f"first wrong: {wrong.place}{f' ({wrong.what})' if wrong.what else ''}"
    if wrong.expected:
        yield f"  expected {_numbers(wrong.expected)}"
    yield f"  got      {_numbers(wrong.got)}"
    if wrong.error is not None and wrong.allowed is not None:
        yield f"  error {wrong.error:.2e}, allowed {wrong.allowed:.2e}"


def _numbers(values: Sequence[float]) -> str:
    return "  ".join(f"{value:.6g}" for value in values)
