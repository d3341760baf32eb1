"""Cases and inputs of operator `perplexity`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from attnlab.bench.contract.axes import axis, dtype_axis, like, size
from attnlab.bench.contract.operator_spec import constant, dynamic
from attnlab.bench.errors import ImpossibleCase, UsageError
from attnlab.bench.llm.caches import format_of, layout_of
from attnlab.bench.llm.captured import texts as captured
from attnlab.bench.llm.generation.stored import Q4_1, SAME
from attnlab.bench.llm.models.sources import PACKAGED, is_path
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.llm.quality.texts import RANDOM, RANDOM_TOKENS, TEXTS, tokens_of
from attnlab.bench.llm.quantization.coding import weight_format
from attnlab.bench.ops._shared.caching import format_axis
from attnlab.bench.ops._shared.typed import TypedCase
from attnlab.bench.ops.generate.case import check_weights, config_of, model_axis, one_of, recipe_of, weights_axis

if TYPE_CHECKING:
    from attnlab.bench.llm.caches import Format, Layout
    from attnlab.bench.llm.models.config import ModelConfig
    from attnlab.bench.llm.quantization.recipe import Recipe


@dataclass(frozen=True)
class PerplexityCase(TypedCase):
    """One model, how its weights and its cache are stored, and the windows of a text that it reads."""

    kind = "perplexity"

    model: str = model_axis()
    text: str = axis(
        pattern="|".join(TEXTS),
        read=one_of(*TEXTS),
        help="prose, code; prompts, the documents of all prompts; random, ids of no text",
        default="prose",
        shown=True,
    )
    window: int = size("W", help="tokens that are read together, from position 0 on", default=512)
    stride: int = size(
        "S",
        help="tokens from the beginning of a window to that of the next: so many last ones of each are scored",
        default=like("window"),
    )
    windows: int = size("n", help="windows of the text that the figures of quality are of", default=8)
    batch: int = size("B", help="windows that a call scores", default=1)
    cache: str = format_axis()
    dtype: str = dtype_axis("float32")
    weights: str = weights_axis()

    def validate(self) -> None:
        if self.window < 2:
            raise ImpossibleCase(f"got window={self.window}; expected 2 or more: a token is scored by those before it")
        if self.stride > self.window:
            raise ImpossibleCase(f"got stride={self.stride} with window={self.window}; expected at most the window")
        if self.window > self.config.context_length:
            raise ImpossibleCase(
                f"got window={self.window}; expected at most {self.config.context_length}, the context of {self.model}"
            )
        for codec in (self.format.keys, self.format.values):
            reason = codec.refuses(self.config.head_dim)
            if reason is not None:
                raise ImpossibleCase(reason)
        try:
            self.config.settled(self.window, self.window)
        except UsageError as error:
            raise ImpossibleCase(f"{self.model}: {error}") from error
        self._validate_text()
        check_weights(self.weights, self.model)

    def _validate_text(self) -> None:
        if self.text != RANDOM and not is_path(self.model) and self.model != PACKAGED:
            raise ImpossibleCase(
                f"got text={self.text} of {self.model}, which has random weights and no tokenizer; expected {RANDOM}"
            )
        known = {RANDOM: RANDOM_TOKENS}
        if self.model == PACKAGED:
            known |= {text: captured.longest(text) for text in captured.TEXTS}
        if self.text in known and self.tokens > known[self.text]:
            raise ImpossibleCase(
                f"got windows={self.windows}, which take {self.tokens} tokens of {self.text}; it has "
                f"{known[self.text]}: expected fewer windows, or a smaller window or stride"
            )

    def files(self) -> dict[str, Path]:
        """A model that is given by path, and an assignment of formats."""
        return {
            name: Path(value).expanduser() for name in ("model", "weights") if is_path(value := getattr(self, name))
        }

    @property
    def scored(self) -> int:
        """Tokens of each window that are scored: the first of all has none before it."""
        return min(self.stride, self.window - 1)

    @property
    def tokens(self) -> int:
        """That the windows take of the text."""
        return tokens_of(self.window, self.stride, self.windows)

    @property
    def config(self) -> ModelConfig:
        return config_of(self.model)

    @property
    def recipe(self) -> Recipe | None:
        """How the weights are stored; None where they are in the dtype, or as the packaged file has them."""
        return recipe_of(self.weights)

    @property
    def codes_activations(self) -> bool:
        """Whether what products are given becomes codes beforehand."""
        if self.recipe is None:
            return self.weights == Q4_1
        formats = {*self.recipe.formats(self.config).values(), self.recipe.head} - {SAME}
        return any(weight_format(name).activations != "same" for name in formats)

    @property
    def placing(self) -> Layout:
        """Of the cache: one block for each window."""
        return layout_of("contiguous_bhsd")

    @property
    def format(self) -> Format:
        """Of the cache."""
        return format_of(self.cache)


@dataclass(frozen=True)
class PerplexityInputs:
    """Inputs of perplexity.

    ids: int64 [B, W], windows of a text, each of which is read from position 0 on and sees nothing of the others.
    weights: see `ModelWeights`. scored: how many last tokens of each window are scored. What `run` returns are natural
    logarithms of the probabilities that the model gives them, float32 [B, scored]. Where the case has a format of the
    cache, every token sees keys and values as they come back from it, its own too; steps that are set once are set from
    the window.
    """

    ids: Tensor = dynamic("windows of a text, int64 [B, W]")
    weights: ModelWeights = constant("the model, in the case's dtype")
    scored: int = constant("tokens of each window that are scored")
    probed: bool = constant("whether costly wrong results are tried on it, too", default=False)
