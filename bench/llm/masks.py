"""Which keys a query may see: full, causal and sliding-window masks, by arithmetic and as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import ImpossibleCase

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("full", "causal", "window")


@dataclass(frozen=True)
class Mask:
    """`full`; `causal`, aligned bottom-right; or `window`: causal, and at most `window` keys a query.

    With Sq queries and Sk keys, query i stands at key position p = i + Sk - Sq. Causal: keys j <= p.
    Window w: p - w < j <= p. A query whose range is empty has an output of zeros.
    """

    kind: str = "full"
    window: int | None = None

    def __str__(self) -> str:
        return self.kind if self.window is None else f"{self.kind}:{self.window}"

    @property
    def is_causal(self) -> bool:
        """Whether keys after the query's own position are forbidden (true of a window too)."""
        return self.kind != "full"

    @classmethod
    def read(cls, value: Any) -> Mask:
        """From `full`, `causal` or `window:256`."""
        if isinstance(value, Mask):
            return value
        kind, _, rest = str(value).partition(":")
        if kind not in KINDS or (kind != "window" and rest):
            raise ImpossibleCase(f"unknown mask {value!r}; expected full, causal or window:N such as window:256")
        if kind != "window":
            return cls(kind)
        if not rest.isdigit() or int(rest) < 1:
            raise ImpossibleCase(f"got a window of {rest!r} in {value!r}; expected a whole number of at least 1")
        return cls(kind, int(rest))

    def key_range(self, row: int, q_len: int, kv_len: int) -> tuple[int, int]:
        """First key and one past the last key that a query may see; empty where first >= last."""
        if self.kind == "full":
            return 0, kv_len
        position = row + kv_len - q_len
        first = 0 if self.window is None else max(0, position - self.window + 1)
        return first, max(0, min(kv_len, position + 1))

    def pairs(self, q_len: int, kv_len: int) -> int:
        """The number of permitted (query, key) pairs."""
        if self.kind == "full":
            return q_len * kv_len
        return sum(max(0, last - first) for first, last in self._ranges(q_len, kv_len))

    def rows_with_keys(self, q_len: int, kv_len: int) -> int:
        """The number of queries that may see at least one key."""
        return q_len if self.kind == "full" else min(q_len, kv_len)

    def keys_seen(self, q_len: int, kv_len: int) -> int:
        """The number of keys that at least one query may see."""
        if self.window is None:
            return kv_len
        return min(kv_len, q_len + self.window - 1)

    def _ranges(self, q_len: int, kv_len: int) -> list[tuple[int, int]]:
        return [self.key_range(row, q_len, kv_len) for row in range(q_len)]

    def permitted(self, rows: Tensor, q_len: int, kv_len: int) -> Tensor:
        """A boolean [len(rows), kv_len]: true where the query of that row may see the key."""
        import torch

        keys = torch.arange(kv_len, device=rows.device)
        position = rows[:, None] + (kv_len - q_len)
        allowed = torch.ones(len(rows), kv_len, dtype=torch.bool, device=rows.device)
        if self.is_causal:
            allowed &= keys <= position
        if self.window is not None:
            allowed &= keys > position - self.window
        return allowed


def segments_of(packed: Tensor, total: int) -> Tensor:
    """The sequence that each of `total` packed tokens belongs to, from cumulative lengths [N + 1]."""
    import torch

    positions = torch.arange(total, device=packed.device)
    return torch.searchsorted(packed[1:].contiguous().long(), positions, right=True)


def mask_of(window: int | None) -> Mask:
    """What a token of a text sees: every one up to its own, or the last so many of them."""
    return Mask("causal") if window is None else Mask("window", window)


def permitted_pairs(mask: Mask, rows: Tensor, q_len: int, kv_len: int, packed: Tensor | None = None) -> Tensor:
    """A boolean [len(rows), kv_len] for a mask, with packed sequences kept apart."""
    allowed = mask.permitted(rows, q_len, kv_len)
    if packed is not None:
        segments = segments_of(packed, kv_len)
        allowed &= segments[rows][:, None] == segments[None, :]
    return allowed
