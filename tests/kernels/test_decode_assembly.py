"""The assembly that turns codes into numbers, carried out line by line by NumPy on every unit of codes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from attnlab.kernels.triton import decode_planes

UNITS = np.arange(65536, dtype=np.uint32)
REGISTERS = UNITS | UNITS[::-1] << np.uint32(16)  # each unit, beside another one, in both halves


def halves(x: np.ndarray) -> np.ndarray:
    """[N] of 32 bits -> [N, 2] of float16."""
    return x.astype("<u4").view("<u2").reshape(-1, 2).view(np.float16)


def pair(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.astype(np.float16)).view("<u4").reshape(-1)


def permuted(a: np.ndarray, b: np.ndarray, selector: int) -> np.ndarray:
    """prmt: each byte of the result is one of the eight of a, the lower ones, and b."""
    both = a.astype(np.uint64) | b.astype(np.uint64) << np.uint64(32)
    found = np.zeros_like(a)
    for place in range(4):
        byte = (both >> np.uint64(8 * (selector >> 4 * place & 7))).astype(np.uint32) & np.uint32(0xFF)
        found |= byte << np.uint32(8 * place)
    return found


def carry_out(assembly: str, inputs: int, *given: np.ndarray) -> list[np.ndarray]:
    """Outputs $0 to $(inputs - 1) for the registers given, which are $inputs and on."""
    held: dict[str, np.ndarray] = {f"${inputs + n}": x for n, x in enumerate(given)}

    def read(name: str) -> np.ndarray:
        if name in held:
            return held[name]
        return np.full_like(given[0], int(name, 0))

    for line in filter(None, (line.strip() for line in re.split(r"[;\n]", assembly.strip("{}\n ")))):
        opcode, _, rest = line.partition(" ")
        if opcode == ".reg":
            continue
        names = re.findall(r"\{[^}]*\}|[^,\s]+", rest)
        result: Any
        if opcode == "mov.b32" and names[0].startswith("{"):
            low, high = names[0].strip("{}").split(",")
            x = read(names[1])
            held[low.strip()], held[high.strip()] = x & np.uint32(0xFFFF), x >> np.uint32(16)
            continue
        values = [read(name) for name in names[1:]]
        if opcode == "mov.b32":
            result = values[0]
        elif opcode == "xor.b32":
            result = values[0] ^ values[1]
        elif opcode == "and.b32":
            result = values[0] & values[1]
        elif opcode == "add.u32":
            result = values[0] + values[1]
        elif opcode == "shr.u32":
            result = values[0] >> values[1]
        elif opcode == "shl.b32":
            result = values[0] << values[1]
        elif opcode == "prmt.b32":
            result = permuted(values[0], values[1], int(values[2][0]))
        elif opcode == "lop3.b32":
            assert int(values[3][0]) == 0xEA  # (a & b) | c
            result = values[0] & values[1] | values[2]
        elif opcode == "sub.rn.f16x2":
            result = pair(halves(values[0]).astype(np.float64) - halves(values[1]))
        elif opcode == "mul.rn.f16x2":
            result = pair(halves(values[0]).astype(np.float64) * halves(values[1]))
        elif opcode == "fma.rn.f16x2":
            a, b, c = (halves(value).astype(np.float64) for value in values)
            result = pair(a * b + c)
        elif opcode == "cvt.rn.f16x2.e4m3x2":
            code = torch.from_numpy(values[0].astype(np.uint16).view(np.uint8).copy())
            result = pair(code.view(torch.float8_e4m3fn).half().numpy().reshape(-1, 2))
        else:
            raise AssertionError(f"not known here: {line}")
        held[names[0]] = result
    return [held[f"${n}"] for n in range(inputs)]


def low_and_high(codes: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(codes.astype("<u2").view(np.uint8).reshape(-1, 2).T.copy())


def int8(codes: np.ndarray) -> torch.Tensor:
    return low_and_high(codes).view(torch.int8).half()


def e4m3(codes: np.ndarray) -> torch.Tensor:
    return low_and_high(codes).view(torch.float8_e4m3fn).half()


def int4(codes: np.ndarray) -> torch.Tensor:
    low, high = low_and_high(codes)
    return torch.stack([low & 15, low >> 4, high & 15, high >> 4]).half() / 2


@pytest.mark.parametrize(
    ("name", "planes", "expected"),
    [
        ("INT8_ASSEMBLY", 2, int8),
        ("FP8_ASSEMBLY", 2, e4m3),
        ("FP8_BITS_ASSEMBLY", 2, e4m3),
        ("INT4_ASSEMBLY", 4, int4),
    ],
)
def test_every_unit_of_codes_in_either_half_of_a_register(name: str, planes: int, expected: Any) -> None:
    got = carry_out(getattr(decode_planes, name).value, planes, REGISTERS)
    for half, units in enumerate((UNITS, UNITS[::-1])):
        wanted = expected(units).numpy()
        for plane, x in enumerate(got):
            assert np.array_equal(halves(x)[:, half], wanted[plane], equal_nan=True)


def test_four_bit_codes_are_scaled_with_one_rounding() -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 16, (4096, 2))
    scale, minimum = (random.standard_normal((4096, 2)).astype(np.float16) for _ in range(2))
    (got,) = carry_out(decode_planes.FMA_ASSEMBLY.value, 1, pair(codes), pair(scale), pair(minimum))
    exact = codes * scale.astype(np.float64) + minimum
    assert np.array_equal(halves(got), exact.astype(np.float16))
