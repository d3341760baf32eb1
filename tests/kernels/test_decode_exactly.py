"""Decoding by our kernel, exactly: every code, needles at every border, work shared unevenly, a workspace used again.

Under Triton's interpreter, in a process of its own (see `test_attention_interpreted`), and by inputs whose result is
exact also on a GPU, where there is one.
"""

import math
import os

import pytest
import torch

from attnlab.bench.llm.caches import KVCache, format_of, known_formats, layout_of
from attnlab.impls._cache import CODECS

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICES = ["cpu"] if INTERPRETED else [pytest.param("cuda", marks=pytest.mark.gpu)]
ON_A_DEVICE = pytest.mark.parametrize("device", DEVICES)
SHAPES = {  # layout, head size, queries, window, lengths
    "contiguous_bhsd": (64, 1, None, (129, 0)),
    "contiguous_bshd": (128, 3, None, (140, 31)),
    "paged:64": (96, 1, None, (200, 1)),
    "paged_hsd:128": (64, 2, 70, (257, 5)),
    "paged:32": (32, 1, None, (33, 64)),
    "ring:160": (64, 1, 100, (200, 90)),
}
# The interpreter takes each once, a device all of them.
PAIRS = [
    (layout, format)
    for n, layout in enumerate(SHAPES)
    for m, format in enumerate(known_formats())
    if m == n % len(known_formats()) or not INTERPRETED
]
LARGEST = {"same": 15, "int8": 127, "fp8_": 448, "int4": 15}  # code of its format
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def cache_of_numbers(layout, format, head_dim, lengths, dtype, device):
    """A cache whose numbers are small and whole, and what it holds: keys and values [B, Hkv, S, D]."""
    torch.manual_seed(zero_based(layout, format))
    longest = max(lengths)
    cache = KVCache.allocate(
        layout_of(layout),
        format_of(format),
        batch=len(lengths),
        kv_heads=1,
        head_dim=head_dim,
        dtype=dtype,
        capacity=longest,
        device=torch.device(device),
    )
    counts = torch.tensor(lengths, dtype=torch.int32, device=device)
    size = (len(lengths), 1, longest, head_dim)
    for side in (cache.keys, cache.values):
        for plane in side.planes.values():
            plane.view(torch.uint8).zero_()
    k, v = (torch.randint(0, 16, size, device=device).to(dtype) for _ in range(2))
    for x in (k, v):  # each scale is then one, each minimum zero
        x[:, :, 0::32], x[:, :, 1::32] = 0, 15
        x[..., 0::32], x[..., 1::32] = 0, LARGEST[format[:4]]
    cache.calibrate(k, v, counts)
    cache.write(k, v, torch.zeros_like(counts), counts)
    cache.lengths.copy_(counts)
    return cache


def zero_based(*names):
    return sum(map(ord, "".join(names)))


def decoded(cache, q, window=None, **options):
    from attnlab.kernels.triton.decode_attention import decode_attention

    keys, values = CODECS[cache.format.name]
    return decode_attention(
        q,
        cache.keys.planes,
        cache.values.planes,
        cache.lengths,
        key_codec=keys,
        value_codec=values,
        page_tokens=cache.page_tokens,
        table=cache.table,
        wraps=cache.layout.wraps,
        longest=int(cache.lengths.max()),
        window=window,
        **{"scale": 1.0} | options,
    )


def attended(cache, q, scale, window=None):
    """The same in float64, from what the cache holds."""
    keys, values = (x.double().cpu() for x in cache.read())
    lengths, q = cache.lengths.cpu(), q.double().cpu()
    group = q.shape[1] // keys.shape[1]
    keys, values = (x.repeat_interleave(group, 1) for x in (keys, values))
    place = lengths[:, None] - q.shape[2] + torch.arange(q.shape[2])
    token = torch.arange(keys.shape[2])
    seen = token <= place[..., None]
    if window is not None:
        seen &= token > place[..., None] - window
    scores = (q @ keys.transpose(2, 3) * scale).masked_fill(~seen[:, None], -math.inf)
    return scores.softmax(-1).nan_to_num(0.0) @ values.nan_to_num(0.0)


@ON_A_DEVICE
@pytest.mark.parametrize(("layout", "format"), PAIRS)
def test_equal_weights_and_needles_are_exact(layout, format, device):
    """Scores of zero give each token the same weight; a score far above the others gives its token alone."""
    head_dim, q_len, window, lengths = SHAPES[layout]
    for n, (name, dtype) in enumerate(DTYPES.items()):
        if (zero_based(layout, format) + n) % len(DTYPES) and device == "cpu":
            continue  # the interpreter takes one of them
        cache = cache_of_numbers(layout, format, head_dim, lengths, dtype, device)
        q = torch.zeros(len(lengths), 3, q_len, head_dim, dtype=dtype, device=device)
        got = decoded(cache, q, window, splits=2)
        expected = attended(cache, q, 1.0, window)
        step = torch.finfo(dtype).eps
        torch.testing.assert_close(got.double().cpu(), expected, rtol=2 * step, atol=step, msg=f"{name}, equal weights")
        # By a query along a channel in which all others are less, each row picks out a token that it may see.
        q = torch.randint(-8, 9, q.shape, device=device).to(dtype)
        keys, _ = cache.read()
        margin = margins(keys, q, cache.lengths, window)
        got = decoded(cache, q, window, splits=2, scale=64.0)
        expected = attended(cache, q, 64.0, window)
        sharp = (margin >= 2)[..., None].expand_as(expected)
        assert sharp.any()
        assert torch.equal(got.double().cpu()[sharp], expected.to(dtype).double()[sharp]), f"{name}, needles"


def margins(keys, q, lengths, window):
    """How far the largest score of each row is above the next, [B, Hq, Sq]; infinite where it is the only one."""
    keys, q, lengths = keys.double().cpu(), q.double().cpu(), lengths.cpu()
    keys = keys.repeat_interleave(q.shape[1] // keys.shape[1], 1)
    place = (lengths[:, None] - q.shape[2] + torch.arange(q.shape[2]))[:, None, :, None]
    token = torch.arange(keys.shape[2])
    seen = (token <= place) & (token > place - (window or 10**9))
    best = (q @ keys.transpose(2, 3)).masked_fill(~seen, -math.inf).topk(2, -1).values
    return torch.where(best[..., 0].isinf(), -math.inf, best[..., 0] - best[..., 1])


if not INTERPRETED:

    def test_under_the_interpreter(passes_interpreted):
        passes_interpreted(__file__)


import triton  # noqa: E402
import triton.language as tl  # noqa: E402

from attnlab.kernels.triton.decode_planes import numbers  # noqa: E402

PLANES = {"int8": 2, "fp8": 2, "fp8_bits": 2, "int4": 4}


@triton.jit
def write_numbers(units, out, KIND: tl.constexpr, PLANES: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    planes = numbers(tl.load(units + place), KIND, PLANES, tl.float16)
    for PLANE in tl.static_range(PLANES):
        tl.store(out + PLANE * 65536 + place, planes[PLANE])


@ON_A_DEVICE
@pytest.mark.parametrize("kind", PLANES)
def test_every_unit_of_codes_has_its_numbers(kind, device):
    """All 65,536 of them, in every plane, beside another unit in the same register."""
    units = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16)
    units = torch.stack([units[::2], units[1::2].flip(0)], 1).flatten().to(device)
    out = torch.empty(PLANES[kind], 65536, dtype=torch.float16, device=device)
    write_numbers[(16,)](units, out, KIND=kind, PLANES=PLANES[kind], BLOCK=4096)
    expected = expected_numbers(units.cpu(), kind)
    assert torch.equal(out.cpu().isnan(), expected.isnan())
    assert torch.equal(out.cpu().nan_to_num(), expected.nan_to_num())


def expected_numbers(units, kind):
    """Planes of units by torch: [planes, units] in float16."""
    low, high = units.view(torch.uint8).view(-1, 2).T.contiguous()
    if kind == "int8":
        return torch.stack([low.view(torch.int8), high.view(torch.int8)]).half()
    if kind.startswith("fp8"):
        return torch.stack([low, high]).view(torch.float8_e4m3fn).half()
    return torch.stack([low & 15, low >> 4, high & 15, high >> 4]).half() / 2


@ON_A_DEVICE
@pytest.mark.parametrize("format", ["same", "int8_token"])
def test_a_workspace_serves_launch_after_launch(format, device):
    """Counters are zeros again, and what an earlier launch left in it is not read."""
    from attnlab.kernels.triton.decode_cuts import cut_call

    cache = cache_of_numbers("paged:64", format, 64, (300, 7), torch.float16, device)
    q = torch.randn(2, 2, 1, 64, dtype=torch.float16, device=device)
    space = cut_call(q, 1, key_codec=CODECS[format][0], longest=300, splits=4).workspace(q)
    first = decoded(cache, q, splits=4, workspace=space)
    assert not space.counters.any()
    for spoilt in (math.nan, 1e9):
        space.partial.fill_(spoilt)
        space.lse.fill_(spoilt)
        assert torch.equal(decoded(cache, q, splits=4, workspace=space), first)
    with pytest.raises(ValueError, match=r"a workspace of .*; expected .*; allocate it for these arguments"):
        decoded(cache, q, splits=5, workspace=space)


@ON_A_DEVICE
def test_a_long_sequence_beside_short_ones_has_many_units(device):
    """Also beside more sequences than are looked at together."""
    lengths = [3] * 66
    lengths[64] = 400
    cache = cache_of_numbers("contiguous_bshd", "same", 16, tuple(lengths), torch.float32, device)
    q = torch.randn(66, 2, 1, 16, device=device)
    got = decoded(cache, q, splits=1, scale=0.25)
    torch.testing.assert_close(got.double().cpu(), attended(cache, q, 0.25), rtol=1e-4, atol=1e-4)


@ON_A_DEVICE
@pytest.mark.parametrize("window", [None, 50])
def test_a_chunk_of_a_prompt(window, device):
    """130 queries of 4 heads in tiles of 128 rows, the last of which is not full; of one sequence most see nothing."""
    cache = cache_of_numbers("paged:16", "same", 16, (300, 40), torch.bfloat16, device)
    q = torch.randn(2, 4, 130, 16, dtype=torch.bfloat16, device=device)
    got, expected = decoded(cache, q, window, splits=2, scale=0.05), attended(cache, q, 0.05, window)
    torch.testing.assert_close(got.double().cpu(), expected, rtol=0.01, atol=0.06)  # values to 15
    assert not got[1, :, :90].any()


if INTERPRETED:

    @pytest.mark.parametrize(("q_len", "splits"), [(130, 1), (130, 3), (2, 2)])
    def test_keys_are_read_as_often_as_the_launch_plan_says(q_len, splits, monkeypatch):
        from attnlab.kernels.triton import decode_tiles
        from attnlab.kernels.triton.decode_cuts import cut_call

        cache = cache_of_numbers("paged:16", "same", 16, (300,), torch.float16, "cpu")
        q = torch.randn(1, 4, q_len, 16, dtype=torch.float16)
        cut = cut_call(q, 1, key_codec="same", longest=300, splits=splits)
        load, loads = decode_tiles.load_parts, []
        monkeypatch.setattr(decode_tiles, "load_parts", lambda *given: (loads.append(given), load(*given))[1])
        decoded(cache, q, splits=splits, scale=0.05)
        assert len(loads) / 2 * cut.tiling.block_n == cut.keys_read(q_len, 300)  # keys and values


@ON_A_DEVICE
@pytest.mark.parametrize("format", ["int8_token", "fp8_e4m3_token"])
@pytest.mark.parametrize("size", [1e-30, 1e-4, 1e4, 1e30])
def test_scales_beyond_float16_keep_their_numbers(format, size, device):
    """Weights times scales of values, queries times powers of two: both are kept within float16, whatever the size."""
    torch.manual_seed(0)
    cache = KVCache.allocate(
        layout_of("contiguous_bhsd"),
        format_of(format),
        batch=1,
        kv_heads=1,
        head_dim=64,
        dtype=torch.bfloat16,
        capacity=200,
        device=torch.device(device),
    )
    k, v = (torch.randn(1, 1, 200, 64, device=device) for _ in range(2))
    counts = torch.tensor([200], dtype=torch.int32, device=device)
    growing = torch.logspace(-4, 0, 200, device=device)[:, None]
    cache.write(k, v * size * growing, torch.zeros_like(counts), counts)
    cache.lengths.copy_(counts)
    q = (torch.randn(1, 4, 1, 64, device=device) * size).bfloat16()
    got, expected = decoded(cache, q, scale=0.1 / size, splits=2).double().cpu(), attended(cache, q, 0.1 / size)
    assert (got - expected).abs().max() < 0.01 * expected.abs().max()


@ON_A_DEVICE
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_four_bit_codes_at_the_ends_of_float16(dtype, device):
    """From -65504 to 65504 in 15 steps, as float16 holds one, is 32 more than float16 holds."""
    torch.manual_seed(0)
    cache = KVCache.allocate(
        layout_of("contiguous_bhsd"),
        format_of("int4_g32"),
        batch=1,
        kv_heads=1,
        head_dim=64,
        dtype=dtype,
        capacity=100,
        device=torch.device(device),
    )
    k, v = (torch.randn(1, 1, 100, 64, device=device) * 1e5 for _ in range(2))
    counts = torch.tensor([100], dtype=torch.int32, device=device)
    cache.write(k.clamp(-65504, 65504), v.clamp(-65504, 65504), torch.zeros_like(counts), counts)
    cache.lengths.copy_(counts)
    q = torch.randn(1, 4, 1, 64, dtype=dtype, device=device)
    got, expected = decoded(cache, q, scale=1e-6).double().cpu(), attended(cache, q, 1e-6)
    assert (got - expected).abs().max() < 0.01 * expected.abs().max()
