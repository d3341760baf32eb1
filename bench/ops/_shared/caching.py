"""What the operators over a key-value cache share: their axes, and a cache filled with seeded tokens."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.axes import axis, dtype_axis, like, size
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.biases import Bias
from attnlab.bench.llm.caches import Format, KVCache, Layout, format_of, known_formats, known_layouts, layout_of
from attnlab.bench.llm.caches.cache import check_fit
from attnlab.bench.llm.caches.coding import stored_in
from attnlab.bench.llm.caches.costs import bytes_of_tokens
from attnlab.bench.llm.caches.tables import random_table
from attnlab.bench.llm.masks import Mask
from attnlab.bench.ops._shared import attention_data, combs, needles, sources, variants, wide_sums
from attnlab.bench.ops._shared.attending import AttendingCase
from attnlab.bench.ops.attention import case as attention_case
from attnlab.bench.ops.attention.case import AttentionCase

LONGEST_QUERY = 4096
TABLE_SEED = 20_240_229  # of the physical order of pages: the same for all draws of a case
DECODE_MASKS = ("causal", "window:256", "chunked:256", "prefix:32", "tree:2x2")
DRAWN_ON_CPU = 1 << 26  # numbers; more are drawn on the device, where that takes seconds and not minutes
NEEDLE_DRAWS = needles.TURNS + 2
STALE = 20.0  # times as large as a token: what lies in the cache where no token does


def _read_context(value: Any) -> int | str:
    text = str(value).replace("::", "..")
    if text.isdecimal():
        return int(text)
    if re.fullmatch(r"\d+(\+\d+)+", text):
        return "+".join(str(int(part)) for part in text.split("+"))
    spread = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if spread and int(spread[1]) < int(spread[2]):
        return f"{int(spread[1])}..{int(spread[2])}"
    raise ImpossibleCase(
        f"got {value!r}; expected tokens such as 1024, a spread such as 512..4096, or one number for "
        f"each sequence such as 5+0+1024"
    )


def _read_count(value: Any) -> int:
    text = str(value)
    if not text.isdecimal() or isinstance(value, bool):
        raise ImpossibleCase(f"got {value!r}; expected a whole number of tokens, 0 or more")
    return int(text)


def _read_mask(value: Any) -> Mask:
    mask = Mask.read(value)
    if mask.kind in ("full", "document"):
        raise ImpossibleCase(
            f"got mask {mask}; expected {', '.join(DECODE_MASKS)}: a new token never sees those after it, and a "
            f"sequence's cache holds one text"
        )
    return mask


def _read_bias(value: Any) -> Bias:
    bias = Bias.read(value)
    if bias.kind == "dense":
        raise ImpossibleCase(
            "got bias dense; expected none, alibi or relative:N: what a growing cache has hangs on distance"
        )
    return bias


def _new_tokens(case: DecodeCase) -> int:
    return case.early_mask().nodes or 1


def layout_axis() -> Any:
    """How a cache lies in memory."""
    families = known_layouts().values()
    return axis(
        pattern="|".join(rf"{f.name}:\d+" if f.numbered else f.name for f in families),
        read=lambda value: layout_of(str(value)).name,
        help=", ".join(f"{f.name}:N" if f.numbered else f.name for f in families),
        default="contiguous_bhsd",
        opt_in=lambda name: layout_of(name).latent,
        usual=", ".join(family.name for family in families if not family.name.startswith("latent")),
    )


def format_axis() -> Any:
    """How a cache's numbers are stored."""
    return axis(
        pattern="|".join(known_formats()),
        read=lambda value: format_of(str(value)).name,
        help=", ".join(known_formats()),
        default="same",
    )


@dataclass(frozen=True)
class DecodeCase(AttendingCase):
    """One shape, dtype, layout, format and source of data for an operator over a key-value cache."""

    kind = "decode_attention"

    batch: int = size("B", help="sequences", default=1)
    q_heads: int = size("Hq", help="query heads", default=8)
    kv_heads: int = size("Hkv", help="key-value heads: fewer than query heads is GQA, one MQA", default=like("q_heads"))
    q_len: int = size("Sq", help="new tokens a sequence, the last of its context", default=_new_tokens)
    context: int | str = axis(
        prefix="C",
        pattern=r"\d+(?:\+\d+)*|\d+(?:\.\.|::)\d+",
        read=_read_context,
        help="tokens in the cache with the new ones: 1024, spread over the batch as 512..4096, or each as 5+0+77",
        default=1024,
    )
    head_dim: int = size("D", help="head size of queries and keys", default=64)
    v_head_dim: int = size("Dv", help="head size of values", default=like("head_dim"), opt_in=True)
    dtype: str = dtype_axis()
    mask: Mask = axis(
        pattern=attention_case.MASK_PATTERN,
        read=_read_mask,
        help=", ".join(DECODE_MASKS),
        default=Mask("causal"),
        opt_in=lambda mask: not mask.is_band,
        usual="causal, window",
    )
    softcap: float | None = variants.softcap_axis()
    sinks: str = variants.sinks_axis()
    bias: Bias = variants.bias_axis(variants.BIASES, _read_bias)
    qk_norm: str = variants.qk_norm_axis()
    layout: str = layout_axis()
    cache: str = format_axis()
    shared_prefix: int = axis(
        prefix="pre", pattern=r"\d+", read=_read_count, help="leading tokens that all sequences share", default=0
    )
    inputs: str = axis(
        pattern=sources.SOURCE_PATTERN,
        read=sources.read_source,
        help="normal, outliers, smollm2 or smollm2:LAYER:TEXT",
        default="normal",
    )

    def validate(self) -> None:
        self.validate_heads()
        self.validate_mask()
        if "+" in str(self.context) and len(self.lengths) != self.batch:
            raise ImpossibleCase(f"got context={self.context} with batch={self.batch}; expected one length a sequence")
        if self.q_len > LONGEST_QUERY:
            raise ImpossibleCase(
                f"got q_len={self.q_len}; expected at most {LONGEST_QUERY}: longer is a prompt, which attention has"
            )
        reason = check_fit(self.placing, self.format, self.head_dim, self.v_head_dim, self.kv_heads)
        if reason is not None:
            raise ImpossibleCase(reason)
        self._validate_ring()
        self._validate_prefix()
        if self.inputs.startswith("smollm2"):
            attention_case.validate_source(self.as_attention())

    def _validate_ring(self) -> None:
        layout = self.placing
        if not layout.wraps or layout.page_tokens is None:
            return
        kept = layout.page_tokens - (self.format.group - 1)
        needed = max(self.mask.keys_seen(*lengths) for lengths in self.sequences)
        if needed > kept:
            raise ImpossibleCase(
                f"got {layout.name} for {needed} tokens that {self.q_len} new ones may see; expected a ring of at "
                f"least {needed + self.format.group - 1}, or a smaller window"
            )

    def _validate_prefix(self) -> None:
        if not self.shared_prefix:
            return
        page = self.placing.page_tokens if self.placing.paged else self.format.group
        if self.shared_prefix > min(self.lengths) - self.q_len or self.shared_prefix % (page or 1):
            raise ImpossibleCase(
                f"got shared_prefix={self.shared_prefix} with context={self.context}, q_len={self.q_len} and layout "
                f"{self.layout}; expected whole pages of {page} tokens that end before the new ones"
            )

    @property
    def query_heads(self) -> int:
        """Heads of the queries that are drawn beside the tokens."""
        return self.q_heads

    @property
    def placing(self) -> Layout:
        return layout_of(self.layout)

    @property
    def format(self) -> Format:
        return stored_in(self.placing, format_of(self.cache))

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each sequence, the new ones among them."""
        if isinstance(self.context, int):
            return (self.context,) * self.batch
        if "+" in self.context:
            return tuple(int(part) for part in self.context.split("+"))
        low, high = (int(part) for part in self.context.split(".."))
        if self.batch == 1:
            return (high,)
        return tuple(low + (high - low) * n // (self.batch - 1) for n in range(self.batch))

    @property
    def longest(self) -> int:
        return max(self.lengths)

    @property
    def sequences(self) -> list[tuple[int, int]]:
        """(query length, key length) of every sequence."""
        return [(self.q_len, length) for length in self.lengths]

    @property
    def seen(self) -> list[tuple[int, int]]:
        """The first token that some query of a sequence may see and one past the last; empty where none."""
        return [(length - self.mask.keys_seen(self.q_len, length), length) for length in self.lengths]

    def cache_bytes(self, ranges: list[tuple[int, int]]) -> int:
        """Bytes of the tokens in `ranges` as this case's layout and format hold them."""
        return bytes_of_tokens(
            self.placing,
            self.format,
            ranges,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            dtype=self.torch_dtype,
            shared=self.shared_prefix,
            v_head_dim=self.v_head_dim,
        )

    def as_attention(self) -> AttentionCase:
        """Attention over a prompt of the longest context, from whose data the tokens are drawn."""
        length = max(self.longest, 1)
        return AttentionCase(
            batch=self.batch,
            q_heads=self.q_heads,
            kv_heads=self.kv_heads,
            q_len=length,
            kv_len=length,
            head_dim=self.head_dim,
            v_head_dim=self.v_head_dim,
            dtype=self.dtype,
            mask=Mask("causal"),
            inputs=self.inputs,
        )


@dataclass(frozen=True)
class Tokens:
    """Queries [B, Hq, Sq, D], keys [B, Hkv, S + 1, D] and values [B, Hkv, S + 1, Dv] in float32.

    They are one more than the longest context has.

    The one behind the end of a sequence is no token of it: it lies in the cache as what an earlier request left.
    """

    q: Tensor
    k: Tensor
    v: Tensor


def draw_tokens(case: DecodeCase, draw: str, seed: int, device: torch.device) -> Tokens:
    """Seeded tokens, rounded to the case's dtype; the leading ones are the same for all sequences where shared."""
    numbers = case.batch * case.kv_heads * (case.longest + 1) * case.head_dim
    where = device if numbers > DRAWN_ON_CPU else torch.device("cpu")
    generator = torch.Generator(where).manual_seed(seed)
    if case.inputs.startswith("smollm2") and draw != NEEDLE_DRAW:
        made = _captured(case, seed, generator)
    else:
        made = _normal(case, generator)
        if draw != NEEDLE_DRAW and case.inputs == "outliers":
            channels = torch.randperm(case.head_dim, generator=generator, device=where)
            made.k[..., channels[: attention_data.OUTLIER_CHANNELS]] *= attention_data.OUTLIER_FACTOR
    for x in (made.k, made.v):
        x[:, :, : case.shared_prefix] = x[:1, :, : case.shared_prefix].clone()
    if draw == NEEDLE_DRAW:
        kind = seed % NEEDLE_DRAWS
        if kind < needles.TURNS:
            made = _with_needles(case, made, kind, generator)
        else:
            made = (_flat if kind == needles.TURNS else _combed)(case, made, generator)
    v = made.k[..., : case.v_head_dim] if case.placing.latent else made.v
    return Tokens(*(x.to(device=device, dtype=case.torch_dtype).float() for x in (made.q, made.k, v)))


def _normal(case: DecodeCase, generator: torch.Generator) -> Tokens:
    def random(heads: int, length: int, dim: int) -> Tensor:
        return torch.randn(case.batch, heads, length, dim, generator=generator, device=generator.device)

    k, v = (random(case.kv_heads, case.longest + 1, dim) for dim in (case.head_dim, case.v_head_dim))
    return Tokens(random(case.query_heads, case.q_len, case.head_dim), k, v)


def _captured(case: DecodeCase, seed: int, generator: torch.Generator) -> Tokens:
    """Stretches of a text; each sequence's queries are those of its own last tokens."""
    q, k, v = attention_data.queries_keys_values(case.as_attention(), "drawn", seed)
    place = torch.tensor(case.lengths)[:, None] - case.q_len + torch.arange(case.q_len)
    queries = q[torch.arange(case.batch)[:, None], :, place.clamp(0, q.shape[2] - 1)].transpose(1, 2)
    behind = torch.randn(2, case.batch, case.kv_heads, 1, case.head_dim, generator=generator)
    k, v = (torch.cat([x[:, :, : case.longest], one], 2) for x, one in zip((k, v), behind, strict=True))
    return Tokens(queries, k, v)


def _with_needles(case: DecodeCase, made: Tokens, seed: int, generator: torch.Generator) -> Tokens:
    """Every row meets every kind of needle over five draws with seeds that follow each other."""
    ranges = [[attention_data.needle_range(case.mask, row, q, kv) for row in range(q)] for q, kv in case.sequences]
    bounds = torch.tensor(ranges, device=made.q.device)[:, None]  # [B, 1, Sq, 2]
    first, last = bounds[..., 0], bounds[..., 1]
    batch, heads = torch.arange(case.batch)[:, None, None], torch.arange(case.query_heads)[:, None]
    turn = (batch + heads + torch.arange(case.q_len) + seed).to(made.q.device)
    rows = needles.Rows(first, last, torch.tensor(True, device=made.q.device), turn)
    low_score = needles.LOW_SCORE[case.dtype] if case.cache == "same" else needles.LOW_SCORE_OF_CODES
    q, k = needles.hide(
        made.q,
        made.k,
        rows,
        scale=case.scale,
        score=needles.SHARP_SCORE,
        soft_score=math.log(case.longest + 1) + 1,
        low_score=low_score,
        generator=generator,
    )
    return Tokens(q, k, made.v)


def _combed(case: DecodeCase, made: Tokens, generator: torch.Generator) -> Tokens:
    """Every key weighs in some row, see `combs`."""
    q, k, v = combs.comb(made.q, made.k, made.v, scale=case.scale, generator=generator, heads_share=True)
    return Tokens(q, k, _of_one_size(case, v))


def _flat(case: DecodeCase, made: Tokens, generator: torch.Generator) -> Tokens:
    """All keys weigh about alike, and values are far larger together than their mean, see `wide_sums`."""
    v = made.v
    for n, (first, last) in enumerate(case.seen):
        ordered = wide_sums.signs(last - first, case.v_head_dim).mT.to(v.device)
        v[n, :, first:last] += wide_sums.ORDERED * ordered
    return Tokens(wide_sums.FLAT * made.q, made.k, _of_one_size(case, v))


def _of_one_size(case: DecodeCase, v: Tensor) -> Tensor:
    """Values whose means are of about one size in all sequences, so that errors of long ones show beside short ones.

    What sequences share has to be the same in all of them, so that there values stay as they are.
    """
    if case.shared_prefix:
        v[:, :, : case.shared_prefix] = v[:1, :, : case.shared_prefix].clone()
        return v
    seen = torch.tensor([max(1, last - first) for first, last in case.seen], dtype=torch.float32, device=v.device)
    return v * (seen / seen.max()).sqrt()[:, None, None, None]


def allocated(case: DecodeCase, device: torch.device) -> KVCache:
    """An empty cache of the case's layout and format with room for its whole context, pages in random order."""
    layout = case.placing
    pages = [layout.pages_for(length) for length in case.lengths]
    shared = case.shared_prefix // layout.page_tokens if layout.paged and layout.page_tokens else 0
    table, pool = random_table(pages, shared, TABLE_SEED) if layout.paged else (None, None)
    return KVCache.allocate(
        layout,
        case.format,
        batch=case.batch,
        kv_heads=case.kv_heads,
        head_dim=case.head_dim,
        dtype=case.torch_dtype,
        capacity=max(case.longest, 1),
        device=device,
        table=table,
        pages=pool,
        used=pages,
        shared_pages=shared,
        guarded=True,
        v_head_dim=case.v_head_dim,
    )


def filled_cache(case: DecodeCase, tokens: Tokens, device: torch.device, counts: tuple[int, ...]) -> KVCache:
    """A cache with the first counts[b] tokens of each sequence in it; its lengths are those of the whole context.

    Scales are calibrated on the whole context, as on a prompt that was seen. Where there is no token lies what an
    earlier request may have left: the token behind the end, over and over, its value made large.
    """
    cache = allocated(case, device)
    lengths = torch.tensor(case.lengths, dtype=torch.int32, device=device)
    cache.calibrate(tokens.k, tokens.v, lengths)
    cache.write_everywhere(*_behind(tokens, lengths))
    cache.write(tokens.k, tokens.v, torch.zeros_like(lengths), torch.tensor(counts, dtype=torch.int32, device=device))
    cache.lengths.copy_(lengths)
    return cache


def _behind(tokens: Tokens, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The key behind the end of each sequence, and its value made large: [B, Hkv, 1, D] and [B, Hkv, 1, Dv].

    Where values are of the keys, the value made large is beyond what lies there.
    """
    sequence = torch.arange(len(lengths), device=lengths.device)
    k, v = (x[sequence, :, lengths.long()][:, :, None] for x in (tokens.k, tokens.v))
    return k, v * STALE
