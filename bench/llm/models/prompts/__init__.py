"""Prompts of real text, in sets, cut to exactly as many tokens as a case asks for.

All texts were written for this project and are under its licence.
"""

from __future__ import annotations

from attnlab.bench.llm.models.prompts.prompts import RANDOM, prompt_ids, prompt_sets, prompt_texts, random_ids
from attnlab.bench.llm.models.prompts.texts import PromptSet

__all__ = ["RANDOM", "PromptSet", "prompt_ids", "prompt_sets", "prompt_texts", "random_ids"]
