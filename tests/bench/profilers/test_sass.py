"""Machine code is read as nvdisasm prints it: opcodes, branches, loops."""

from __future__ import annotations

from attnlab.bench.profilers.sass import count, instructions, longest_skip, loops

LISTING = """
.text._kernel:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_0:
        /*0010*/                   S2R R0, SR_TID.X ;
.L_x_1:
        /*0020*/                   HGMMA.64x128x16.F32.BF16 R24, gdesc[UR8], R24, gsb0 ;
        /*0030*/               @P0 BRA `(.L_x_2) ;
        /*0040*/                   FSEL R2, R2, -INF , P1 ;
        /*0050*/              @!P1 FSEL R3, R3, -INF , P1 ;
.L_x_2:
        /*0060*/                   MUFU.EX2 R2, R2 ;
        /*0070*/               @P1 BRA P2, `(.L_x_1) ;
        /*0080*/              @!P1 BRA `(.L_x_0) ;
.L_x_3:
        /*0090*/                   MUFU.RCP R2, R2 ;
        /*00a0*/                   BRA `(.L_x_3);
"""


def test_instructions_with_their_predicates_and_targets() -> None:
    code = instructions(LISTING)
    assert len(code) == 11
    assert [code[n].opcode for n in (0, 2, 10)] == ["MOV", "HGMMA.64x128x16.F32.BF16", "BRA"]
    assert code[2].operands == "R24, gdesc[UR8], R24, gsb0"
    assert [(code[n].predicate, code[n].target) for n in (3, 4, 5, 7, 8, 10)] == [
        ("P0", 6),
        (None, None),
        ("!P1", None),
        ("P1", 2),
        ("!P1", 1),
        (None, 9),
    ]
    assert (count(code, "MUFU"), count(code, "MUFU.EX2"), count(code, "MUF")) == (2, 1, 0)


def test_innermost_loops_and_what_a_round_may_skip() -> None:
    (loop,) = loops(instructions(LISTING), having="HGMMA")
    assert [instruction.place for instruction in loop] == [2, 3, 4, 5, 6, 7]
    assert longest_skip(loop) == (2, 4)
    (other,) = loops(instructions(LISTING), having="MUFU.RCP")
    assert len(other) == 2
    assert longest_skip(other) == (0, 0)
    assert loops(instructions(LISTING), having="HMMA") == []
