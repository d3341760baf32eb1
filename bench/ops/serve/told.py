"""What a call of `serve` hands over to be judged, as tensors of fixed shapes, and back.

Of each request: the ids of its answer where the server told them, the bytes of its text, what usage says, how it ended,
and the words that made its prompt unique.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import TensorSpec
from attnlab.bench.llm.generation.logs import NO_TOKEN
from attnlab.bench.ops.serve import salt as salting

if TYPE_CHECKING:
    from attnlab.bench.ops.serve.case import ServeCase

BYTES_A_TOKEN, BYTES_MORE = 16, 64
"""Room for the text of an answer; of a longer one the beginning is judged, and its length."""
NO_BYTE = -1
UNKNOWN = -1
PROMPT, COMPLETION, FINISH, FAILED, TEXT_BYTES = range(5)
COLUMNS = 5
STOPPED, LENGTH, OTHER = range(3)
FINISHES = {"stop": STOPPED, "length": LENGTH}


@dataclass(frozen=True)
class Told:
    """The answer to one request.

    ids: None where the server told none. text: its bytes, as far as there is room. prompt, completion: tokens by the
    server's usage, None where it says nothing. finish: of `STOPPED`, `LENGTH`, `OTHER`. text_bytes: of the whole text.
    salt: see `salt`.
    """

    ids: tuple[int, ...] | None
    text: bytes
    prompt: int | None
    completion: int | None
    finish: int
    failed: bool
    text_bytes: int
    salt: salting.Salt = salting.NONE


def text_room(case: ServeCase) -> int:
    """Bytes of the text of an answer that are handed over."""
    return BYTES_A_TOKEN * case.most_new + BYTES_MORE


def specs_of(case: ServeCase, prefix: str = "") -> tuple[TensorSpec, ...]:
    """Of `tensors_of`; prefix: of their names."""
    rows = case.requests
    return (
        TensorSpec(f"{prefix}tokens", (rows, case.most_new), torch.int64),
        TensorSpec(f"{prefix}text", (rows, text_room(case)), torch.int16),
        TensorSpec(f"{prefix}told", (rows, COLUMNS), torch.int64),
        TensorSpec(f"{prefix}words", (rows, salting.LENGTH), torch.int64),
    )


def tensors_of(case: ServeCase, told: Sequence[Told]) -> tuple[Tensor, ...]:
    """tokens int64 [R, N], −1 behind an answer's ids; text int16 [R, M], −1 behind its bytes; told int64 [R, 5]; words
    int64 [R, 6]. More ids than were asked for are cut off here, and show in `told`.
    """
    room = text_room(case)
    tokens = torch.full((len(told), case.most_new), NO_TOKEN)
    text = torch.full((len(told), room), NO_BYTE, dtype=torch.int16)
    numbers = torch.zeros((len(told), COLUMNS), dtype=torch.int64)
    for row, one in enumerate(told):
        ids = list(one.ids or ())[: case.most_new]
        tokens[row, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
        shown = one.text[:room]
        if shown:
            text[row, : len(shown)] = torch.frombuffer(bytearray(shown), dtype=torch.uint8).to(torch.int16)
        counts = [UNKNOWN if n is None else n for n in (one.prompt, one.completion)]
        numbers[row] = torch.tensor([*counts, one.finish, int(one.failed), one.text_bytes])
    words = torch.tensor([one.salt for one in told], dtype=torch.int64).reshape(len(told), salting.LENGTH)
    return tokens, text, numbers, words


def told_in(outputs: Sequence[Tensor]) -> list[Told]:
    """What tensors hold, as `tensors_of` made them. Raises ValueError where that cannot be."""
    tokens, text, numbers, words = (x.cpu().tolist() for x in outputs)
    found = []
    for row, (ids, letters, told, salt) in enumerate(zip(tokens, text, numbers, words, strict=True)):
        known = [index for index in ids if index != NO_TOKEN]
        if ids[: len(known)] != known:
            raise ValueError(f"the ids of request {row} have holes")
        shown = [letter for letter in letters if letter != NO_BYTE]
        if letters[: len(shown)] != shown or not all(0 <= letter < 256 for letter in shown):
            raise ValueError(f"the text of request {row} is none of bytes")
        prompt, completion = (None if n < 0 else int(n) for n in told[:FINISH])
        found.append(
            Told(
                ids=tuple(known) or None,
                text=bytes(shown),
                prompt=prompt,
                completion=completion,
                finish=int(told[FINISH]),
                failed=bool(told[FAILED]),
                text_bytes=int(told[TEXT_BYTES]),
                salt=salting.checked(tuple(salt)),
            )
        )
    return found
