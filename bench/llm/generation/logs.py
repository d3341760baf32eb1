"""What one call of `generate` says of itself: its requests as they came, its passes, and what it counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

PASSES = ("prefill", "decode", "draft", "verify")
"""What the model runs for: a stretch of a prompt, one token a sequence, guesses, or several tokens to be judged."""

NO_TOKEN = -1
"""What stands in an answer where a request that failed has no token."""

FAILED = "failed"


@dataclass(frozen=True)
class RequestLog:
    """One request: times in nanoseconds since the call began, tokens counted up from 1.

    arrival_ns: when it was due, whether or not it could be looked at. times_ns, tokens: the number of tokens of the
    answer that had arrived at each time, rising. tokenise_ns: what turning its text into ids took; first_sample_ns:
    what choosing its first token from the logits took; None where not known apart. ids: the tokens as they came, None
    where only their number was told; they are not stored. numbers_only: whether that is so, and when its tokens came
    is therefore not known. failure: why it has no answer, None where it has one.
    """

    arrival_ns: float
    prompt_tokens: int
    times_ns: tuple[float, ...]
    tokens: tuple[int, ...]
    tokenise_ns: float | None = None
    first_sample_ns: float | None = None
    ids: tuple[int, ...] | None = field(default=None, compare=False)
    failure: str | None = None
    numbers_only: bool = False

    @cached_property
    def chunks(self) -> tuple[tuple[float, int], ...]:
        """(time, tokens of the answer by then) of each arrival of tokens.

        An event without a new token is none, and all tokens of one time are one chunk. None of a request that failed;
        one, at the end, of a request of whose tokens only the number was told.
        """
        found: dict[float, int] = {}
        before = 0
        for time_ns, count in zip(self.times_ns, self.tokens, strict=True) if self.failure is None else ():
            if count > before:
                found[time_ns] = before = count
        return tuple(found.items())[-1 if self.numbers_only else 0 :]

    @property
    def answered(self) -> bool:
        return bool(self.chunks)


@dataclass(frozen=True)
class Pass:
    """One run of the model: its kind (one of `PASSES`), how long it took, and the bytes that it had to read.

    rows: tokens that went in, over all sequences. drafted, accepted: guesses that a verify pass judged and let through,
    by sequence; () of other passes.
    """

    kind: str
    elapsed_ns: float
    read_bytes: float
    rows: int
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()


@dataclass(frozen=True)
class CallLog:
    """What one call of `generate` did: its requests, its passes, and quantities counted once a call.

    counts: by name, such as `preemptions` or `cache` (bytes of the key-value cache); units stand in `events.UNITS`.
    """

    requests: tuple[RequestLog, ...]
    passes: tuple[Pass, ...] = ()
    counts: dict[str, float] = field(default_factory=dict)
