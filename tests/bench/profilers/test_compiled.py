"""What is read of compiled code, and how many blocks fit; expected figures were worked out by hand."""

from __future__ import annotations

import pytest

from attnlab.bench.errors import UsageError
from attnlab.bench.profilers.compiled import counting
from attnlab.bench.profilers.compiled.c_kernels import _loops
from attnlab.bench.profilers.compiled.devices import ARCHITECTURES, occupancy
from attnlab.bench.profilers.compiled.resources import KernelResources, LoopResources
from attnlab.bench.profilers.compiled.table import gpu_cells
from attnlab.bench.profilers.compiled.targets import targets_of
from attnlab.bench.profilers.sass import instructions

PTX = """
.reqntid 384
@%p1 ld.global.v4.b32 { %r1, %r2, %r3, %r4 }, [ %rd1 + 0 ];
ld.global.L1::evict_last.v2.b32 { %r1, %r2 }, [ %rd1 + 0 ];
ld.global.b16 { %rs1 }, [ %rd1 + 0 ];
cp.async.cg.shared.global [ %r5 + 0 ], [ %rd2 + 0 ], 0x10, %r6;
cp.async.ca.shared.global [ %r5 + 0 ], [ %rd2 + 0 ], 0x8;
cp.async.commit_group;
cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd1, {%r1}], [%r2];
cp.async.bulk.commit_group;
st.global.v4.b32 [ %rd3 + 0 ], { %r1, %r2, %r3, %r4 };
mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 { %f1 }, { %r1 }, { %r2 }, { %f1 };
mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 { %f1 }, { %r1 }, { %r2 }, { %f1 };
wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 { %f1 }, %rd1, %rd2, 1, 1, 1, 0, 0;
@%p2 tcgen05.mma.cta_group::1.kind::f16 [ %r1 + 0 ], %rd1, %rd2, %r3, %p3;
cvt.rn.f16x2.e4m3x2 %r1, %rs1;
cvt.u64.u32 %rd1, %r1;
"""


def test_what_is_counted_in_ptx() -> None:
    assert counting.tensor_instructions(PTX) == {"mma bf16": 1, "mma tf32": 1, "wgmma f16": 1, "tcgen05 f16": 1}
    assert counting.operand_bits(counting.tensor_instructions(PTX)) == 32
    assert counting.operand_bits({}) is None
    assert counting.copies(PTX) == {"cp.async": 2, "cp.async.bulk.tensor": 1}
    assert counting.moves(PTX, "ld") == {"2": 1, "8": 2, "16": 2}
    assert counting.moves(PTX, "st") == {"16": 1}
    assert counting.threads(PTX) == 384
    assert counting.ptx_conversions(PTX) == 1


def test_the_main_loop_is_the_busy_one_with_fewest_instructions() -> None:
    masked, whole = LoopResources(500, tensor=64, loads=8), LoopResources(300, tensor=64, loads=8)
    search, tail = LoopResources(20, loads=1), LoopResources(100, tensor=8, loads=8)
    assert counting.main_loop([search, masked, whole, tail]) == 2
    assert counting.main_loop([search, LoopResources(30, loads=4)]) == 1
    assert counting.main_loop([]) is None


def test_a_branch_to_itself_is_no_loop() -> None:
    listing = """
.L_x_0:
        /*0000*/ LDG.E R0, [R2] ;
        /*0010*/ @P0 BRA `(.L_x_0) ;
.L_x_1:
        /*0020*/ BRA `(.L_x_1);
"""
    assert [(loop.instructions, loop.loads) for loop in counting.loops_of(instructions(listing))] == [(2, 1)]


@pytest.mark.parametrize(
    ("sm", "registers", "threads", "shared", "expected"),
    [
        (80, 255, 128, 0, (2, 2 * 4 / 64, "registers")),  # 65536 / (256 · 32) = 8 warps
        (80, 32, 1024, 0, (2, 1.0, "warps")),
        (80, 32, 32, 0, (32, 0.5, "blocks")),
        (86, 32, 32, 0, (16, 16 / 48, "blocks")),
        (89, 16, 32, 0, (24, 0.5, "blocks")),
        (90, 168, 384, 164_224, (1, 12 / 64, "registers")),  # 65536 / 5376 = 12 warps
        (90, 64, 128, 100 * 1024, (2, 8 / 64, "shared memory")),  # 228 KiB / 101 KiB
        (90, 40, 128, 228 * 1024, (0, 0.0, "shared memory")),  # a block may have 227 KiB
    ],
)
def test_blocks_that_fit(sm: int, registers: int, threads: int, shared: int, expected: tuple[int, float, str]) -> None:
    found = occupancy(ARCHITECTURES[sm], registers, threads, shared)
    assert (found.blocks, found.share, found.limited_by) == expected


def test_widths_are_weighted_by_bytes() -> None:
    kernel = KernelResources("k", "sm_90", "triton 3.7.1", None, {}, loads={"16": 7, "2": 8})
    assert kernel.load_width_bytes == pytest.approx((16 * 112 + 2 * 16) / 128)
    assert kernel.store_width_bytes is None


def test_too_much_shared_memory_is_marked() -> None:
    kernel = KernelResources("k", "sm_86", "triton 3.7.1", None, {}, registers=64, threads=128, shared_bytes=100 * 1024)
    assert kernel.shared_over_bytes == 1024
    assert gpu_cells(kernel)[3] == "100 KiB!"


def test_loops_of_assembly() -> None:
    text = """
main:
\tmovq\t%rdi, %rax
.L3:
\tvpmovzxwd\t(%rax), %zmm1
\tvfmadd231ps\t(%rdx), %zmm1, %zmm0
\tvmovaps\t%zmm0, 64(%rsp)
\taddq\t$32, %rax
\tjne\t.L3
.L5:
\taddq\t$1, %rcx
\tjmp\t.L5
"""
    (loop,) = _loops(text)
    assert loop == LoopResources(5, loads=3, conversions=1, spills=1, vector_bits=512)


def test_targets_by_name() -> None:
    assert targets_of("80, sm_90,90,x86-64-v4") == ("sm_80", "sm_90", "x86-64-v4")
    for given, said in (
        ("91", "unknown architecture '91'"),
        ("sm_75", "unknown architecture 'sm_75'"),
        ("x86-64-v9", "a CPU's are x86-64-v3, x86-64-v4"),
        (",", "names no target"),
    ):
        with pytest.raises(UsageError, match=said):
            targets_of(given)
