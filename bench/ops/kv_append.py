"""Operator `kv_append`: storing new tokens in a key-value cache, quantised on the way where its format says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import root_mean_square
from attnlab.bench.contract.operator_spec import NORMAL_DRAW, Operator, TensorSpec, columns, dynamic, mutable, static
from attnlab.bench.contract.registry import registry
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.caches import Codec, KVCache
from attnlab.bench.llm.caches.coding import read_tokens
from attnlab.bench.llm.caches.costs import side_bytes, table_bytes
from attnlab.bench.ops._shared.caching import DecodeCase, Tokens, allocated, draw_tokens, filled_cache
from attnlab.bench.store.deviations import Deviation, relative_errors

WORSE = 1.02  # times the reference's rounding error
FLOOR = 2.0**-20  # of float32 arithmetic on numbers that are stored as they are
MAX_OVER_RMS = 6.0
NO_ROW = 0.5  # less than one


@dataclass(frozen=True)
class AppendCase(DecodeCase):
    """One shape, dtype, layout, format and source of data for storing the last q_len tokens of a context."""

    kind = "kv_append"

    def validate(self) -> None:
        super().validate()
        for name, (value, usual) in self.opted().items():
            if name not in ("layout", "v_head_dim"):
                raise ImpossibleCase(f"got {name}={value}; expected {usual}: scores have no part in what is stored")
        if min(self.lengths) < self.q_len:
            raise ImpossibleCase(
                f"got q_len={self.q_len} with context={self.context}; expected contexts that hold the new tokens"
            )
        if self.format.group > 1 and self.q_len > self.format.group:
            raise ImpossibleCase(
                f"got q_len={self.q_len} with cache={self.cache}; expected at most {self.format.group}"
            )

    def _validate_ring(self) -> None:
        layout = self.placing
        if layout.wraps and self.q_len > (layout.page_tokens or 0) - (self.format.group - 1):
            raise ImpossibleCase(f"got q_len={self.q_len} with layout {layout.name}; expected a ring that holds them")

    def validate_heads(self) -> None:
        """Queries have no part in it: any number of their heads will do."""

    @property
    def query_heads(self) -> int:
        return self.kv_heads

    @property
    def sides(self) -> tuple[str, ...]:
        """What is stored: values are a part of the keys in a latent layout."""
        return ("keys",) if self.placing.latent else ("keys", "values")

    @property
    def written(self) -> list[tuple[int, int]]:
        """The first new token of each sequence and one past the last."""
        return [(length - self.q_len, length) for length in self.lengths]


@dataclass(frozen=True)
class AppendInputs:
    """Inputs of kv_append.

    k [B, Hkv, Sq, D], v [B, Hkv, Sq, Dv] in the case's dtype: the last Sq tokens of each sequence, to be stored at
    positions lengths - Sq to lengths - 1; in a latent layout v is the first Dv numbers of k, and nothing is stored
    of it. `cache.lengths` counts them already and stays. cache: holds all tokens before. starts: int32 [B], lengths
    - Sq. Returns nothing: the cache is the output, and nothing else in it may change.
    """

    k: Tensor = dynamic("new keys [B, Hkv, Sq, D]")
    v: Tensor = dynamic("new values [B, Hkv, Sq, Dv]")
    cache: KVCache = mutable("keys and values in the case's layout and format, the new ones missing")
    starts: Tensor = static("where the new tokens begin, int32 [B]")


def make_inputs(case: AppendCase, draw: str, seed: int, device: torch.device) -> AppendInputs:
    """Seeded tokens, and a cache that holds all but the last q_len of each sequence."""
    tokens = draw_tokens(case, draw, seed, device)
    cache = filled_cache(case, tokens, device, tuple(first for first, _ in case.written))
    starts = cache.lengths - case.q_len
    k, v = new_tokens(case, tokens, starts)
    return AppendInputs(k, v, cache, starts)


def redrawn(case: AppendCase, inputs: AppendInputs, seed: int) -> AppendInputs:
    """Other new tokens; where the last ones are kept as they came, other ones of these too."""
    device = inputs.k.device
    if inputs.cache.recent is not None:
        return make_inputs(case, NORMAL_DRAW, seed, device)
    tokens = draw_tokens(case, NORMAL_DRAW, seed, device)
    k, v = new_tokens(case, tokens, inputs.starts)
    return replace(inputs, k=k, v=v)


def new_tokens(case: AppendCase, tokens: Tokens, starts: Tensor) -> tuple[Tensor, Tensor]:
    """The last q_len tokens of each sequence, [B, Hkv, Sq, D]."""
    place = starts[:, None].long() + torch.arange(case.q_len, device=starts.device)
    sequence = torch.arange(case.batch, device=starts.device)[:, None]
    k, v = (x[sequence, :, place].transpose(1, 2).to(case.torch_dtype).contiguous() for x in (tokens.k, tokens.v))
    return k, v


def outputs(case: AppendCase) -> tuple[TensorSpec, ...]:
    """Every plane that grows, as it lies in the pool; 8-bit floats as bytes."""
    planes = allocated(case, torch.device("meta")).growing()
    return tuple(TensorSpec(name, tuple(plane.shape), plane.dtype) for name, plane in planes.items())


def operations(case: AppendCase) -> int:
    """None that count: a comparison, a product and a rounding for each number."""
    return 0


def bytes_moved(case: AppendCase) -> int:
    """New tokens, read once; their codes, scales and table entries; tokens of an unfinished group, read and written."""
    element = case.torch_dtype.itemsize
    numbers = case.head_dim + (0 if case.placing.latent else case.v_head_dim)
    new = case.batch * case.q_len * case.kv_heads * numbers * element
    group = case.format.keys.group
    before = sum(first % group for first, _ in case.written)  # of a group that goes on
    recent = (before + case.batch * case.q_len if group > 1 else 0) * case.kv_heads * case.head_dim * element
    shape: dict[str, Any] = {"kv_heads": case.kv_heads, "dtype": case.torch_dtype}
    from_group = [(first // group * group, last) for first, last in case.written]  # encoded anew
    keys = side_bytes(case.placing, case.format.keys, from_group, head_dim=case.head_dim, **shape)
    values = side_bytes(case.placing, case.format.values, case.written, head_dim=case.v_head_dim, **shape)
    return new + recent + keys + values + table_bytes(case.placing, case.written) + 4 * case.batch


@dataclass(frozen=True)
class AppendExpectation:
    """What a cache must hold after an append.

    planes: every plane as the reference left it. touched: the rows of each that new tokens may change, [pages, rows];
    of `recent` none may be otherwise than the reference's.
    tokens: the new keys and values as they came, [B, Sq, Hkv, D] in float32. allowed: errors (RMS, largest) against
    them that are let through, by side.
    """

    case: AppendCase
    planes: dict[str, Tensor]
    fixed: dict[str, Tensor]
    places: tuple[Tensor, Tensor]
    touched: dict[str, Tensor]
    tokens: dict[str, Tensor]
    allowed: dict[str, tuple[float, float]]
    probes: tuple[str, ...] = ()
    blunt: tuple[str, ...] = ()

    @property
    def expected(self) -> tuple[Tensor, ...]:
        return tuple(self.planes.values())

    def judge(self, outputs: Sequence[Tensor]) -> list[Deviation]:
        got = dict(zip(self.planes, outputs, strict=True))
        found: list[Deviation] = []
        for side in self.case.sides:
            (rms, largest), (rms_allowed, largest_allowed) = self.errors(got, side), self.allowed[side]
            found += relative_errors(side, rms, rms_allowed, largest, largest_allowed)
        changed = float(sum(self._changed(got[name], name) for name in self.planes))
        return [*found, Deviation("changed rows of other tokens", changed, NO_ROW)]

    def errors(self, planes: dict[str, Tensor], side: str) -> tuple[float, float]:
        """Errors of the new tokens of one side, decoded, against those that came; over the RMS of these."""
        codec: Codec = getattr(self.case.format, side)
        dim = self.case.head_dim if side == "keys" else self.case.v_head_dim
        specs = codec.planes(dim, self.case.torch_dtype)
        known = self.fixed | planes
        decoded = read_tokens(codec, specs, {spec.name: known[f"{side}.{spec.name}"] for spec in specs}, *self.places)
        difference = decoded.double() - self.tokens[side].double()
        size = root_mean_square(self.tokens[side]) or 1.0
        return root_mean_square(difference) / size, float(difference.abs().max()) / size

    def _changed(self, got: Tensor, name: str) -> int:
        differs = (got != self.planes[name]).any(-1).any(-1)
        return int((differs & ~self.touched[name] if name in self.touched else differs).sum())


class AppendCheck:
    """New tokens must come back with no more error than the reference's rounding, and all others as they were.

    Codes may differ by a step where a quotient lies half way: so the decoded tokens are compared, with those that
    came, and the error may be 2 % over the reference's. Rounding toward zero doubles it.
    """

    def expect(self, case: AppendCase, inputs: AppendInputs) -> AppendExpectation:
        before = inputs.cache.copy()
        after = before.copy()
        after.write(inputs.k, inputs.v, inputs.starts)
        new = inputs.starts.long()[:, None] + torch.arange(case.q_len, device=inputs.k.device)
        made = AppendExpectation(
            case,
            after.growing(),
            after.fixed(),
            after.locate(new, torch.arange(case.batch, device=new.device)),
            after.rows_written(inputs.starts, case.q_len),
            {"keys": inputs.k.transpose(1, 2).float(), "values": inputs.v.transpose(1, 2).float()},
            {},
        )
        for side in case.sides:
            rms, largest = made.errors(made.planes, side)
            made.allowed[side] = (max(WORSE * rms, FLOOR), max(WORSE * largest, MAX_OVER_RMS * FLOOR))
        wrong = {
            "zeros": tuple(torch.zeros_like(plane) for plane in made.planes.values()),
            "nothing written": tuple(before.growing().values()),
        }
        blunt = tuple(name for name, planes in wrong.items() if all(f.within for f in made.judge(planes)))
        return replace(made, probes=tuple(wrong), blunt=blunt)


KV_APPEND: Operator[AppendCase, AppendInputs] = Operator(
    name="kv_append",
    summary="storing new tokens in a key-value cache, quantised on the way: layouts and formats",
    case_type=AppendCase,
    inputs_type=AppendInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=AppendCheck(),
    length_axis="q_len",
    mixed=lambda case, inputs: columns(inputs, "k", "v", "cache.recent"),
    redrawn=redrawn,
    intact=lambda inputs: inputs.cache.guards.violated(),
    results=lambda inputs, returned: tuple(inputs.cache.growing().values()),
)
registry.operators.add(KV_APPEND.name, KV_APPEND, __name__)
