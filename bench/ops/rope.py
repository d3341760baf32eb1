"""Operator `rope`: queries and keys told their positions, by turning pairs of channels or by adding sinusoids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.axes import dtype_axis, like, size
from attnlab.bench.contract.error_budget import Outputs, Probe
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, Operator, TensorSpec, columns, constant, dynamic, static
from attnlab.bench.contract.registry import registry
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm import rope_math
from attnlab.bench.llm.rope_math import STYLES, rope_tables
from attnlab.bench.ops._shared.rowwise import OutputTerms, budget, changed, choice, draw, sample_rows
from attnlab.bench.ops._shared.typed import TypedCase

__all__ = ["ROPE", "RopeCase", "RopeInputs", "rope_tables"]

THETA = 10_000.0
POSITION_BYTES, TABLE_BYTES = 8, 4  # of an element
NEEDLE_DRAWS = 3


@dataclass(frozen=True)
class RopeCase(TypedCase):
    """One shape, dtype and style for rope."""

    kind = "rope"

    batch: int = size("B", help="sequences", default=1)
    q_heads: int = size("Hq", help="query heads", default=32)
    kv_heads: int = size("Hkv", help="key heads", default=like("q_heads"))
    q_len: int = size("Sq", help="new tokens a sequence", default=1024)
    head_dim: int = size("D", help="head size", default=128)
    positions: int = size("P", help="positions that there are", default=8192)
    dtype: str = dtype_axis()
    style: str = choice(*STYLES, help="how positions are told", default="half")

    def validate(self) -> None:
        if self.head_dim % 2:
            raise ImpossibleCase(f"got head_dim={self.head_dim}; expected an even one, of pairs of channels")

    @property
    def numbers(self) -> int:
        """Of queries and keys."""
        return self.batch * self.q_len * (self.q_heads + self.kv_heads) * self.head_dim

    @property
    def distinct(self) -> int:
        """Rows of the tables that are read: drawn positions repeat only where there are more tokens than positions."""
        return min(self.positions, self.batch * self.q_len)


@dataclass(frozen=True)
class RopeInputs:
    """Inputs of rope.

    q [B, S, Hq, D] and k [B, S, Hkv, D] in the case's dtype: heads of one projection, so that tokens lie further
    apart than their heads are long; heads of a token are dense. cos and sin: float32 [P, D/2]. positions: int64
    [B, S], each from 0 to P - 1. Returns (q', k'), of the shapes and dtype of q and k; q and k come back unchanged.
    """

    q: Tensor = dynamic("queries [B, S, Hq, D]")
    k: Tensor = dynamic("keys [B, S, Hkv, D]")
    cos: Tensor = static("cosines of each position's angles, float32 [P, D/2]")
    sin: Tensor = static("sines of each position's angles, float32 [P, D/2]")
    positions: Tensor = dynamic("where each token stands, int64 [B, S]")
    style: str = constant("`half`, `interleaved` or `sinusoidal`", default="half")


def make_inputs(case: RopeCase, which: str, seed: int, device: torch.device) -> RopeInputs:
    """Seeded heads of one fused projection with values, and positions that all differ.

    Needles stand at the last position, the first and the second, some of them twice.
    """
    generator = torch.Generator().manual_seed(seed)
    heads = case.q_heads + 2 * case.kv_heads
    fused = draw(generator, case.batch, case.q_len, heads, case.head_dim, draw=which).to(device, case.torch_dtype)
    q, k, _ = fused.split([case.q_heads, case.kv_heads, case.kv_heads], dim=2)
    number = torch.arange(case.batch * case.q_len).view(case.batch, case.q_len)
    if which == NEEDLE_DRAW:
        edges = torch.tensor([case.positions - 1, 0, case.positions - 1, 1 % case.positions])
        positions = edges[(number + seed) % len(edges)]
    else:
        start = int(torch.randint(case.positions, (1,), generator=generator))
        positions = (number + start) % case.positions
    cos, sin = rope_tables(case.positions, case.head_dim, THETA, device)
    return RopeInputs(q, k, cos, sin, positions.to(device), case.style)


def outputs(case: RopeCase) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, (case.batch, case.q_len, heads, case.head_dim), case.torch_dtype)
        for name, heads in (("q", case.q_heads), ("k", case.kv_heads))
    )


def operations(case: RopeCase) -> int:
    """FLOP: two products and a sum for each number, or a sum alone where sinusoids are added."""
    return case.numbers * (1 if case.style == "sinusoidal" else 3)


def bytes_moved(case: RopeCase) -> int:
    """Queries and keys read and written; positions, and the rows of the tables that they name, read once."""
    tables = 2 * case.distinct * case.head_dim // 2 * TABLE_BYTES
    return 2 * case.numbers * case.element_bytes + tables + case.batch * case.q_len * POSITION_BYTES


def compute(inputs: RopeInputs, tokens: Tensor, dtype: torch.dtype) -> OutputTerms:
    """The sampled tokens of every sequence in `dtype`, and the size of the terms of each number."""
    tokens = tokens.to(inputs.q.device)
    positions = inputs.positions[:, tokens]
    cos, sin = (table[positions].to(dtype)[:, :, None] for table in (inputs.cos, inputs.sin))
    sides = [x.index_select(1, tokens).to(dtype) for x in (inputs.q, inputs.k)]
    return OutputTerms(
        tuple(rope_math.encode(x, cos, sin, inputs.style) for x in sides),
        tuple(rope_math.terms(x, cos, sin, inputs.style) for x in sides),
    )


def _keys_unchanged(case: RopeCase, inputs: RopeInputs, tokens: Tensor, expected: Outputs) -> Outputs:
    return expected[0], inputs.k.index_select(1, tokens.to(inputs.k.device)).to(expected[1].dtype)


def _heads_reversed(case: RopeCase, inputs: RopeInputs, tokens: Tensor, expected: Outputs) -> Outputs:
    return tuple(out.flip(2) for out in expected)


def other_pairs(inputs: RopeInputs) -> RopeInputs:
    return replace(inputs, style="interleaved" if inputs.style == "half" else "half")


def one_further(inputs: RopeInputs) -> RopeInputs:
    return replace(inputs, positions=(inputs.positions + 1) % len(inputs.cos))


def rotates(case: RopeCase) -> bool:
    """Whether some token stands elsewhere than at position 0, where nothing is turned."""
    return case.style != "sinusoidal" and case.positions > 1


PROBES: tuple[Probe[Any, Any], ...] = (
    Probe("keys as they were", lambda case: case.style == "sinusoidal" or case.positions > 1, _keys_unchanged),
    Probe("heads permuted", lambda case: case.q_heads > 1 or case.kv_heads > 1, _heads_reversed),
    changed("halves for neighbours", compute, other_pairs, lambda case: rotates(case) and case.head_dim > 2),
    changed("one position further", compute, one_further, lambda case: case.positions > 1),
    changed("turned the other way", compute, lambda inputs: replace(inputs, sin=-inputs.sin), rotates),
)

ROPE: Operator[RopeCase, RopeInputs] = Operator(
    name="rope",
    summary="queries and keys told their positions: pairs of channels turned, or sinusoids added",
    case_type=RopeCase,
    inputs_type=RopeInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=budget(
        compute,
        sample=lambda case: sample_rows(case.q_len, case.numbers // case.q_len),
        select=lambda outputs, tokens: tuple(out.index_select(1, tokens.to(out.device)) for out in outputs),
        probes=PROBES,
        names=("q", "k"),
    ),
    length_axis="q_len",
    needle_draws=NEEDLE_DRAWS,
    mixed=lambda case, inputs: columns(inputs, "q", "k"),  # positions that differ hang on each other
)
registry.operators.add(ROPE.name, ROPE, __name__)
