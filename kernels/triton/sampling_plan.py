"""What sampling is asked for, checked before any launch, and how a call is cut."""

import math
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from attnlab.kernels.triton.launch_checks import DTYPE_NAMES, DTYPES, check_beside, check_device, expect

LARGEST_VOCAB = 1 << 20
LARGEST_CHUNK = 2048  # logits of a program
SMALLEST_CHUNK = 64
BLOCK = 64  # logits whose largest bounds top-k
MOST_BLOCKS = 8192  # that one program compares
BLOCKS_OVER_K = 4  # so that few blocks hold two of the k largest
DRAWN_AT_ONCE = 8192  # logits of the chunks that a program draws from
NARROW_BITS = {torch.float32: 0, torch.bfloat16: 16, torch.float16: 13}  # of a float32 that are the same in all


@dataclass(frozen=True)
class Parameters:
    """How next tokens are drawn, see `sample`."""

    temperature: float
    top_k: int | None
    top_p: float
    min_p: float
    repetition_penalty: float

    def check(self) -> None:
        """ValueError where one does not fit."""
        for name, fits, expected in (
            ("temperature", 0 <= self.temperature < math.inf, "0 or more"),
            ("top_k", self.top_k is None or self.top_k >= 1, "1 or more, or None"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min_p", 0 <= self.min_p < 1, "0 to below 1"),
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "above 0"),
        ):
            expect(fits, f"{name} {getattr(self, name)}", expected, f"pass such a {name}")

    @property
    def least_exponent(self) -> float:
        """That min-p keeps, of a weight over the largest, in base 2."""
        return math.log2(self.min_p) if self.min_p > 0 else -math.inf


@dataclass(frozen=True)
class Tiling:
    """Logits of a program, and its warps: in passes over all logits, in turns that narrow top-p, and of a whole row."""

    chunk: int = LARGEST_CHUNK
    pass_warps: int = 4
    turn_warps: int = 8
    row_warps: int = 8

    def __str__(self) -> str:
        return f"chunks of {self.chunk}, {self.pass_warps}, {self.turn_warps} and {self.row_warps} warps"


BUILT_IN = Tiling()


@dataclass(frozen=True)
class Plan:
    """How a call is cut: its kind, chunks of a row, logits of a block of top-k, draws of a program."""

    kind: str  # greedy, plain, size, mass or rank
    chunk: int
    chunks: int
    block: int
    draws_at_once: int
    shift: int
    tiling: Tiling = BUILT_IN

    @classmethod
    def of(
        cls, logits: Tensor, draws: int, parameters: Parameters, penalised: bool, tiling: Tiling = BUILT_IN
    ) -> "Plan":
        vocab = logits.shape[1]
        chunk = min(tiling.chunk, max(SMALLEST_CHUNK, triton.next_power_of_2(vocab)))
        block = max(BLOCK, triton.next_power_of_2(triton.cdiv(vocab, MOST_BLOCKS)))
        top_k = parameters.top_k or 1
        while block > 1 and vocab < block * BLOCKS_OVER_K * top_k and 2 * vocab <= block * MOST_BLOCKS:
            block //= 2
        at_once = min(max(1, DRAWN_AT_ONCE // chunk), triton.next_power_of_2(draws))
        shift = 0 if penalised else NARROW_BITS[logits.dtype]
        return cls(_kind(parameters), chunk, triton.cdiv(vocab, chunk), block, at_once, shift, tiling)

    @property
    def width(self) -> int:
        """Chunks of a row, up to a power of two."""
        return int(triton.next_power_of_2(self.chunks))


def check(logits: Tensor, uniforms: Tensor, parameters: Parameters, seen: Tensor | None) -> None:
    """ValueError unless logits are [B, V], uniforms [B, N], seen [B, L] or None, and the parameters in their ranges."""
    fits = logits.dim() == 2 and logits.dtype in DTYPES and logits.stride(-1) == 1
    got = f"logits {list(logits.shape)} of {logits.dtype}"
    expect(fits, got, f"[B, V] of {DTYPE_NAMES} without gaps", "cast, reshape or copy them")
    batch, vocab = logits.shape
    expect(1 <= vocab <= LARGEST_VOCAB, f"{vocab} tokens", f"1 to {LARGEST_VOCAB}", "take another sampler")
    check_device("logits", logits)
    fits = uniforms.dim() == 2 and uniforms.shape[0] == batch and uniforms.dtype == torch.float32
    fits = fits and (uniforms.shape[1] == 1 or uniforms.stride(-1) == 1)
    got = f"uniforms {list(uniforms.shape)} of {uniforms.dtype}"
    expect(fits, got, f"[{batch}, N] of torch.float32 without gaps", "pass one number in [0, 1) for each draw")
    check_beside("uniforms", uniforms, logits)
    parameters.check()
    if seen is None:
        expect(parameters.repetition_penalty == 1, "a repetition penalty without seen", "both", "pass seen")
        return
    fits = seen.dim() == 2 and seen.shape[0] == batch and seen.dtype == torch.int64
    fits = fits and (seen.shape[1] <= 1 or seen.stride(-1) == 1)
    wanted = f"[{batch}, L] of torch.int64 without gaps"
    expect(fits, f"seen {list(seen.shape)} of {seen.dtype}", wanted, "pass tokens of each row")
    check_beside("seen", seen, logits)


def _kind(parameters: Parameters) -> str:
    if parameters.temperature == 0:
        return "greedy"
    if parameters.top_k is not None:
        return "rank"
    return "mass" if parameters.top_p < 1 else "size" if parameters.min_p > 0 else "plain"
