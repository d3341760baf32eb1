"""A plugin with two small Triton kernels, in which the tests of the static gate plant faults."""

import torch
import triton
import triton.language as tl

from attnlab.bench import implements

TILE_M, TILE_N, TILE_K, STAGES, WARPS = 64, 64, 64, 2, 4


@triton.jit
def _product(x, w, out, k, stride, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    rows, columns, inner = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    x_at = x + rows[:, None] * stride + inner[None, :]
    w_at = w + columns[None, :] * stride + inner[:, None]
    acc = tl.zeros((M, N), tl.float32)
    whole = k // K * K
    for start in range(0, whole, K):
        a = tl.load(x_at + start)
        b = tl.load(w_at + start)
        acc = tl.dot(a, b, acc)
    for start in range(whole, k, K):
        a = tl.load(x_at + start, mask=inner[None, :] + start < k, other=0.0)
        b = tl.load(w_at + start, mask=inner[:, None] + start < k, other=0.0)
        acc = tl.dot(a, b, acc)
    tl.store(out + rows[:, None] * N + columns[None, :], acc.to(out.dtype.element_ty))


@triton.jit
def _decode(codes):
    # 0x6400 is 1024 in float16, whose lowest bit there is 1; codes are about 128
    wide = (codes.to(tl.uint16) ^ 0x80) | 0x6400
    return wide.to(tl.float16, bitcast=True) - 1152.0


@triton.jit
def _codes(x, w, out, k, stride, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    rows, columns, inner = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    acc = tl.zeros((M, N), tl.float32)
    for start in range(0, k, K):
        a = tl.load(x + rows[:, None] * stride + inner[None, :] + start)
        b = tl.load(w + columns[None, :] * stride + inner[:, None] + start)
        acc = tl.dot(a, _decode(b), acc)
    tl.store(out + rows[:, None] * N + columns[None, :], acc)


def _launch(kernel, x, w, dtype):
    out = torch.empty(TILE_M, TILE_N, dtype=dtype, device=x.device)
    kernel[(1,)](x, w, out, x.shape[1], x.stride(0), M=TILE_M, N=TILE_N, K=TILE_K, num_warps=WARPS, num_stages=STAGES)
    return out


@implements("linear", name="static_product")
class Product:
    def run(self, inputs, state):
        return _launch(_product, inputs.x, inputs.weight, inputs.x.dtype)


@implements("linear", name="static_codes")
class Codes:
    def prepare(self, case, inputs):
        return torch.zeros(inputs.weight.shape, dtype=torch.uint8, device=inputs.weight.device)

    def run(self, inputs, codes):
        return _launch(_codes, inputs.x.to(torch.float16), codes, torch.float32)
