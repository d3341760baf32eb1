"""What an engine may tell of an answer beside its tokens: how likely its own model found each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NAME = "log-probabilities"


class Evidence:
    """Log-probabilities of the tokens of each answer, in nats, in the order in which they were chosen.

    They are of the model alone: before any penalty, temperature or truncation.
    """

    def __init__(self, requests: int) -> None:
        self._told: list[list[float]] = [[] for _ in range(requests)]

    def tell(self, request: int, logits: Tensor, ids: Sequence[int]) -> None:
        """The next tokens of a request, and the logits [n, V] that each was chosen from."""
        import torch

        chosen = torch.tensor(list(ids), device=logits.device)[:, None]
        self.tell_logs(request, logits.float().log_softmax(-1).gather(-1, chosen)[:, 0].tolist())

    def tell_logs(self, request: int, logs: Sequence[float]) -> None:
        """The log-probabilities of the next tokens of a request, from an engine that works them out itself."""
        self._told[request].extend(logs)

    def tensor(self) -> Tensor | None:
        """float32 [R, N]; None where nothing was told, or not of as many tokens of each answer."""
        import torch

        lengths = {len(row) for row in self._told}
        return torch.tensor(self._told, dtype=torch.float32) if len(lengths) == 1 and lengths != {0} else None
