"""The tokenizer that a case's prompts are written and counted with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnlab.bench.llm.models.prompts import RANDOM
from attnlab.bench.llm.models.sources import PACKAGED
from attnlab.bench.ops.generate.contract import shared_tokenizer

if TYPE_CHECKING:
    from attnlab.bench.llm.models.tokenizer import Tokenizer
    from attnlab.bench.ops.serve.case import ServeCase


def tokenizer_for(case: ServeCase) -> Tokenizer | None:
    """The model's own where it is here, else SmolLM2's, which counts nearly alike; None where prompts are no text.

    Raises ModelUnavailable where neither is here.
    """
    if case.prompts == RANDOM:
        return None
    return shared_tokenizer(case.model if case.has_tokenizer else PACKAGED)
