"""Operator `attention`: softmax(q kᵀ · scale + mask) v over a prompt, for MHA, GQA and MQA."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.axes import axis, dtype_axis, like, size
from attnlab.bench.contract import NEEDLE_DRAW, Operator, TensorSpec, columns, constant, dynamic, static
from attnlab.bench.error_budget import ErrorBudget
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.masks import KINDS, Mask
from attnlab.bench.ops import attention_data, attention_math
from attnlab.bench.ops.attending import AttendingCase
from attnlab.bench.ops.score_rounding import with_roundings
from attnlab.bench.registry import registry

NEEDLE_DRAWS = 3


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
        pattern=attention_data.SOURCE_PATTERN,
        read=attention_data.read_source,
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
        attention_data.validate_source(self)

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


def outputs(case: AttentionCase) -> tuple[TensorSpec, ...]:
    shape = (case.batch, case.q_heads, case.q_len, case.v_head_dim)
    return (TensorSpec("out", shape, case.torch_dtype),)


def operations(case: AttentionCase) -> int:
    """FLOP: two for each multiply-add of q·k (D) and p·v (Dv), over the permitted pairs."""
    return 2 * (case.head_dim + case.v_head_dim) * case.pairs * case.q_heads


def bytes_moved(case: AttentionCase) -> int:
    """Queries and keys that matter, read once; the output, written once; cumulative lengths of a pack."""
    element = case.torch_dtype.itemsize
    queries = sum(case.mask.rows_with_keys(q, k) for q, k in case.sequences)
    keys = sum(case.mask.keys_seen(q, k) for q, k in case.sequences)
    rows = sum(q for q, _ in case.sequences)
    elements = (
        case.q_heads * queries * case.head_dim
        + case.kv_heads * keys * (case.head_dim + case.v_head_dim)
        + case.q_heads * rows * case.v_head_dim
    )
    table = 4 * (len(case.packed) + 1) if case.packed else 0
    return elements * element + table


def make_inputs(case: AttentionCase, draw: str, seed: int, device: torch.device) -> AttentionInputs:
    """Seeded inputs; drawn on the CPU, so that one seed gives one set of inputs on every device.

    Needles: by turns a key at an edge dominates each row, all keys weigh in some row, or values cancel.
    """
    kind = seed % NEEDLE_DRAWS
    if draw == NEEDLE_DRAW and kind:
        q, k, v = (attention_data.combed if kind == 1 else attention_data.flat)(case, seed)
    else:
        q, k, v = attention_data.queries_keys_values(case, draw, seed)
    q, k, v = (x.to(device=device, dtype=case.torch_dtype) for x in (q, k, v))
    return AttentionInputs(q, k, v, case.mask, cumulative_lengths(case, device), case.scale)


def cumulative_lengths(case: AttentionCase, device: torch.device) -> Tensor | None:
    """Where packed sequences begin and end, int32 [N + 1]; None where none are packed."""
    if not case.packed:
        return None
    return torch.tensor((0, *case.packed)).cumsum(0).to(torch.int32).to(device)


ATTENTION: Operator[AttentionCase, AttentionInputs] = Operator(
    name="attention",
    summary="softmax(q kᵀ · scale + mask) v over a prompt: MHA, GQA, MQA; full, causal, window, packed",
    case_type=AttentionCase,
    inputs_type=AttentionInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=with_roundings(
        ErrorBudget(
            sample=attention_math.sample_rows,
            select=attention_math.select_rows,
            oracle=attention_math.oracle,
            yardstick=attention_math.yardstick,
            probes=attention_math.PROBES,
            dtype=lambda case: case.dtype,
        ),
        attention_math.slack,
    ),
    length_axis="q_len",
    needle_draws=NEEDLE_DRAWS,
    mixed=lambda case, inputs: columns(inputs, "q", "k", "v"),
)
registry.operators.add(ATTENTION.name, ATTENTION, __name__)
