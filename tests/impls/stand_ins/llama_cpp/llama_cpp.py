"""llama-cpp-python's model, its ids by a formula, the beginning of the last prompt kept as there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

__version__ = "0.3.36"
VOCABULARY = 97
made: list[Llama] = []


def llama_print_system_info() -> bytes:
    return b"CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 0 | OPENMP = 1 | "


class Llama:
    def __init__(
        self,
        model_path: str,
        *,
        n_ctx: int = 512,
        n_batch: int = 512,
        n_gpu_layers: int = 0,
        n_threads: int | None = None,
        n_threads_batch: int | None = None,
        type_k: int | None = None,
        type_v: int | None = None,
        logits_all: bool = False,
        verbose: bool = True,
    ) -> None:
        self.asked = dict(locals())
        self.n_tokens = self.seed = self.taken = 0
        self.scores = np.full((n_ctx if logits_all else n_batch, VOCABULARY), np.nan, dtype=np.single)
        self.reused: list[int] = []
        self.calls: list[dict[str, Any]] = []
        made.append(self)

    def set_seed(self, seed: int) -> None:
        assert 0 <= seed < 1 << 32
        self.seed = seed

    def reset(self) -> None:
        self.n_tokens = 0

    def eval(self, tokens: Sequence[int]) -> None:
        """Logits after each token: 3 for one that hangs on it and on the one before, 0 for all others."""
        assert self.asked["logits_all"]
        before = 0
        for place, token in enumerate(tokens, self.n_tokens):
            self.scores[place] = 0.0
            self.scores[place, (5 * token + before) % VOCABULARY] = 3.0
            before = token
        self.n_tokens += len(tokens)

    def generate(
        self,
        tokens: Sequence[int],
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
    ) -> Iterator[int]:
        self.calls.append({"top_k": top_k, "top_p": top_p, "min_p": min_p, "typical_p": typical_p, "temp": temp})
        self.reused.append(self.n_tokens)
        self.n_tokens = len(tokens)
        last, drawn = int(tokens[-1]), self.seed if temp > 0 else 0
        while True:
            last = (5 * last + drawn + 1) % VOCABULARY
            yield last
            self.n_tokens += 1
            assert self.n_tokens < self.asked["n_ctx"], "a token was evaluated that none was asked for after"
