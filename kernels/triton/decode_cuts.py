"""How a call of decoding is cut, on the host: its tiles, its splits by what a device holds at once, and their room."""

from dataclasses import dataclass, replace

import torch
import triton
from torch import Tensor

from attnlab.kernels.triton.attention_arguments import register_limit
from attnlab.kernels.triton.head_widths import padded_width
from attnlab.kernels.triton.launch_checks import expect

LARGEST_TILE_M = 64  # query rows of a program, where rows are few
MANY_ROWS = 512  # a chunk of a prompt rather than a step: operations bound it, and taller tiles read keys less often
LARGEST_SPLITS = 128
GOOD_ENOUGH = 0.95  # times the tiles that a program waits for: fewer splits are then better
PROCESSORS = 132  # of a device that is not there: an H100's or H200's


@dataclass(frozen=True)
class DecodeTiling:
    """How the kernel cuts its work and how it is compiled."""

    block_n: int  # tokens of a tile
    num_warps: int
    num_stages: int  # tiles in flight
    resident: int = 2  # programs that a processor of sm_90 holds at once
    block_m: int = LARGEST_TILE_M  # query rows of a program, where there are as many
    all_registers: bool = False  # where the assembler would keep to 128 a thread, and spill

    def rows_of(self, rows: int) -> int:
        """Of a program's tile, where there are so many."""
        return min(self.block_m, max(16, int(triton.next_power_of_2(rows))))

    @property
    def options(self) -> dict[str, int]:
        """Triton's."""
        limit = {"maxnreg": register_limit(self.num_warps)} if self.all_registers else {}
        return {"num_warps": self.num_warps, **limit}


def configuration(head_dim: int, dtype: torch.dtype, key_codec: str, rows: int, gathers: bool = False) -> DecodeTiling:
    """The shipped tiling for a head size, dtype, codec of keys and number of query rows.

    gathers: whether each score has a number of its own to load, of a tree or of a bias by distance: pointers take the
    registers of taller tiles. Chosen by what the compiler makes of it, for loads in flight and few instructions; none
    was timed. Every format was compiled in bfloat16 with 4 and 64 rows, in pages or without: on sm_90 for head sizes
    64, 96, 128, 192 and 256, where none spills; four of them on sm_80 and sm_100 for 64, 128 and 256, where three do:
    on sm_80 `same` at 64 with 4 rows (2 instructions) and fp8 by token at 128 with 64 rows (2), on sm_100 int8 at 64
    with 64 rows (59).

    From `MANY_ROWS` on, tiles of numbers in 16 bits have 128 rows to a head size of 128 (64 where scores gather): each
    row of tiles reads all keys, which is half as often. Compiled for all three targets, they spill nothing. Heads
    above 128 and codes would spill, and keep the tiles of few rows.
    """
    if rows >= MANY_ROWS and key_codec == "same" and dtype != torch.float32 and head_dim <= 128:
        if gathers:
            return DecodeTiling(32, num_warps=8, num_stages=2, resident=1, block_m=64, all_registers=True)
        return DecodeTiling(64, num_warps=8, num_stages=3, resident=1, block_m=128, all_registers=True)
    made = _for_few_rows(head_dim, dtype, key_codec, rows)
    return replace(made, block_m=32) if gathers or head_dim > 128 else made


def _for_few_rows(head_dim: int, dtype: torch.dtype, key_codec: str, rows: int) -> DecodeTiling:
    if dtype == torch.float32:
        return DecodeTiling(32, num_warps=4, num_stages=2)
    if key_codec == "same":
        if head_dim <= 64:
            return DecodeTiling(64, num_warps=4, num_stages=4)
        if head_dim <= 128:
            return DecodeTiling(64, num_warps=4, num_stages=3)
        return DecodeTiling(32, num_warps=4, num_stages=3)
    columns = padded_width(head_dim // (4 if key_codec == "int4_channel" else 2))  # of a plane
    if columns == 16 and rows <= 16:
        # Too few to share out among warps.
        return DecodeTiling(32, num_warps=1, num_stages=4, resident=8)
    if head_dim > 128:
        narrow = rows > 16 or key_codec == "int4_channel" or head_dim != 256
        return DecodeTiling(32 if narrow else 64, num_warps=8, num_stages=3, resident=1)
    # Where a number takes one byte, twice the tokens are as many bytes; with more rows, or columns masked, they spill.
    if rows <= 16 and (head_dim == 128 or (head_dim == 64 and key_codec.startswith("fp8"))):
        return DecodeTiling(128, num_warps=4, num_stages=3)
    if rows <= 16 and head_dim == 64 and key_codec != "int4_channel":
        return DecodeTiling(64, num_warps=2, num_stages=4, resident=4)
    wide = key_codec != "int4_channel" and (head_dim in (64, 128) or (head_dim == 96 and rows <= 16))
    return DecodeTiling(64 if wide else 32, num_warps=4, num_stages=3)


def split_count(programs: int, tiles: int, resident: int) -> int:
    """Into how many parts to split sequences of one length, so that programs · splits fill a device.

    tiles: of a sequence. resident: programs that the device holds at once. One where there are programs enough; else
    the least number whose tiles, one after another in as many waves as it takes, come near the fewest.
    """
    if programs >= 0.8 * resident:
        return 1
    waits = [
        -(-programs * splits // resident) * -(-tiles // splits)
        for splits in range(1, min(tiles, resident, LARGEST_SPLITS) + 1)
    ]
    return next(number for number, wait in enumerate(waits, 1) if GOOD_ENOUGH * wait <= min(waits))


@dataclass(frozen=True)
class Workspace:
    """Where units that share a sequence leave their parts; for launches of one shape, one after another.

    partial: float32 [Hkv · tiles of rows, units, rows, D]; lse: the same without D. counters: int32
    [Hkv · tiles of rows, B], zeros, and zeros again after each launch, so that a graph may replay it.
    """

    partial: Tensor
    lse: Tensor
    counters: Tensor

    @property
    def planes(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.partial, self.lse, self.counters


@dataclass(frozen=True)
class Cut:
    """How one call is cut.

    Sequences of one length have `splits` units each, for each key-value head and each tile of rows. Of others the
    device makes units no longer than those would be on the average, which are `units` at most.
    """

    tiling: DecodeTiling
    block_m: int
    rows: int  # of a program, as a power of two
    group: int  # query heads for each key-value head
    row_tiles: int  # of a key-value head: each reads its keys anew
    lanes: int  # key-value heads times tiles of rows
    batch: int
    splits: int

    @property
    def target(self) -> int:
        return self.batch * self.splits

    def keys_read(self, q_len: int, length: int) -> int:
        """Keys that are read of one key-value head for a sequence of so many tokens, each time counted; causal.

        A tile of rows reads whole tiles of keys, up to the one in which its last query stands.
        """
        total = 0
        for tile in range(self.row_tiles):
            last_row = min((tile + 1) * self.block_m, q_len * self.group) - 1
            end = length - q_len + last_row // self.group + 1 if self.row_tiles > 1 else length
            total += max(1, triton.cdiv(max(0, end), self.tiling.block_n)) * self.tiling.block_n
        return total

    @property
    def units(self) -> int:
        return self.target + self.batch - 1

    def workspace(self, q: Tensor) -> Workspace:
        """For queries [B, Hq, Sq, D] of this shape, on their device."""
        parts, part, counters = self._shapes(q)
        return Workspace(
            torch.empty(parts, dtype=torch.float32, device=q.device),
            torch.empty(part, dtype=torch.float32, device=q.device),
            torch.zeros(counters, dtype=torch.int32, device=q.device),
        )

    def check(self, workspace: Workspace, q: Tensor) -> None:
        """ValueError unless a workspace is of this cut."""
        got = [list(plane.shape) for plane in workspace.planes]
        wanted = [list(shape) for shape in self._shapes(q)]
        expect(
            got == wanted and all(plane.device == q.device for plane in workspace.planes),
            f"a workspace of {got} on {workspace.partial.device}",
            f"{wanted} on {q.device}",
            "allocate it for these arguments: cut_call(…).workspace(q)",
        )

    def _shapes(self, q: Tensor) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        part = self.lanes, self.units, self.rows
        return (*part, q.shape[-1]), part, (self.lanes, self.batch)


def cut_call(
    q: Tensor,
    kv_heads: int,
    *,
    key_codec: str,
    longest: int,
    window: int | None = None,
    gathers: bool = False,
    splits: int | None = None,
    tiling: DecodeTiling | None = None,
) -> Cut:
    """How `decode_attention` cuts a call with these arguments; splits and tiling are chosen where left out.

    gathers: see `configuration`.
    """
    batch, q_heads, q_len, head_dim = q.shape
    group = q_heads // kv_heads
    rows = q_len * group
    tiling = tiling or configuration(head_dim, q.dtype, key_codec, rows, gathers)
    block_m = tiling.rows_of(rows)
    row_tiles = triton.cdiv(rows, block_m)
    lanes = kv_heads * row_tiles
    seen = longest if window is None else min(longest, window + q_len - 1 + tiling.block_n)
    tiles = max(1, triton.cdiv(seen, tiling.block_n))
    splits = splits or split_count(batch * lanes, tiles, _processors(q) * tiling.resident)
    return Cut(tiling, block_m, min(block_m, triton.next_power_of_2(rows)), group, row_tiles, lanes, batch, splits)


def _processors(q: Tensor) -> int:
    return torch.cuda.get_device_properties(q.device).multi_processor_count if q.is_cuda else PROCESSORS
