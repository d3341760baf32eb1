"""Answers that follow a JSON schema: at each place the tokens that may come, by llguidance's masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.models.tokenizer import Tokenizer
from attnlab.bench.server.refusal import Refusal

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from torch import Tensor

MOST_BYTES = 128 * 1024  # of a schema: others wait while its grammar is made
SPACE = r"[ \n]?"  # between parts of JSON: a model that is fond of spaces must not write nothing else


class GrammarError(UsageError):
    """An answer cannot be gone on with as its schema says."""


class Grammars:
    """Masks for one vocabulary, which is looked at when the first schema comes: that takes a moment."""

    def __init__(self, tokenizer: Tokenizer, eos_ids: Iterable[int]) -> None:
        self._tokenizer, self._eos_ids = tokenizer, sorted(eos_ids)

    def mask_of(self, schema: dict[str, Any]) -> GrammarMask:
        """The mask of one answer. Raises Refusal for a schema that is none, or is not served."""
        from llguidance import LLMatcher, LLParserLimits

        size = len(msgspec.json.encode(schema))
        if size > MOST_BYTES:
            raise _refused(f"it has {size} bytes, and at most {MOST_BYTES} are looked at")
        options: Any = {"whitespace_flexible": True, "whitespace_pattern": SPACE}
        try:
            grammar = LLMatcher.grammar_from_json_schema(schema, overrides=options)
        except ValueError as error:
            raise _refused(str(error)) from None
        matcher = LLMatcher(self._vocabulary, grammar, log_level=0, limits=LLParserLimits(verbose_errors=False))
        if not matcher.is_error():
            matcher.compute_bitmask()  # some schemas, such as one that is only itself, fail here
        if matcher.is_error():
            raise _refused(matcher.get_error())
        return GrammarMask(matcher, self._tokenizer.vocab_size)

    @cached_property
    def _vocabulary(self) -> LLTokenizer:
        from llguidance import LLTokenizer, TokenizerWrapper

        if not self._eos_ids:
            raise _refused("the model has no token that ends a text")
        tokenizer = self._tokenizer
        spelt = _Vocabulary(
            eos_token_id=self._eos_ids[0],
            bos_token_id=tokenizer.bos_id,
            tokens=[tokenizer.token_bytes(index) for index in range(tokenizer.vocab_size)],
            special_token_ids=sorted({*tokenizer.special.values(), *self._eos_ids}),
            tokenizer=tokenizer,
        )
        return LLTokenizer(TokenizerWrapper(spelt), eos_token=self._eos_ids)


class GrammarMask:
    """A `TokenMask`: what may follow in one answer."""

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher, self._vocab_size = matcher, vocab_size

    def allowed(self) -> Tensor:
        import numpy as np
        import torch

        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        return torch.from_numpy(np.unpackbits(bits, count=self._vocab_size, bitorder="little")).bool()

    def accept(self, token: int) -> None:
        self._matcher.consume_token(token)
        self._check()

    @property
    def ended(self) -> bool:
        return self._matcher.is_stopped()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarError(f"the answer cannot follow its schema: {_first_line(self._matcher.get_error())}")


@dataclass(frozen=True, eq=False)
class _Vocabulary:
    """A vocabulary as llguidance wants it described."""

    eos_token_id: int
    bos_token_id: int | None
    tokens: list[bytes]
    special_token_ids: list[int]
    tokenizer: Tokenizer

    def __call__(self, text: bytes) -> list[int]:
        return self.tokenizer.encode(text.decode(errors="replace"), plain=True)


def _refused(reason: str) -> Refusal:
    return Refusal(
        f"got a schema that is not served: {_first_line(reason)}; expected one that llguidance takes",
        param="response_format",
        code="invalid_schema",
    )


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
