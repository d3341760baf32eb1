"""The Gluon kernel of attention: its own source on a shim against float64, its races, its machine code, and a device.

Gluon has no interpreter, so `tests/helpers/gluon_shim.py` runs the source, copies and barriers included.
ATTNLAB_ALL_CONFIGURATIONS=1 compiles every head size with every mask and dtype.
"""

import functools
import itertools
import math
import os
import sys
from pathlib import Path

import pytest
import torch

from attnlab.bench.errors import Unavailable
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.profilers import sass
from attnlab.bench.profilers.triton_aot import SHARED_LIMIT_BYTES, KernelReport, target
from attnlab.impls.attention.gluon import SPACE, Gluon
from attnlab.kernels.gluon import attention_forward as host
from attnlab.kernels.gluon import attention_partitions as partitions

HELPERS = str(Path(__file__).parents[1] / "helpers")
sys.path.insert(0, HELPERS)
from gluon_shim import Deadlock, Kernel, Race  # noqa: E402

sys.path.remove(HELPERS)  # other tests find plugins of their own by the names of those that lie there

# (queries, keys), head size, (query heads, key heads), batch, causal, window
CASES = {
    "ragged": ((300, 300), 64, (2, 1), 1, False, None),
    "causal, more keys": ((200, 390), 128, (2, 1), 2, True, None),
    "causal, queries that see nothing": ((400, 260), 64, (2, 1), 1, True, None),
    "tiles that see nothing": ((400, 70), 128, (1, 1), 1, True, None),
    "one query": ((1, 500), 64, (4, 2), 1, True, None),
    "one key": ((130, 1), 64, (1, 1), 1, False, None),
    "whole tiles": ((256, 512), 128, (1, 1), 1, True, None),
    "a diagonal amid a tile": ((256, 320), 128, (1, 1), 1, True, None),
    "wide heads": ((150, 330), 256, (1, 1), 1, True, None),
    "window of a tile": ((300, 700), 256, (1, 1), 1, True, 100),
    "narrow window": ((300, 700), 64, (1, 1), 1, True, 30),
    "window of one key": ((140, 140), 64, (2, 2), 1, True, 1),
    "window wider than the keys": ((150, 150), 64, (1, 1), 1, True, 2**31 - 1),
    "several sections": ((260, 260), 64, (6, 3), 1, True, None),
}

TILINGS = [host.Tiling(**one) for one in SPACE.candidates() if host.Tiling(**one) not in host.TILINGS.values()]


def kernel(seed: int = 0, edits=()) -> Kernel:
    return Kernel(partitions, host, entry="_forward", seed=seed, edits=edits)


def drawn(sizes, head_dim, heads, batch, dtype=torch.bfloat16, rows_first=False) -> list[torch.Tensor]:
    """q, k, v [B, H, S, D], between whose rows lie NaN."""
    tensors = []
    for length, count in ((sizes[0], heads[0]), (sizes[1], heads[1]), (sizes[1], heads[1])):
        shape = (batch, length, count, head_dim + 8) if rows_first else (batch, count, length, head_dim + 8)
        room = torch.full(shape, torch.nan, dtype=dtype)
        room[..., :head_dim] = torch.randn(*shape[:3], head_dim)
        tensors.append((room.transpose(1, 2) if rows_first else room)[..., :head_dim])
    return tensors


def on_shim(q, k, v, *, causal, window, programs=3, scale=0.1) -> tuple[torch.Tensor, torch.Tensor]:
    out = torch.full(q.shape, torch.nan, dtype=q.dtype)
    lse = torch.full(q.shape[:3], torch.nan)
    host.launch(q, k, v, out, lse, scale=scale, causal=causal, window=window, programs=programs)
    return out, lse


def oracle(q, k, v, *, causal, window, scale=0.1) -> tuple[torch.Tensor, torch.Tensor]:
    q, k, v = (t.double() for t in (q, k, v))
    k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], 1) for t in (k, v))
    distance = torch.arange(q.shape[2])[:, None] + k.shape[2] - q.shape[2] - torch.arange(k.shape[2])
    allowed = torch.ones_like(distance, dtype=torch.bool)
    if causal:
        allowed &= distance >= 0
    if window is not None:
        allowed &= distance < window
    scores = (scale * q @ k.mT).masked_fill(~allowed, -torch.inf)
    lse = scores.logsumexp(-1)
    return (scores - lse.masked_fill(lse.isneginf(), 0)[..., None]).exp() @ v, lse


class TestOnTheShim:
    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    @pytest.mark.parametrize("seed", [0, 1])
    def test_matches_float64(self, case, seed, monkeypatch):
        sizes, head_dim, heads, batch, causal, window = case
        torch.manual_seed(seed)
        dtype = (torch.bfloat16, torch.float16)[seed]
        q, k, v = drawn(sizes, head_dim, heads, batch, dtype, rows_first=seed == 1)
        monkeypatch.setattr(host, "_forward", kernel(seed))
        if case is CASES["several sections"]:
            monkeypatch.setattr(host, "SECTION_BYTES", 2 * 2 * 260 * 64 * 2)  # of two heads of keys and values
        out, lse = on_shim(q, k, v, causal=causal, window=window, programs=1 + seed)
        expected, sums = oracle(q, k, v, causal=causal, window=window)
        blind = sums.isneginf()
        assert torch.equal(lse.isneginf(), blind)
        assert (lse - sums)[~blind].abs().max() < 1e-5
        error, size = out.double() - expected, expected.pow(2).mean().sqrt()
        assert error.pow(2).mean().sqrt() < 5e-3 * size
        assert error.abs().max() < 0.1 * size
        assert out[blind].eq(0).all()

    @pytest.mark.parametrize("tiling", TILINGS, ids=lambda tiling: f"{tiling.block_n}-{tiling.stages}")
    def test_every_tiling_that_is_searched(self, tiling, monkeypatch):
        monkeypatch.setattr(host, "_forward", kernel())
        q, k, v = drawn((140, 300), 64, (1, 1), 1)
        out, lse = torch.full(q.shape, torch.nan, dtype=q.dtype), torch.full(q.shape[:3], torch.nan)
        host.launch(q, k, v, out, lse, scale=0.1, causal=True, window=None, programs=1, tiling=tiling)
        expected, sums = oracle(q, k, v, causal=True, window=None)
        assert (lse - sums).abs().max() < 1e-5
        assert (out - expected).pow(2).mean().sqrt() < 5e-3 * expected.pow(2).mean().sqrt()

    def test_keys_without_weight_are_no_nan(self, monkeypatch):
        monkeypatch.setattr(host, "_forward", kernel())
        q, k, v = (t.abs() for t in drawn((100, 300), 64, (1, 1), 1))
        k[:, :, 128:] = -torch.inf
        out, lse = on_shim(q, k, v, causal=False, window=None)
        expected, sums = oracle(q, k[:, :, :128], v[:, :, :128], causal=False, window=None)
        assert (out - expected).abs().max() < 1e-2
        assert (lse - sums).abs().max() < 1e-5

    def test_what_no_query_of_a_tile_may_see_is_not_read(self, monkeypatch):
        monkeypatch.setattr(host, "_forward", kernel())
        q, k, v = drawn((128, 768), 64, (1, 1), 1)
        expected, _ = oracle(q, k, v, causal=True, window=100)
        k[:, :, :512] = v[:, :, :512] = torch.nan  # 768 - 128 - 100 keys lie before every window
        assert (on_shim(q, k, v, causal=True, window=100)[0] - expected).abs().max() < 1e-2

    def test_whole_numbers_are_exact(self, monkeypatch):
        monkeypatch.setattr(host, "_forward", kernel())
        q, k, v, expected = whole_numbers(300, 64, "cpu")
        assert torch.equal(on_shim(q, k, v, causal=True, window=None, scale=math.log(2))[0], expected)


WAIT_K = "    mbarrier.wait(k_full.index((at + 1) % STAGES), (at + 1) // STAGES & 1, pred=key_tile > begin)\n"
WAIT_V = "    mbarrier.wait(v_full.index(before), (at - 1) // STAGES & 1)\n    acc"
FREE_K = "    mbarrier.arrive(k_empty.index(stage), count=1)\n    masked"
FREE_V = "    mbarrier.arrive(v_empty.index(before), count=1)\n"
SCORES = "    scores = warpgroup_mma_wait(1, deps=[scores])\n"
PRODUCT = "    acc, weights = warpgroup_mma_wait(0, deps=[acc, weights])\n"
LOOP = "        for key_tile in range(end - 2, begin - 1, -1):"
# Name of a race: what stands in the source, and what is put there.
RACES = {
    "keys released before their product": (SCORES + FREE_K, FREE_K.replace("    masked", SCORES + "    masked")),
    "values released before their product": (PRODUCT + FREE_V, FREE_V + PRODUCT),
    "no wait for keys": (WAIT_K, ""),
    "no wait for values": (WAIT_V, "    acc"),
    "no wait for queries": ("mbarrier.wait(q_full.index(0), parity)", "pass"),
    "the other parity for values": (WAIT_V, WAIT_V.replace("& 1)", "& 1 ^ 1)")),
    "the other parity for free keys": (
        "k_empty.index(stage), (at // STAGES & 1) ^ 1",
        "k_empty.index(stage), at // STAGES & 1",
    ),
    "no wait for free queries": ("mbarrier.wait(q_empty.index(0), parity ^ 1)", "pass"),
    "no wait for free values": ("mbarrier.wait(v_empty.index(stage), ((at - 1) // STAGES & 1) ^ 1)", "pass"),
    "one consumer frees keys": ("k_empty = _barriers(STAGES, 2)", "k_empty = _barriers(STAGES, 1)"),
    "one consumer frees values": ("v_empty = _barriers(STAGES, 2)", "v_empty = _barriers(STAGES, 1)"),
    "one consumer frees queries": ("q_empty = _barriers(1, 2)", "q_empty = _barriers(1, 1)"),
    "three must free values": ("v_empty = _barriers(STAGES, 2)", "v_empty = _barriers(STAGES, 3)"),
    "the last values are never freed": ("        mbarrier.arrive(v_empty.index(stage), count=1)\n\n", ""),
    "values of the wrong buffer": ("value = values.index(before)", "value = values.index(stage)"),
    "scores used in flight": (SCORES, SCORES.replace("wait(1", "wait(2")),
    "half of the bytes are announced": (
        "v_full.index(stage), v.block_type.nbytes",
        "v_full.index(stage), v.block_type.nbytes // 2",
    ),
    "queries freed before the loop": (LOOP, "        mbarrier.arrive(q_empty.index(0), count=1)\n" + LOOP),
}


class TestRaces:
    @pytest.mark.parametrize("edit", RACES.values(), ids=RACES)
    def test_a_planted_race_is_caught(self, edit, monkeypatch):
        monkeypatch.setattr(host, "_forward", kernel(edits=[edit]))
        q, k, v = drawn((300, 700), 64, (1, 1), 1)
        with pytest.raises((Race, Deadlock)):
            on_shim(q, k, v, causal=False, window=None, programs=1)


REFUSED = {
    "head size 96 is not served: one of 64, 128, 256": AttentionCase(head_dim=96),
    "value head size 64 beside 128 is not served": AttentionCase(head_dim=128, v_head_dim=64),
    "float32 is not served: float16 or bfloat16": AttentionCase(dtype="float32"),
    "packed sequences are not served": AttentionCase(packed=(5, 7)),
}


class TestRefusals:
    @pytest.mark.parametrize("reason", REFUSED)
    def test_cases(self, reason):
        assert (Gluon().supports(REFUSED[reason]) or "").startswith(reason)

    def test_what_is_served(self):
        assert Gluon().supports(AttentionCase(head_dim=128, dtype="float16")) is None

    def test_tensors_that_the_copy_engine_cannot_read(self):
        room = torch.zeros(2, 4, 10, 72, dtype=torch.bfloat16)
        assert host.unreadable(room[..., :64]) is None
        assert "first element" in str(host.unreadable(room[..., 1:65]))
        assert "strides (2800, 700, 70, 1)" in str(host.unreadable(room.view(-1)[:5600].view(2, 4, 10, 70)[..., :64]))
        assert "not 0" in str(host.unreadable(room[:1].expand(2, -1, -1, -1)))
        assert (
            host.unreadable(room[:1, :, :, :64].as_strided((1, 4, 10, 64), (7, 720, 72, 1))) is None
        )  # an axis of one

    def test_unavailable_with_its_reason(self):
        class Inputs:
            q = k = v = torch.zeros(1, 1, 8, 65, dtype=torch.bfloat16)[..., 1:]

        with pytest.raises(Unavailable, match="the copy engine cannot read q: a first element"):
            Gluon().prepare(AttentionCase(), Inputs())

    @pytest.mark.parametrize(("sm", "said"), [(80, "a GPU of sm_80; expected sm_90"), (100, "a GPU of sm_100")])
    def test_other_architectures(self, sm, said):
        q = torch.empty(1, 1, 8, 64, dtype=torch.bfloat16, device="meta")
        with target(sm), pytest.raises(ValueError, match=said):
            host.attention_forward(q, q, q, scale=1.0)

    def test_tensors_on_the_cpu(self):
        q = torch.zeros(1, 1, 8, 64, dtype=torch.bfloat16)
        with pytest.raises(ValueError, match="expected tensors on a GPU"):
            host.attention_forward(q, q, q, scale=1.0)


# Instructions of a round of the main loop, of 64 queries and 128 keys, or 64 where heads are of 256; less the mask,
# which few rounds need. Of 474 for a head size of 128, four are for scores of -inf.
CEILINGS = {64: 445, 128: 482, 256: 455}
COMPILED = [
    (128, "full", "bfloat16"),
    (64, "causal", "float16"),
    (256, "window", "bfloat16"),
    (128, "causal", "bfloat16"),
]
if os.environ.get("ATTNLAB_ALL_CONFIGURATIONS"):
    COMPILED = list(itertools.product(host.TILINGS, ("full", "causal", "window"), ("bfloat16", "float16")))


@pytest.mark.usefixtures("fresh_cache")
class TestCompiled:
    @pytest.mark.parametrize(("head_dim", "mask", "dtype"), COMPILED)
    def test_for_hopper(self, head_dim, mask, dtype):
        report = compiled(head_dim, mask, getattr(torch, dtype))
        assert (report.spills, report.stack_bytes) == (0, 0)
        assert report.registers == host.MAX_REGISTERS
        registers = [int(i.operands.split()[-1], 16) for i in report.code if i.is_a("USETMAXREG")]
        assert registers.count(240) == 2  # the consumers
        assert 24 in registers
        assert 12 * host.MAX_REGISTERS == 4 * (240 + 240 + 24)  # the whole pool: warps come in fours
        assert report.shared_bytes <= SHARED_LIMIT_BYTES[90]
        assert report.count("UTMALDG") >= 4  # two of queries, one of keys, one of values, or more for wide heads
        # Of loops that multiply and take softmax, those where one product is waited for while another goes on.
        found = sass.loops(report.code, having="MUFU.EX2")
        main = [loop for loop in found if waits(loop) == ["gsb0, 0x1", "gsb0, 0x0"]]
        assert len(main) == 2, [(len(loop), waits(loop)) for loop in found]
        for loop in main:
            assert_pipelined(loop, head_dim)
            begin, end = sass.longest_skip(loop) if mask != "full" else (0, 0)
            assert len(loop) - (end - begin) <= CEILINGS[head_dim]
            assert sass.count(loop[begin:end], "HGMMA") == 0


def products(head_dim: int) -> int:
    """Instructions of a round's two products, each 16 deep."""
    return head_dim // 16 + host.TILINGS[head_dim].block_n // 16


def waits(loop: list[sass.Instruction]) -> list[str]:
    """For how many series of products a loop's waits leave in flight."""
    return [i.operands for i in loop if i.is_a("WARPGROUP.DEPBAR")]


def assert_pipelined(loop: list[sass.Instruction], head_dim: int) -> None:
    """Two series of products, each closed once, in flight; a wait for the first, every exp2, a wait for the other."""
    issued = [n for n, i in enumerate(loop) if i.is_a("HGMMA")]
    closed = [at for at, n in enumerate(issued, 1) if loop[n].operands.endswith("gsb0")]
    assert closed == [head_dim // 16, products(head_dim)]
    first, second = (n for n, i in enumerate(loop) if i.is_a("WARPGROUP.DEPBAR"))
    assert issued[-1] < first
    exponents = sass.count(loop[first:second], "MUFU.EX2")
    assert exponents == sass.count(loop, "MUFU.EX2") == host.TILINGS[head_dim].block_n // 2 + 2


@functools.cache
def compiled(head_dim: int, mask: str, dtype: torch.dtype) -> KernelReport:
    q = torch.empty(2, 8, 1000, head_dim, dtype=dtype, device="meta")
    k = torch.empty(2, 2, 1000, head_dim, dtype=dtype, device="meta")
    with target(90) as kernels:
        host.attention_forward(q, k, k, scale=0.1, causal=mask != "full", window=256 if mask == "window" else None)
    (report,) = kernels.reports
    return report


def whole_numbers(length: int, head_dim: int, device: str) -> tuple[torch.Tensor, ...]:
    """q, k, v and out, causal and at a scale of ln 2, that are exact: a product of stale registers shows.

    Rows of q and k are ±16, the same for eight rows on end: a score is 256 head_dim for keys of the query's own eight,
    and at least 1024 less for others, whose weights are then 0 while those of its own are 1. Out is their mean.
    """
    eight = torch.arange(length)[:, None] // 8
    signs = 1 - 2 * (eight * 2654435761 % 2**32 // 2 ** torch.arange(32) % 2)
    q = (16.0 * signs.repeat(1, head_dim // 32)).to(torch.bfloat16)[None, None]
    v = torch.randint(-8, 9, (1, 1, length, head_dim), generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    sums = torch.stack([v[0, 0, n - n % 8 : n + 1].double().sum(0) for n in range(length)])
    out = (sums / (torch.arange(length)[:, None] % 8 + 1)).to(torch.bfloat16)[None, None]
    return q.to(device), q.to(device), v.to(device), out.to(device)


@pytest.mark.gpu
class TestOnADevice:
    @pytest.mark.parametrize("head_dim", [64, 128, 256])
    @pytest.mark.parametrize("length", [128, 1000, 8192])
    def test_whole_numbers_are_exact(self, head_dim, length):
        if not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] != 9:
            pytest.skip("needs a GPU of compute capability 9.0")
        q, k, v, expected = whole_numbers(length, head_dim, "cuda")
        for _ in range(20):  # a race does not show each time
            out, _ = host.attention_forward(q, k, v, scale=math.log(2), causal=True)
            assert torch.equal(out, expected)

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_matches_float64(self, case):
        if not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] != 9:
            pytest.skip("needs a GPU of compute capability 9.0")
        sizes, head_dim, heads, batch, causal, window = case
        q, k, v = drawn(sizes, head_dim, heads, batch)
        out, lse = host.attention_forward(*(t.cuda() for t in (q, k, v)), scale=0.1, causal=causal, window=window)
        expected, sums = oracle(q, k, v, causal=causal, window=window)
        blind = sums.isneginf()
        assert torch.equal(lse.cpu().isneginf(), blind)
        assert (lse.cpu() - sums)[~blind].abs().max() < 1e-4
        assert (out.cpu() - expected).pow(2).mean().sqrt() < 5e-3 * expected.pow(2).mean().sqrt()
