"""Where the tensors lie in a GGUF file.

The package gguf reads that too, but takes five seconds over it, because it makes arrays of each of the 98,000
strings of a vocabulary; here they are stepped over. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import struct
from dataclasses import dataclass
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

MAGIC, VERSION = b"GGUF", 3
SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
DEFAULT_ALIGNMENT_BYTES = 32


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as it lies in the file."""

    shape: tuple[int, ...]
    """Row-major, so `[out, in]` for a projection; in the file the order is the other way round."""
    quantisation: int
    """A number of ggml's list of types, such as 0 for float32."""
    offset_bytes: int
    """From the beginning of the file."""


class Cursor:
    """A place in the file's header, which moves on with each read."""

    def __init__(self, file: bytes | mmap) -> None:
        self.file = file
        self.position_bytes = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(f"<{form}", self.file, self.position_bytes)
        self.position_bytes += struct.calcsize(f"<{form}")
        return int(value)

    def string(self) -> str:
        length_bytes = self.number("Q")
        start = self.position_bytes
        self.position_bytes += length_bytes
        return self.file[start : self.position_bytes].decode()

    def skip(self, kind: int) -> None:
        if kind == STRING:
            length_bytes = self.number("Q")
            self.position_bytes += length_bytes
        elif kind == ARRAY:
            element, count = self.number("I"), self.number("Q")
            if element in SCALAR_BYTES:
                self.position_bytes += count * SCALAR_BYTES[element]
            else:
                for _ in range(count):
                    self.skip(element)
        else:
            self.position_bytes += SCALAR_BYTES[kind]


def stored_tensors(file: bytes | mmap) -> dict[str, StoredTensor]:
    """All tensors by name; raises ValueError where `file` is not GGUF of version 3."""
    cursor = Cursor(file)
    magic, version = struct.pack("<I", cursor.number("I")), cursor.number("I")
    if (magic, version) != (MAGIC, VERSION):
        raise ValueError(f"got a file of {magic!r} version {version}, expected {MAGIC!r} version {VERSION}")
    tensor_count, field_count = cursor.number("Q"), cursor.number("Q")
    alignment_bytes = DEFAULT_ALIGNMENT_BYTES
    for _ in range(field_count):
        key, kind = cursor.string(), cursor.number("I")
        if key == "general.alignment":
            alignment_bytes = cursor.number("I")
        else:
            cursor.skip(kind)
    relative = {}
    for _ in range(tensor_count):
        name = cursor.string()
        shape = tuple(cursor.number("Q") for _ in range(cursor.number("I")))[::-1]
        relative[name] = StoredTensor(shape, cursor.number("I"), cursor.number("Q"))
    data_bytes = -(-cursor.position_bytes // alignment_bytes) * alignment_bytes
    return {
        name: StoredTensor(tensor.shape, tensor.quantisation, data_bytes + tensor.offset_bytes)
        for name, tensor in relative.items()
    }


class GgufFile:
    """Tensors of a GGUF file, dequantised to float32 one at a time, when asked for.

    Raises ImportError where the package gguf, which knows the quantisations, is missing.
    """

    def __init__(self, path: Path) -> None:
        import gguf

        self._gguf: Any = gguf
        with path.open("rb") as file:
            self._file = mmap(file.fileno(), 0, access=ACCESS_READ)
        self._stored = stored_tensors(self._file)

    def tensor(self, name: str) -> Tensor:
        stored = self._stored[name]
        quantisation = self._gguf.GGMLQuantizationType(stored.quantisation)
        block, block_bytes = self._gguf.GGML_QUANT_SIZES[quantisation]
        *rows, columns = stored.shape
        size_bytes = prod(stored.shape) // block * block_bytes
        content = np.frombuffer(self._file, np.uint8, size_bytes, stored.offset_bytes)
        packed = content.reshape(*rows, columns // block * block_bytes)
        return torch.from_numpy(np.array(self._gguf.dequantize(packed, quantisation), dtype=np.float32))
