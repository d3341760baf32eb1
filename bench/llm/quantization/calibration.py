"""What the linear layers of a model are given while it reads texts, and the texts that methods are calibrated on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.models import reference
from attnlab.bench.llm.models.load import load_tokenizer
from attnlab.bench.llm.models.prompts import random_ids
from attnlab.bench.llm.models.prompts.texts import SETS
from attnlab.bench.llm.models.sources import resolve
from attnlab.bench.llm.models.weights import ModelWeights

if TYPE_CHECKING:
    from attnlab.bench.llm.models.config import ModelConfig
    from attnlab.bench.llm.models.tokenizer import Tokenizer

Kind = Literal["attention", "output", "mlp", "down"]
FIELDS: dict[Kind, tuple[str, ...]] = {
    "attention": ("query", "key", "value"),
    "output": ("output",),
    "mlp": ("gate", "up"),
    "down": ("down",),
}
"""The inputs of a layer's projections, and the fields of `LayerWeights` that each is multiplied by."""

TOKENS_A_TEXT, CALIBRATION_TOKENS = 512, 4096


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """What the projections of one layer are given, [T, K] each in the dtype of the pass, one text after another."""

    attention: Tensor  # of query, key and value, [T, H]
    output: Tensor  # [T, Hq * D]
    mlp: Tensor  # of gate and up, [T, H]
    down: Tensor  # [T, I]

    def of(self, kind: Kind) -> Tensor:
        """Those of one entry of `FIELDS`."""
        inputs: Tensor = getattr(self, kind)
        return inputs


def read_layer(layer: reference.Layer, hidden: Tensor) -> tuple[LayerInputs, Tensor]:
    """What the projections of a layer are given that gets `hidden` [B, S, H], and what it hands on, [B, S, H]."""
    kept: list[list[Tensor]] = []
    outputs = []
    for row in hidden:
        given: list[Tensor] = []

        def keep(x: Tensor, given: list[Tensor] = given) -> Tensor:
            given.append(x[0])
            return x

        outputs.append(reference.decode(layer, row[None], None, rounded=keep)[0])
        kept.append(given)
    attention, output, mlp, down = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return LayerInputs(attention, output, mlp, down), torch.cat(outputs)


@torch.no_grad()
def layer_inputs(weights: ModelWeights, ids: Tensor, layers: int | None = None) -> Iterator[LayerInputs]:
    """What the projections of each of the first `layers` layers are given, in float32, while texts [B, S] are read."""
    ids = reference.checked_ids(weights.config, ids.to(weights.device))
    config = weights.config.settled(ids.shape[1], ids.shape[1])
    hidden = reference.embedded(weights, ids, torch.float32)
    for index, stored in enumerate(weights.layers[:layers]):
        layer = reference.Layer(stored.to(weights.device, torch.float32), config, index)
        inputs, hidden = read_layer(layer, hidden)
        yield inputs


def ids_to_calibrate(model: str, config: ModelConfig, tokens: int = CALIBRATION_TOKENS) -> Tensor:
    """`calibration_ids` for a model by name or path; random ones where it has no tokenizer, as its weights are."""
    if resolve(model).path is not None:
        return calibration_ids(load_tokenizer(model), tokens)
    length = min(TOKENS_A_TEXT, config.context_length)
    return random_ids(config.vocab_size, max(1, tokens // length), length)


def calibration_ids(tokenizer: Tokenizer, tokens: int | None = None) -> Tensor:
    """Token ids [B, S] of the documents of all prompt sets, S of them in a text; other texts than the captured ones.

    tokens: so many at most, of every set alike; all where it is not given. Raises UsageError below a whole text.
    """
    rows: list[Tensor] = []
    for texts in SETS.values():
        ids = torch.tensor(tokenizer.encode("\n\n".join(texts.items)))
        rows += [part for part in ids.split(TOKENS_A_TEXT) if len(part) == TOKENS_A_TEXT]
    wanted = len(rows) if tokens is None else tokens // TOKENS_A_TEXT
    if not 1 <= wanted <= len(rows):
        raise UsageError(
            f"got {tokens} tokens for calibration; expected {TOKENS_A_TEXT} to {len(rows) * TOKENS_A_TEXT}, as many as "
            f"the shipped texts have"
        )
    spread = torch.linspace(0, len(rows) - 1, wanted).round().long()
    return torch.stack([rows[index] for index in spread.tolist()])
