"""Why outputs are not accepted, or could not be judged."""

from __future__ import annotations

from attnlab.bench.errors import AttnlabError
from attnlab.bench.store.records import Outcome

STALE = "the output of a timed call is that of earlier inputs: a result was kept"
CHANGING = "inputs are renewed before each timed call: a part was kept from an earlier one, or calls are not alike"
LATE = "its output changed after it had returned: something went on computing, where no clock sees it"


SHARED_OUTPUT = (
    "the output of a call was overwritten by a call on other inputs: both lie in one buffer; expected an output of its "
    "own for each set of inputs, made in prepare or in run, or static_output=True declared"
)
ROUNDED = {
    None: "scores kept in float32",
    "scores": "scores rounded to the dtype before and after scaling, as transformers' eager attention has them",
    "scaled_scores": "scores rounded to the dtype after scaling",
}


def rounded_otherwise(declared: str | None, found: str | None) -> str:
    """What is said where outputs are right for another rounding than was declared."""
    fits = f"the output fits {ROUNDED.get(found, found)}"
    if found is None:
        return f"{fits}: leave rounds={declared!r} out"
    return f"{fits}: keep what the contract asks for, or declare rounds={found!r}, which is shown beside its figures"


class Rejected(Exception):
    """An output that the contract does not accept."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


class NotJudged(AttnlabError):
    """The check itself could not be made, which is no fault of the implementation; `detail` is a traceback."""

    def __init__(self, reason: str, detail: str | None = None) -> None:
        super().__init__(f"the check could not be made: {reason}")
        self.detail = detail
