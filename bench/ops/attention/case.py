"""Cases and inputs of operator `attention`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attnlab.bench.contract.axes import axis, dtype_axis, like, size
from attnlab.bench.contract.operator_spec import constant, dynamic, static
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm import captured
from attnlab.bench.llm.masks import KINDS, Mask
from attnlab.bench.ops._shared import sources
from attnlab.bench.ops._shared.attending import AttendingCase
from attnlab.bench.ops._shared.sources import capture_of


def _read_lengths(value: object) -> tuple[int, ...]:
    if isinstance(value, (tuple, list)):
        parts = [str(part) for part in value]
    else:
        parts = [] if value in ("", "none") else str(value).split("+")
    lengths = tuple(int(part) for part in parts if part.isdigit())
    if len(lengths) < len(parts) or (parts and not any(lengths)):
        raise ImpossibleCase(f"got {value!r}; expected lengths such as 100+37+900, not all of them 0")
    return lengths


def _q_len(case: AttentionCase) -> int:
    return sum(case.packed) if case.packed else 1024


@dataclass(frozen=True)
class AttentionCase(AttendingCase):
    """One shape, dtype, mask and source of data for attention over a prompt."""

    kind = "attention"

    batch: int = size("B", help="sequences", default=1)
    q_heads: int = size("Hq", help="query heads", default=8)
    kv_heads: int = size("Hkv", help="key-value heads: fewer than query heads is GQA, one MQA", default=like("q_heads"))
    packed: tuple[int, ...] = axis(
        prefix="packed",
        pattern=r"\d+(?:\+\d+)*",
        read=_read_lengths,
        write=lambda lengths: "+".join(map(str, lengths)),
        help="lengths of sequences packed into one row, such as 100+37+900; some may be 0",
        default=(),
    )
    q_len: int = size("Sq", help="queries a sequence", default=_q_len)
    kv_len: int = size("Sk", help="keys a sequence", default=like("q_len"))
    head_dim: int = size("D", help="head size of queries and keys", default=64)
    v_head_dim: int = size("Dv", help="head size of values", default=like("head_dim"))
    dtype: str = dtype_axis()
    mask: Mask = axis(
        pattern=r"full|causal|window:\d+",
        read=Mask.read,
        help=f"{', '.join(KINDS)} (window:256)",
        default=Mask(),
    )
    inputs: str = axis(
        pattern=sources.SOURCE_PATTERN,
        read=sources.read_source,
        help="normal, outliers, smollm2 or smollm2:LAYER:TEXT",
        default="normal",
    )

    def validate(self) -> None:
        self.validate_heads()
        if self.packed and (self.batch != 1 or {self.q_len, self.kv_len} != {sum(self.packed)}):
            raise ImpossibleCase(
                f"got packed={'+'.join(map(str, self.packed))} with batch={self.batch}, q_len={self.q_len}, "
                f"kv_len={self.kv_len}; expected batch=1 and both lengths the sum {sum(self.packed)}: leave them out"
            )
        validate_source(self)

    @property
    def sequences(self) -> list[tuple[int, int]]:
        """(query length, key length) of every sequence of the batch or of the pack."""
        if self.packed:
            return [(length, length) for length in self.packed]
        return [(self.q_len, self.kv_len)] * self.batch


@dataclass(frozen=True)
class AttentionInputs:
    """Inputs of attention.

    q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv], all in the case's dtype, contiguous.
    packed: int32 cumulative lengths [N + 1], starting at 0, of N sequences that lie one after another
    in a batch of one; None where sequences are not packed. The output is [B, Hq, Sq, Dv] in q's dtype. Scores, the sum
    of their exponentials and the weighted sum of values are in float32 or better.
    """

    q: Tensor = dynamic("queries [B, Hq, Sq, D]")
    k: Tensor = dynamic("keys [B, Hkv, Sk, D]")
    v: Tensor = dynamic("values [B, Hkv, Sk, Dv]")
    mask: Mask = constant("which keys a query may see")
    packed: Tensor | None = static("cumulative lengths [N + 1], int32")
    scale: float = constant("what scores are multiplied by, 1/√D")


def validate_source(case: AttentionCase) -> None:
    """Raise ImpossibleCase where captured activations do not have the case's shape."""
    if not case.inputs.startswith("smollm2"):
        return
    layer, text = capture_of(case.inputs)
    got = (case.q_heads, case.kv_heads, case.head_dim, case.v_head_dim)
    real = (captured.Q_HEADS, captured.KV_HEADS, captured.HEAD_DIM, captured.HEAD_DIM)
    if got != real:
        raise ImpossibleCase(
            f"inputs={case.inputs} got q_heads, kv_heads, head_dim, v_head_dim = {got}; expected {real}, the "
            f"model's own: set those axes, or take inputs=normal"
        )
    if layer >= captured.LAYERS:
        raise ImpossibleCase(f"got layer {layer}; expected 0 to {captured.LAYERS - 1}")
    needed = case.batch * case.kv_len
    if case.kv_len < case.q_len or needed > captured.longest(text):
        raise ImpossibleCase(
            f"inputs={case.inputs} got {case.batch} × {case.kv_len} keys for {case.q_len} queries; expected "
            f"keys for each query and at most {captured.longest(text)} tokens in all, as long as the text is"
        )
