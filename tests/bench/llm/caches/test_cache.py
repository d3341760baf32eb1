"""A cache in every layout and format: what is appended comes back, wherever it lies, and nothing else changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attnlab.bench.errors import CacheError, GuardViolation, ImpossibleCase, UnknownName
from attnlab.bench.llm.caches import KVCache, format_of, known_formats, layout_of
from attnlab.bench.llm.caches.costs import bytes_of_tokens
from attnlab.bench.llm.caches.tables import check_table, random_table

CPU = torch.device("cpu")
LAYOUTS = ("contiguous_bhsd", "contiguous_bshd", "paged:1", "paged:16", "paged:64", "paged_hsd:32", "ring:128")
FORMATS = tuple(known_formats())
B, H, D = 3, 2, 32


def fits(layout: str, format: str) -> bool:
    size = layout_of(layout).page_tokens
    return size is None or size % format_of(format).group == 0


PAIRS = [(layout, format) for layout in LAYOUTS for format in FORMATS if fits(layout, format)]


def empty(layout: str, format: str, capacity: int = 96, guarded: bool = False) -> KVCache:
    """Pages in random order where there are any."""
    placed = layout_of(layout)
    table, pool = None, None
    if placed.paged:
        table, pool = random_table([placed.pages_for(capacity)] * B, 0, seed=3)
    return KVCache.allocate(
        placed,
        format_of(format),
        batch=B,
        kv_heads=H,
        head_dim=D,
        dtype=torch.bfloat16,
        capacity=capacity,
        device=CPU,
        table=table,
        pages=pool,
        guarded=guarded,
    )


def random(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    k, v = (torch.randn(B, H, count, D, generator=generator).bfloat16() for _ in range(2))
    return k, v


def reference(format: str, k: Tensor, v: Tensor, calibrated_on: int) -> tuple[Tensor, Tensor]:
    """The tokens stored at once in one block, scales calibrated on the first of them."""
    cache = empty("contiguous_bhsd", format)
    cache.calibrate(k[:, :, :calibrated_on], v[:, :, :calibrated_on], torch.full((B,), calibrated_on))
    cache.write(k, v, torch.zeros(B, dtype=torch.int32))
    return cache.read(length=k.shape[2])


@pytest.mark.parametrize(("layout", "format"), PAIRS)
@pytest.mark.parametrize("steps", [(40,), (33, 1, 1, 5), (1, 31, 1, 7), (32, 8), (5, 30, 5)])
def test_tokens_come_back_however_they_were_appended(layout: str, format: str, steps: tuple[int, ...]) -> None:
    k, v = random(sum(steps))
    cache, done = empty(layout, format, guarded=True), 0
    for step in steps:
        cache.append(k[:, :, done : done + step], v[:, :, done : done + step])
        done += step
    assert cache.lengths.tolist() == [done] * B
    for got, want in zip(cache.read(), reference(format, k, v, steps[0]), strict=True):
        assert torch.equal(got, want)
    cache.check_guards()


@pytest.mark.parametrize(("layout", "format"), PAIRS)
def test_sequences_of_their_own_lengths_leave_each_other_alone(layout: str, format: str) -> None:
    cache = empty(layout, format)
    k, v = random(70)
    cache.calibrate(k, v, torch.full((B,), 70))
    cache.write_everywhere(k[:, :, :1] * 0 + 9, v[:, :, :1] * 0 + 9)
    before = {name: plane.clone() for name, plane in cache.growing().items()}
    counts = torch.tensor([70, 0, 33], dtype=torch.int32)
    cache.write(k, v, torch.zeros(B, dtype=torch.int32), counts)
    cache.lengths.copy_(counts)
    got, _ = cache.read(length=70)
    want, _ = reference(format, k, v, 70)
    assert torch.equal(got[0], want[0])
    complete = 33 // format_of(format).group * format_of(format).group
    assert torch.equal(got[2, :, :complete], want[2, :, :complete])
    if not layout_of(layout).paged:
        for name, plane in cache.growing().items():
            if name != "recent":
                assert torch.equal(plane[1], before[name][1]), "the sequence of no tokens was written to"


@pytest.mark.parametrize("format", FORMATS)
def test_a_ring_keeps_the_last_tokens(format: str) -> None:
    k, v = random(150)
    ring = empty("ring:64", format)
    block = empty("contiguous_bhsd", format, capacity=160)
    for cache in (ring, block):
        cache.append(k[:, :, :100], v[:, :, :100])
        for token in range(100, 150):
            cache.append(k[:, :, token : token + 1], v[:, :, token : token + 1])
    kept = 64 - (format_of(format).group - 1)
    for got, want in zip(ring.read(), block.read(), strict=True):
        assert torch.equal(got[:, :, -kept:], want[:, :, -kept:])


@pytest.mark.parametrize("layout", ["latent", "latent_paged:16"])
def test_latent_values_are_the_first_numbers_of_keys(layout: str) -> None:
    placed = layout_of(layout)
    table, pool = random_table([placed.pages_for(96)] * B, 0, seed=3) if placed.paged else (None, None)
    cache = KVCache.allocate(
        placed,
        format_of("same"),
        batch=B,
        kv_heads=1,
        head_dim=D,
        dtype=torch.bfloat16,
        capacity=96,
        device=CPU,
        table=table,
        pages=pool,
        guarded=True,
        v_head_dim=24,
    )
    k = random(40)[0][:, :1]
    for start, end in ((0, 33), (33, 34), (34, 40)):
        cache.append(k[:, :, start:end], k[:, :, start:end, :24])
    keys, values = cache.read()
    assert torch.equal(keys, k.float())
    assert torch.equal(values, k[..., :24].float())
    assert list(cache.growing()) == ["keys.data"]
    cache.check_guards()
    ranges = [(0, 40)] * B
    sizes = {"kv_heads": 1, "head_dim": D, "dtype": torch.bfloat16, "v_head_dim": 24}
    entries = 4 * 3 * B if placed.paged else 0
    assert bytes_of_tokens(placed, format_of("same"), ranges, **sizes) == B * 40 * D * 2 + entries  # type: ignore[arg-type]
    with pytest.raises(CacheError, match="and 24 numbers a value"):
        cache.append(k, k)


@pytest.mark.parametrize(
    ("heads", "v_head_dim", "format"), [(2, 16, "same"), (1, 33, "same"), (1, 16, "int8_token"), (1, 16, "int4_g32")]
)
def test_what_a_latent_layout_cannot_hold(heads: int, v_head_dim: int, format: str) -> None:
    with pytest.raises(ImpossibleCase, match="expected one head, values that are the first numbers of keys, and cache"):
        KVCache.allocate(
            layout_of("latent"),
            format_of(format),
            batch=1,
            kv_heads=heads,
            head_dim=32,
            dtype=torch.float32,
            capacity=8,
            device=CPU,
            v_head_dim=v_head_dim,
        )


def test_values_may_be_of_another_size_in_every_layout() -> None:
    for layout in LAYOUTS:
        placed = layout_of(layout)
        cache = KVCache.allocate(
            placed,
            format_of("int8_token"),
            batch=B,
            kv_heads=H,
            head_dim=D,
            dtype=torch.bfloat16,
            capacity=64,
            device=CPU,
            v_head_dim=16,
        )
        k, v = random(40)
        cache.append(k, v[..., :16])
        keys, values = cache.read()
        assert (keys.shape[3], values.shape[3]) == (D, 16)
        torch.testing.assert_close(values, v[..., :16].float(), rtol=0, atol=0.02)


def test_each_order_lies_in_memory_as_its_name_says() -> None:
    k, v = random(8)

    def data(layout: str) -> Tensor:
        cache = empty(layout, "same", capacity=32)
        cache.append(k, v)
        return cache.keys.planes["data"]

    assert data("contiguous_bshd").is_contiguous()
    assert data("contiguous_bhsd").transpose(1, 2).is_contiguous()
    assert data("paged:16").is_contiguous()
    assert data("paged_hsd:16").transpose(1, 2).is_contiguous()
    assert data("paged:16").shape == (B * 2 + 1, 16, H, D)  # and a page that is nobody's
    assert torch.equal(data("contiguous_bshd")[1, 5], k[1, :, 5])


@pytest.mark.parametrize(("layout", "format"), PAIRS)
def test_bytes_are_those_of_the_tensors(layout: str, format: str) -> None:
    """What must be read of a full cache is what its planes hold, but for the page that is nobody's."""
    cache = empty(layout, format, capacity=128)
    spare = sum(t[:1].numel() * t.element_size() for t in _planes(cache)) if cache.table is not None else 0
    recent = 0 if cache.recent is None else cache.recent.numel() * cache.recent.element_size()
    got = bytes_of_tokens(cache.layout, cache.format, [(0, 128)] * B, kv_heads=H, head_dim=D, dtype=torch.bfloat16)
    assert got == cache.nbytes - spare - recent - cache.lengths.numel() * 4


def _planes(cache: KVCache) -> list[Tensor]:
    return [p for name, p in cache.growing().items() if name != "recent"]


def test_bytes_of_a_shared_prefix_count_once_and_only_with_pages() -> None:
    def cost(layout: str, shared: int) -> int:
        return bytes_of_tokens(
            layout_of(layout),
            format_of("same"),
            [(0, 100), (0, 80)],
            kv_heads=1,
            head_dim=8,
            dtype=torch.float16,
            shared=shared,
        )

    token = 2 * 8 * 2
    assert cost("paged:16", 0) == 180 * token + 4 * (7 + 5)
    assert cost("paged:16", 64) == (180 - 64) * token + 4 * (7 + 5)
    assert cost("contiguous_bhsd", 64) == 180 * token


def test_appending_past_the_end_changes_nothing() -> None:
    cache = empty("paged:16", "int8_token", capacity=32)
    k, v = random(40)
    cache.append(k[:, :, :30], v[:, :, :30])
    before = cache.copy()
    with pytest.raises(CacheError, match="got 3 tokens to append, 33 in all; expected at most 32"):
        cache.append(k[:, :, :3], v[:, :, :3])
    for name, plane in cache.growing().items():
        assert torch.equal(plane.contiguous().view(torch.uint8), before.growing()[name].contiguous().view(torch.uint8))


def test_tokens_of_other_heads_are_refused() -> None:
    k, v = random(4)
    with pytest.raises(CacheError, match=r"got keys \[3, 1, 4, 32\].*expected both \[3, 2, T, D\]"):
        empty("paged:16", "same").append(k[:, :1], v[:, :1])


@pytest.mark.parametrize(
    ("layout", "format", "said"),
    [
        ("paged:16", "int4_g32", "a multiple of 32"),
        ("ring:40", "int4_g32", "a multiple of 32"),
    ],
)
def test_a_format_that_does_not_fit_a_layout_is_refused(layout: str, format: str, said: str) -> None:
    with pytest.raises(ImpossibleCase, match=said):
        empty(layout, format)


@pytest.mark.parametrize("size", ["paged:0", "paged:12", "paged", "paged:x", "paged:-4", "ring:0", "contiguous_bhsd:4"])
def test_sizes_that_are_none(size: str) -> None:
    with pytest.raises(ImpossibleCase, match="expected"):
        layout_of(size)


def test_a_layout_that_is_none() -> None:
    with pytest.raises(UnknownName, match="unknown layout 'pages'"):
        layout_of("pages:16")


def test_tables_are_checked_before_anything_is_allocated() -> None:
    def table(rows: list[list[int]], **options: object) -> None:
        check_table(torch.tensor(rows, dtype=torch.int32), 6, 2, **options)  # type: ignore[arg-type]

    table([[0, 1], [2, 3]])
    table([[0, 1], [0, 3]], shared_pages=1)
    table([[0, 5], [2, 5]], used=[1, 1])
    with pytest.raises(CacheError, match=r"got page 6 at \[1, 0\].*expected 0 to 5"):
        table([[0, 1], [6, 3]])
    with pytest.raises(CacheError, match=r"got page -1 at"):
        table([[0, -1], [2, 3]])
    with pytest.raises(CacheError, match=r"got page 1 twice in the block table, at \[0, 1\] and \[1, 0\]"):
        table([[0, 1], [1, 3]])
    with pytest.raises(CacheError, match=r"expected int32 \[2, pages"):
        table([[0, 1]])


def test_random_tables_share_only_the_prefix_and_point_elsewhere_behind_the_end() -> None:
    table, pool = random_table([4, 2, 3], 2, seed=0)
    assert pool == 2 + 2 + 0 + 1 + 1
    assert torch.equal(table[0, :2], table[1, :2])
    assert torch.equal(table[0, :2], table[2, :2])
    used = {*table[0].tolist(), *table[2, :3].tolist()}
    assert len(used) == pool - 1
    assert table[1, 2:].tolist() == [table[2, 3].item()] * 2
    assert table[2, 3].item() not in used


def test_guards_tell_where_something_was_written() -> None:
    cache = empty("contiguous_bhsd", "int8_token", guarded=True)
    cache.check_guards()
    plane = cache.keys.planes["data"]
    torch.as_strided(plane, (1,), (1,), plane.storage_offset() + plane.numel() + 3).fill_(7)
    with pytest.raises(GuardViolation, match=r"1 of 256 bytes behind keys\.data were written to, the first at 3"):
        cache.check_guards()
