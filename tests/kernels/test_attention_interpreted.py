"""The attention kernels' results, forward and backward, under Triton's interpreter against float64.

Triton reads TRITON_INTERPRET when a kernel is defined, and other tests need the same kernels compiled: so the tests
proper, the classes below, run in a pytest of their own.
"""

import os
from dataclasses import dataclass, replace

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16
# Relative root-mean-square error: orders of summation in float32, twice the rounding of the result in 16 bits.
ALLOWED = {F32: 2e-6, F16: 6e-4, BF16: 5e-3}


@dataclass(frozen=True)
class Case:
    q_len: int
    kv_len: int
    dtype: torch.dtype
    head_dim: int = 64
    v_head_dim: int | None = None
    heads: tuple[int, int] = (2, 2)  # of queries, of keys
    batch: int = 1
    causal: bool = False
    window: int | None = None
    packed: tuple[int, ...] = ()
    rows_first: bool = False  # [B, S, H, D] in memory

    def __str__(self) -> str:
        mask = f"window{self.window}" if self.window else "causal" if self.causal else "full"
        packed = f"-packed{'+'.join(map(str, self.packed))}" if self.packed else ""
        heads = "over".join(map(str, self.heads))
        size = f"D{self.head_dim}" + (f"to{self.v_head_dim}" if self.v_head_dim else "")
        return f"{self.q_len}x{self.kv_len}-{size}-{heads}-{str(self.dtype)[6:]}-{mask}{packed}"


def packed(*sizes: int, **axes) -> Case:
    return Case(sum(sizes), sum(sizes), packed=sizes, **axes)


CASES = [
    Case(45, 70, F32, batch=2, heads=(1, 1)),
    Case(256, 256, F16, head_dim=32),  # tiles without a mask only
    Case(256, 256, BF16, head_dim=32, heads=(1, 1), causal=True),
    Case(130, 200, BF16, heads=(2, 1), batch=2, causal=True, rows_first=True),
    Case(200, 130, F16, head_dim=16, heads=(3, 1), causal=True),  # 70 queries see nothing
    Case(150, 150, BF16, head_dim=80, heads=(1, 1), causal=True, window=70),
    Case(40, 40, BF16, head_dim=32, causal=True, window=2),
    Case(50, 130, F16, head_dim=33, v_head_dim=96, heads=(1, 1), causal=True, window=33),
    Case(190, 150, BF16, heads=(1, 1), causal=True, window=1000),
    Case(70, 90, BF16, head_dim=16, causal=True, window=2**31 - 1),  # of which no sum may pass 32 bits
    Case(50, 70, F32, head_dim=96, v_head_dim=40, heads=(1, 1), causal=True, rows_first=True),
    Case(1, 300, BF16, head_dim=128, heads=(4, 1), causal=True),
    Case(9, 5, F32, head_dim=1, v_head_dim=3, causal=True),
    packed(70, 37, 0, 1, 30, dtype=BF16, heads=(4, 2)),
    packed(0, 3, 0, 90, 2, 64, 1, 0, 0, dtype=BF16, head_dim=16, heads=(1, 1), causal=True),
    packed(33, 40, dtype=F32, head_dim=33, heads=(2, 1), causal=True),
    packed(20, 140, 7, dtype=F16, head_dim=48, v_head_dim=64, heads=(1, 1), causal=True, window=25, rows_first=True),
    Case(65, 130, BF16, head_dim=256, heads=(1, 1), causal=True),
    Case(70, 100, F16, head_dim=192, v_head_dim=128, heads=(1, 1)),
    Case(33, 40, F16, head_dim=200, heads=(1, 1), causal=True),
    Case(40, 50, BF16, head_dim=144, v_head_dim=130, heads=(1, 1), causal=True),
]

if not INTERPRETED:

    def test_under_the_interpreter(passes_interpreted):
        passes_interpreted(__file__)

else:
    import triton
    import triton.language as tl

    from attnlab.kernels.triton.attention_arguments import check
    from attnlab.kernels.triton.attention_backward import attention_backward
    from attnlab.kernels.triton.attention_forward import attention_forward
    from attnlab.kernels.triton.attention_masks import Mask
    from attnlab.kernels.triton.attention_places import place, sequence_at

    @pytest.fixture(autouse=True)
    def fresh_memory_is_nan():
        torch.manual_seed(0)
        torch.use_deterministic_algorithms(True)
        assert torch.utils.deterministic.fill_uninitialized_memory
        assert torch.empty(3).isnan().all()
        yield
        torch.use_deterministic_algorithms(False)

    class TestForward:
        @pytest.mark.parametrize("case", CASES, ids=str)
        def test_matches_float64(self, case):
            q, k, v = inputs(case)
            before = [t.clone() for t in (q, k, v)]
            out, lse = attention_forward(q, k, v, scale=0.2, **arguments(case))
            expected_out, expected_lse = oracle(q.double(), k.double(), v.double(), 0.2, case)
            assert out.dtype == case.dtype
            assert lse.dtype == F32
            assert_close(out, expected_out, ALLOWED[case.dtype])
            blind = expected_lse.isneginf()
            assert torch.equal(lse.isneginf(), blind)
            assert_close(lse[~blind], expected_lse[~blind], ALLOWED[F32])
            assert out.transpose(1, 2)[blind.transpose(1, 2)].eq(0).all()
            assert all(torch.equal(a, b) for a, b in zip(before, (q, k, v), strict=True))

        def test_reads_no_tile_that_it_may_skip(self):
            case = Case(64, 512, BF16, causal=True, window=100)
            q, k, v = inputs(case)
            expected, _ = oracle(q.double(), k.double(), v.double(), 0.2, case)
            k[:, :, :256] = v[:, :, :256] = torch.nan  # 512 - 64 - 100 keys lie before every window
            out, _ = attention_forward(q, k, v, scale=0.2, **arguments(case))
            assert_close(out, expected, ALLOWED[BF16])

        def test_large_scores_do_not_overflow(self):
            case = Case(40, 70, F32)
            q, k, v = (t * 100 for t in inputs(case))
            out, lse = attention_forward(q, k, v, scale=1.0)
            assert_close(lse, oracle(q.double(), k.double(), v.double(), 1.0, case)[1], ALLOWED[F32])
            assert out.isfinite().all()

        def test_a_tile_of_keys_without_weight_is_no_nan(self):
            case = Case(40, 256, F32)
            q, k, v = (t.abs() for t in inputs(case))
            k[:, :, :128] = -torch.inf
            out, lse = attention_forward(q, k, v, scale=1.0)
            expected, sums = oracle(q.double(), k[:, :, 128:].double(), v[:, :, 128:].double(), 1.0, Case(40, 128, F32))
            assert_close(out, expected, ALLOWED[F32])
            assert_close(lse, sums, ALLOWED[F32])

        def test_longest_sequence_may_be_given(self):
            case = packed(50, 20, dtype=BF16, causal=True)
            q, k, v = inputs(case)
            out, lse = attention_forward(q, k, v, scale=0.2, **arguments(case))
            again, lse_again = attention_forward(q, k, v, scale=0.2, max_seqlen=64, **arguments(case))
            assert torch.equal(out, again)
            assert torch.equal(lse, lse_again)

        @pytest.mark.parametrize(("q_len", "kv_len"), [(0, 5), (5, 0)])
        def test_nothing_to_see(self, q_len, kv_len):
            q, k, v = inputs(Case(q_len, kv_len, BF16))
            out, lse = attention_forward(q, k, v, scale=0.2)
            assert out.eq(0).all()
            assert lse.isneginf().all()

    @triton.jit(do_not_specialize=["sequences", "rows", "heads"])
    def write_place(out, cu_seqlens, sequences, rows, heads, BLOCK: tl.constexpr, LAST_FIRST: tl.constexpr):
        tile, head, sequence = place(cu_seqlens, sequences, rows, heads, BLOCK, True, LAST_FIRST)
        to = out + 3 * tl.program_id(0)
        tl.store(to, tile)
        tl.store(to + 1, head)
        tl.store(to + 2, sequence)

    @triton.jit(do_not_specialize=["sequences"])
    def write_sequences(out, cu_seqlens, sequences, at, BLOCK: tl.constexpr):
        for n in range(32):
            tl.store(out + n, sequence_at(cu_seqlens, sequences, tl.load(at + n), BLOCK))

    PACKS = {
        "ragged": [70, 0, 1, 16, 17, 32, 0, 0, 15, 200],
        "one": [33],
        "empty but one": [0] * 140 + [5] + [0] * 20,
        "one token each": [1] * 60,
        "whole tiles": [16] * 40,
        "long at the end": [8] * 40 + [500],
        "long first": [500] + [8] * 40,
    }

    def starts_of(sizes: list[int]) -> torch.Tensor:
        return torch.tensor([0, *sizes]).cumsum(0).int()

    def programs(sizes: list[int], heads: int, block: int) -> int:
        q = torch.zeros(1, heads, sum(sizes), 1)
        pack = {"cu_seqlens": starts_of(sizes), "max_seqlen": None}
        return check(q, q, q, scale=1.0, mask=Mask("causal"), **pack).programs(sum(sizes), heads, block)

    class TestPlaces:
        @pytest.mark.parametrize("sizes", PACKS.values(), ids=PACKS)
        @pytest.mark.parametrize("last_first", [False, True])
        def test_each_tile_of_a_pack_is_one_programs(self, sizes, last_first):
            heads = 1 if len(sizes) > 20 else 3
            out = torch.full((programs(sizes, heads, 16), 3), -1, dtype=torch.int32)
            write_place[(len(out),)](out, starts_of(sizes), len(sizes), sum(sizes), heads, 16, last_first)
            found = [(h, n, t) for t, h, n in out.tolist() if t * 16 < sizes[n]]
            wanted = [(h, n, t) for h in range(heads) for n, size in enumerate(sizes) for t in range(-(-size // 16))]
            assert sorted(found) == wanted
            assert all(t >= 0 for t, _, _ in out.tolist())
            if last_first:
                assert [place[1:] for place in found if place[0] == 0] == [w[1:] for w in wanted if w[0] == 0][::-1]

        def test_a_sequence_is_found_among_thousands(self):
            sizes = torch.randint(0, 3, (40_000,)).tolist()
            sizes[:300] = sizes[-300:] = [0] * 300
            firsts = starts_of(sizes)[:-1] // 16 + torch.arange(40_000)
            last = sum(sizes) // 16 + 40_000 - 1
            at = torch.randint(0, last, (32,)).int()
            at[:4] = torch.tensor([0, 1, last - 1, last])
            out = torch.full((32,), -1, dtype=torch.int32)
            write_sequences[(1,)](out, starts_of(sizes), len(sizes), at, 16)
            assert out.tolist() == (torch.searchsorted(firsts, at, right=True) - 1).tolist()

        def test_programs_beside_those_of_use(self):
            """Were 4096 × 512 a head, of which 0.22 % had a tile."""
            sizes = [32_768] + [8] * 4095
            assert sum(-(-size // 64) for size in sizes) == 4607
            assert programs(sizes, 1, 64) == 5119

    class TestBackward:
        @pytest.mark.parametrize("case", CASES[::2], ids=str)
        def test_matches_float64(self, case):
            q, k, v = inputs(case)
            out, lse = attention_forward(q, k, v, scale=0.2, **arguments(case))
            dout = poisoned(*out.shape, dtype=case.dtype, rows_first=case.rows_first)
            got = attention_backward(dout, q, k, v, out, lse, scale=0.2, **arguments(case))
            doubles = [t.double().requires_grad_() for t in (q, k, v)]
            expected = torch.autograd.grad(oracle(*doubles, 0.2, case)[0], doubles, dout.double())
            for gradient, wanted in zip(got, expected, strict=True):
                assert gradient.dtype == case.dtype
                assert_close(gradient, wanted, 2 * ALLOWED[case.dtype])

        @pytest.mark.parametrize(("q_len", "kv_len"), [(0, 5), (5, 0)])
        def test_nothing_to_see(self, q_len, kv_len):
            q, k, v = inputs(Case(q_len, kv_len, BF16))
            out, lse = attention_forward(q, k, v, scale=0.2)
            gradients = attention_backward(out, q, k, v, out, lse, scale=0.2)
            assert [g.shape for g in gradients] == [q.shape, k.shape, v.shape]
            assert all(g.eq(0).all() for g in gradients)

    REFUSED = {
        "q has three axes": dict(q=torch.zeros(2, 8, 16)),
        "float64": dict(q=torch.zeros(1, 2, 8, 16, dtype=torch.float64)),
        "k of another dtype": dict(k=torch.zeros(1, 2, 8, 16, dtype=F16)),
        "k of another head size": dict(k=torch.zeros(1, 2, 8, 15)),
        "k and v of unequal lengths": dict(v=torch.zeros(1, 2, 7, 16)),
        "another batch": dict(k=torch.zeros(2, 2, 8, 16), v=torch.zeros(2, 2, 8, 16)),
        "heads that do not divide": dict(q=torch.zeros(1, 3, 8, 16)),
        "head size 257": dict(q=torch.zeros(1, 2, 8, 257), k=torch.zeros(1, 2, 8, 257)),
        "value head size 0": dict(v=torch.zeros(1, 2, 8, 0)),
        "gaps in rows": dict(q=torch.zeros(1, 2, 16, 8).transpose(2, 3)),
        "scale 0": dict(scale=0.0),
        "scale nan": dict(scale=float("nan")),
        "window 0": dict(causal=True, window=0),
        "window without causal": dict(window=4),
        "max_seqlen alone": dict(max_seqlen=8),
        "cu_seqlens of int64": dict(cu_seqlens=torch.tensor([0, 8])),
        "cu_seqlens from 1": dict(cu_seqlens=torch.tensor([1, 8], dtype=torch.int32)),
        "cu_seqlens too short": dict(cu_seqlens=torch.tensor([0, 7], dtype=torch.int32)),
        "cu_seqlens falling": dict(cu_seqlens=torch.tensor([0, 9, 8], dtype=torch.int32)),
        "max_seqlen too small": dict(cu_seqlens=torch.tensor([0, 3, 8], dtype=torch.int32), max_seqlen=4),
    }

    class TestRefusals:
        @pytest.mark.parametrize("wrong", REFUSED.values(), ids=REFUSED)
        def test_forward(self, wrong):
            good = {name: torch.zeros(1, 2, 8, 16) for name in "qkv"} | {"scale": 0.2}
            with pytest.raises(ValueError, match=r"^got .*; expected .*; .*"):
                attention_forward(**(good | wrong))

        def test_packed_queries_and_keys_of_unequal_lengths(self):
            q, k = torch.zeros(1, 2, 8, 16), torch.zeros(1, 2, 9, 16)
            with pytest.raises(ValueError, match="packed"):
                attention_forward(q, k, k, scale=0.2, cu_seqlens=torch.tensor([0, 8], dtype=torch.int32))

        @pytest.mark.parametrize(
            "wrong",
            [
                dict(dout=torch.zeros(1, 2, 8, 15)),
                dict(dout=torch.zeros(1, 2, 8, 16, dtype=F16)),
                dict(dout=torch.zeros(1).expand(1, 2, 8, 16)),
                dict(out=torch.zeros(1, 2, 7, 16)),
                dict(lse=torch.zeros(1, 2, 8, dtype=F16)),
                dict(lse=torch.zeros(1, 8, 2).transpose(1, 2)),
                dict(window=3),
            ],
            ids=lambda wrong: next(iter(wrong)),
        )
        def test_backward(self, wrong):
            good = {name: torch.zeros(1, 2, 8, 16) for name in ("dout", "q", "k", "v", "out")}
            with pytest.raises(ValueError, match=r"^got .*; expected .*; .*"):
                attention_backward(**(good | {"lse": torch.zeros(1, 2, 8), "scale": 0.2} | wrong))


def inputs(case: Case) -> tuple[torch.Tensor, ...]:
    q_heads, kv_heads = case.heads
    return tuple(
        poisoned(case.batch, heads, length, size, dtype=case.dtype, rows_first=case.rows_first)
        for heads, length, size in (
            (q_heads, case.q_len, case.head_dim),
            (kv_heads, case.kv_len, case.head_dim),
            (kv_heads, case.kv_len, case.v_head_dim or case.head_dim),
        )
    )


def poisoned(B: int, H: int, S: int, D: int, *, dtype: torch.dtype, rows_first: bool) -> torch.Tensor:
    """Normal values [B, H, S, D] amid NaN: before, after, and between heads, rows and columns."""
    if rows_first:
        room = torch.full((B, S + 2, H + 1, D + 8), torch.nan, dtype=dtype)
        view = room[:, 1:-1, 1:, :D].transpose(1, 2)
    else:
        view = torch.full((B, H + 1, S + 2, D + 8), torch.nan, dtype=dtype)[:, 1:, 1:-1, :D]
    return view.copy_(torch.randn(B, H, S, D))


def arguments(case: Case) -> dict:
    starts = torch.tensor((0, *case.packed)).cumsum(0).int() if case.packed else None
    return {"causal": case.causal, "window": case.window, "cu_seqlens": starts}


def oracle(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, case: Case):
    """Attention over the whole score matrix, and its lse."""
    if case.packed:
        alone = replace(case, packed=())
        parts = zip(*(t.split(case.packed, dim=2) for t in (q, k, v)), strict=True)
        outs, lses = zip(*(oracle(*part, scale, alone) for part in parts), strict=True)
        return torch.cat(outs, dim=2), torch.cat(lses, dim=2)
    k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for t in (k, v))
    shift = k.shape[2] - q.shape[2]
    distance = torch.arange(q.shape[2])[:, None] + shift - torch.arange(k.shape[2])
    allowed = torch.full_like(distance, True, dtype=torch.bool)
    if case.causal:
        allowed &= distance >= 0
    if case.window is not None:
        allowed &= distance < case.window
    scores = (scale * q @ k.transpose(2, 3)).masked_fill(~allowed, -torch.inf)
    lse = scores.logsumexp(-1)
    weights = (scores - lse.masked_fill(lse.isneginf(), 0)[..., None]).exp()
    return weights @ v, lse


def assert_close(got: torch.Tensor, expected: torch.Tensor, allowed: float) -> None:
    assert got.shape == expected.shape
    error, size = (got.double() - expected).flatten(), expected.pow(2).mean().sqrt()
    assert error.pow(2).mean().sqrt() <= allowed * size
    assert error.abs().max() <= 20 * allowed * size
