"""The prompts that a decoder is checked on beside the case's own: random tokens, on which every position counts.

On a text, attention has its favourite keys whatever the positions, and the next token is often certain. After random
tokens neither is so: a shift of one place moves the log-probabilities by many times what rounding does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from attnlab.bench.llm.generation.arrivals import Arrivals
from attnlab.bench.llm.generation.decoding import BEAM, Decoding

if TYPE_CHECKING:
    from attnlab.bench.ops.generate.case import GenerateCase

EXAMS = 3
SHORT, OWN, THIRD = range(EXAMS)
"""Short prompts whose answers cross a page's end; prompts of the case's own length; and of a sampled case many short
answers, of others prompts that end behind a stretch of 64."""

PAGE_TOKENS = 16  # where the layout has none
BEFORE_THE_BORDER = 3  # tokens of a short prompt's page that the answer begins with
LARGEST_SHORT_PAGE = 64
SHORT_TOKENS, STRETCH_TOKENS = 6, 3  # of answers
BEHIND_A_STRETCH = 66  # tokens of a prompt: chunks of 16, 32 and 64 end shortly before its end
MOST_ROWS = 5
OWN_ROWS = 2  # where they are served together
MANY_PROMPT, MANY_TOKENS, MANY_BATCH = 4, 8, 32
MANY_ROWS = 64  # of a call; there are two
MANY_ROWS_OF_SMALL = 256
SMALL_PARAMETERS = 10_000_000


def exam_cases(case: GenerateCase, seed: int) -> tuple[GenerateCase, ...]:
    """The case of the needles of a seed: any three seeds in a row have one of each kind."""
    kind = seed % EXAMS
    if is_many(case, seed):
        return _many_answers(case)
    prompt, new, rows = _short(case) if kind == SHORT else (case.prompt_len, case.new_tokens, min(case.batch, OWN_ROWS))
    if kind == THIRD:
        prompt, new, rows = BEHIND_A_STRETCH, STRETCH_TOKENS, 2
    return (_examined(case, prompt, new, rows, case.batch),)


def is_drawn(decoding: Decoding) -> bool:
    """Whether tokens are drawn at random."""
    return not decoding.greedy and decoding.method != BEAM


def is_short(seed: int) -> bool:
    """Whether needles of that seed have the short prompts, on which faults of engines are tried."""
    return seed % EXAMS == SHORT


def is_many(case: GenerateCase, seed: int) -> bool:
    """Whether needles of that seed are many sampled answers."""
    return seed % EXAMS == THIRD and is_drawn(case.decoding)


def _short(case: GenerateCase) -> tuple[int, int, int]:
    """One row more than a batch, so that one is served after others."""
    page = case.placing.page_tokens or PAGE_TOKENS
    page = page if PAGE_TOKENS <= page <= LARGEST_SHORT_PAGE else PAGE_TOKENS
    return page - BEFORE_THE_BORDER, SHORT_TOKENS, min(case.batch + 1, MOST_ROWS)


def _many_answers(case: GenerateCase) -> tuple[GenerateCase, ...]:
    """In batches, where an implementation serves such; else in the case's own."""
    rows = MANY_ROWS_OF_SMALL if case.config.parameters <= SMALL_PARAMETERS else MANY_ROWS
    batched = _examined(case, MANY_PROMPT, MANY_TOKENS, rows, max(case.batch, MANY_BATCH))
    return batched, replace(batched, batch=case.batch)


def _examined(case: GenerateCase, prompt: int, new: int, rows: int, batch: int) -> GenerateCase:
    """As much of it as the model's context and the pool of pages hold."""
    held = case.config.context_length
    if case.pages and case.placing.page_tokens:
        held = min(held, case.pages * case.placing.page_tokens)
    new = max(1, min(new, held // 2))
    prompt = min(prompt, held - new)
    return replace(
        case,
        prompts="random",
        prompt_len=prompt,
        new_tokens=new,
        requests=rows,
        batch=batch,
        arrivals=Arrivals.read("together"),
    )
