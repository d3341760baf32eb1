"""Cases and inputs of operator `attention`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attnlab.bench.contract.axes import axis, dtype_axis, like, size
from attnlab.bench.contract.operator_spec import constant, dynamic, static
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm import captured
from attnlab.bench.llm.biases import Bias
from attnlab.bench.llm.masks import EVERYWHERE, EXAMPLES, Mask
from attnlab.bench.ops._shared import sources, variants
from attnlab.bench.ops._shared.attending import AttendingCase
from attnlab.bench.ops._shared.sources import capture_of

MASK_PATTERN = r"full|causal|(?:window|chunked|prefix):\d+|document:\d+(?:\+\d+)*|tree:\d+(?:x\d+|\+\d+)*"


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
    mask = case.early_mask()
    return sum(case.packed) or sum(mask.documents) or mask.nodes or 1024


def _kv_len(case: AttentionCase) -> int:
    return sum(case.packed_keys) if case.packed else case.q_len


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
    packed_keys: tuple[int, ...] = axis(
        prefix="keys",
        pattern=r"\d+(?:\+\d+)*",
        read=_read_lengths,
        write=lambda lengths: "+".join(map(str, lengths)) or "none",
        help="lengths of the packed sequences' keys, where they are others than those of their queries",
        default=like("packed"),
        opt_in=True,
    )
    q_len: int = size("Sq", help="queries a sequence", default=_q_len)
    kv_len: int = size("Sk", help="keys a sequence", default=_kv_len)
    head_dim: int = size("D", help="head size of queries and keys", default=64)
    v_head_dim: int = size("Dv", help="head size of values", default=like("head_dim"))
    dtype: str = dtype_axis()
    mask: Mask = axis(
        pattern=MASK_PATTERN,
        read=Mask.read,
        help=EXAMPLES,
        default=Mask(),
        opt_in=lambda mask: not mask.is_band,
        usual=", ".join(EVERYWHERE),
    )
    softcap: float | None = variants.softcap_axis()
    sinks: str = variants.sinks_axis()
    bias: Bias = variants.bias_axis()
    qk_norm: str = variants.qk_norm_axis()
    inputs: str = axis(
        pattern=sources.SOURCE_PATTERN,
        read=sources.read_source,
        help="normal, outliers, smollm2 or smollm2:LAYER:TEXT",
        default="normal",
    )

    def validate(self) -> None:
        self.validate_heads()
        self._validate_pack()
        self.validate_mask()
        validate_source(self)

    def _validate_pack(self) -> None:
        if len(self.packed) != len(self.packed_keys):
            raise ImpossibleCase(
                f"got packed={_sum_of(self.packed)} with packed_keys={_sum_of(self.packed_keys)}; expected a length of "
                f"keys for each of {len(self.packed)} packed sequences"
            )
        if not self.packed:
            return
        sums = sum(self.packed), sum(self.packed_keys)
        if self.batch != 1 or (self.q_len, self.kv_len) != sums:
            lengths = f"both lengths the sum {sums[0]}" if sums[0] == sums[1] else f"the sums {sums[0]} and {sums[1]}"
            raise ImpossibleCase(
                f"got packed={_sum_of(self.packed)} with batch={self.batch}, q_len={self.q_len}, "
                f"kv_len={self.kv_len}; expected batch=1 and {lengths}: leave them out"
            )
        if self.mask.kind in ("document", "tree"):
            raise ImpossibleCase(
                f"got mask={self.mask} with packed={_sum_of(self.packed)}; expected one of both: packed sequences are "
                f"kept apart already, and each would have to be a tree"
            )
        if self.bias.kind == "dense":
            raise ImpossibleCase(
                f"got bias=dense with packed={_sum_of(self.packed)}; expected alibi or relative, which hang on the "
                f"distance within a sequence"
            )

    @property
    def sequences(self) -> list[tuple[int, int]]:
        """(query length, key length) of every sequence of the batch or of the pack."""
        if self.packed:
            return list(zip(self.packed, self.packed_keys, strict=True))
        return [(self.q_len, self.kv_len)] * self.batch


@dataclass(frozen=True)
class AttentionInputs:
    """Inputs of attention.

    q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv], all in the case's dtype, contiguous.
    packed: int32 cumulative lengths [N + 1], starting at 0, of N sequences that lie one after another
    in a batch of one; None where sequences are not packed. packed_keys: those of their keys, where these are others.
    softcap, sinks, bias, q_norm and k_norm: see `attnlab.bench.ops._shared.variants` for the formula; None, or a bias
    of kind none, where the case has none of them. The output is [B, Hq, Sq, Dv] in q's dtype. Scores, the sum
    of their exponentials and the weighted sum of values are in float32 or better; normed queries and keys may be
    rounded to the dtype.
    """

    q: Tensor = dynamic("queries [B, Hq, Sq, D]")
    k: Tensor = dynamic("keys [B, Hkv, Sk, D]")
    v: Tensor = dynamic("values [B, Hkv, Sk, Dv]")
    mask: Mask = constant("which keys a query may see")
    packed: Tensor | None = static("cumulative lengths [N + 1], int32")
    scale: float = constant("what scores are multiplied by, 1/√D")
    packed_keys: Tensor | None = static("cumulative lengths of keys [N + 1], int32", default=None)
    softcap: float | None = constant("cap of the scaled scores", default=None)
    sinks: Tensor | None = static("a logit for each query head [Hq], float32", default=None)
    bias: Bias = constant("what is added to scores", default=Bias())
    bias_table: Tensor | None = static("the numbers of the bias, see `Bias`", default=None)
    q_norm: Tensor | None = static("weight of the queries' norm [D]", default=None)
    k_norm: Tensor | None = static("weight of the keys' norm [D]", default=None)


def _sum_of(lengths: tuple[int, ...]) -> str:
    return "+".join(map(str, lengths)) or "none"


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
