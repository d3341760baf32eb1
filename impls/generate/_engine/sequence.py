"""What the scheduler of continuous batching hands to the engine: sequences, and chunks of their prefill."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class Sequence:
    """A request's prompt with its answer so far. Of two sequences the one of the smaller request came first.

    token_ids: of the prompt and the answer. new_tokens: of the answer at most. computed_tokens: how many of them, from
    the first on, have keys and values in the pages of `block_table`; all but the last one while it is running.
    cached_tokens: how many of them were found when it was first admitted.
    """

    request: int
    prompt_tokens: int
    token_ids: list[int]
    new_tokens: int
    block_table: list[int] = field(default_factory=list)
    computed_tokens: int = 0
    cached_tokens: int | None = None

    @property
    def output_tokens(self) -> int:
        return len(self.token_ids) - self.prompt_tokens


@dataclass(frozen=True)
class PrefillChunk:
    """A stretch of a sequence that is computed in one pass: its tokens from `start` to `stop`."""

    sequence: Sequence
    start: int
    stop: int

    @property
    def token_ids(self) -> list[int]:
        return self.sequence.token_ids[self.start : self.stop]

    @property
    def last(self) -> bool:
        """Whether the next token can be sampled after it."""
        return self.stop == len(self.sequence.token_ids)
