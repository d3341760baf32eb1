"""What a GGUF file says of itself, and its tensors.

The package gguf reads that too, but takes four seconds over it, because it makes arrays of each of the 98,000
strings of a vocabulary; here they are stepped over until asked for. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attnlab.bench.errors import ModelError

MAGIC, VERSION = b"GGUF", 3
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Form of `struct` for each kind of scalar field."""

STRING, ARRAY = 8, 9
LENGTH = struct.Struct("<Q")
"""What stands before each string."""

DEFAULT_ALIGNMENT_BYTES = 32
MOST_AXES = 4
"""Of a tensor, in ggml."""

DEEPEST_ARRAY = 4
"""Arrays in arrays; no file that is known has any."""

AGAIN = "fetch it again"


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as it lies in the file."""

    shape: tuple[int, ...]
    """Row-major, so `[out, in]` for a projection; in the file the order is the other way round."""
    quantisation: int
    """A number of ggml's list of types, such as 0 for float32."""
    offset_bytes: int
    """From the beginning of the file."""


@dataclass(frozen=True)
class StoredArray:
    """An array among the fields, not read yet."""

    kind: int
    """Of its elements."""
    count: int
    offset_bytes: int
    """Of its first element, from the beginning of the file."""


Field = int | float | bool | str | StoredArray


@dataclass(frozen=True)
class Header:
    """All before the tensors' content."""

    fields: dict[str, Field]
    tensors: dict[str, StoredTensor]


class Cursor:
    """A place in a file, which moves on with each read; raises ModelError behind the end."""

    def __init__(self, file: bytes | mmap, place: str, position_bytes: int = 0) -> None:
        self.file = file
        self.place = place
        self.position_bytes = position_bytes

    def step(self, size_bytes: int) -> int:
        """Moves on by `size_bytes`, and says where it stood."""
        start = self.position_bytes
        self.position_bytes += size_bytes
        if self.position_bytes > len(self.file):
            raise self.cut_short()
        return start

    def cut_short(self) -> ModelError:
        return ModelError(f"{self.place} is cut short: it ends after {len(self.file)} bytes, in its header; {AGAIN}")

    def scalar(self, form: str) -> Any:
        return struct.unpack_from(f"<{form}", self.file, self.step(struct.calcsize(f"<{form}")))[0]

    def string(self) -> str:
        (start, stop), *_ = self.strings(1)
        return self.file[start:stop].decode(errors="replace")

    def strings(self, count: int) -> list[tuple[int, int]]:
        """Where each of so many strings begins and ends; in a loop of its own, since vocabularies are long."""
        length_at, file, end = LENGTH.unpack_from, self.file, len(self.file)
        position, spans = self.position_bytes, []
        for _ in range(count):
            start = position + LENGTH.size
            if start > end:
                raise self.cut_short()
            position = start + length_at(file, position)[0]
            spans.append((start, position))
        self.step(position - self.position_bytes)
        return spans

    def field(self, kind: int, depth: int = 0) -> Field:
        if depth > DEEPEST_ARRAY:
            raise ModelError(f"{self.place} has arrays nested over {DEEPEST_ARRAY} deep in a field; {AGAIN}")
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            value: Field = self.scalar(self.form(kind))
            return value
        element, count = self.scalar("I"), self.scalar("Q")
        array = StoredArray(element, count, self.position_bytes)
        if element == STRING:
            self.strings(count)
        elif element == ARRAY:
            for _ in range(count):
                self.field(element, depth + 1)
        else:
            self.step(count * struct.calcsize(f"<{self.form(element)}"))
        return array

    def form(self, kind: int) -> str:
        if kind not in SCALARS:
            raise ModelError(f"{self.place} has a field of kind {kind} before byte {self.position_bytes}; {AGAIN}")
        return SCALARS[kind]


def read_header(file: bytes | mmap, place: str) -> Header:
    """Fields and tensors by name; raises ModelError where `file` is not GGUF of version 3, or is damaged."""
    check_magic(file, place)
    cursor = Cursor(file, place, position_bytes=8)
    tensor_count, field_count = cursor.scalar("Q"), cursor.scalar("Q")
    fields: dict[str, Field] = {}
    for _ in range(field_count):
        key, kind = cursor.string(), cursor.scalar("I")
        if key in fields:
            raise ModelError(f"{place} has the field {key} twice; {AGAIN}")
        fields[key] = cursor.field(kind)
    relative: dict[str, StoredTensor] = {}
    for _ in range(tensor_count):
        name, tensor = read_tensor(cursor)
        if name in relative:
            raise ModelError(f"{place} has the tensor {name} twice; {AGAIN}")
        relative[name] = tensor
    alignment = fields.get("general.alignment", DEFAULT_ALIGNMENT_BYTES)
    if not isinstance(alignment, int) or isinstance(alignment, bool) or alignment < 1 or alignment & (alignment - 1):
        raise ModelError(f"{place}: got general.alignment {alignment!r}, expected a power of two, in bytes")
    data_bytes = -(-cursor.position_bytes // alignment) * alignment
    for name, tensor in relative.items():
        if tensor.offset_bytes % alignment:
            raise ModelError(
                f"{place}: tensor {name} begins {tensor.offset_bytes} bytes into the data, expected a multiple of "
                f"{alignment}; {AGAIN}"
            )
    tensors = {
        name: StoredTensor(tensor.shape, tensor.quantisation, data_bytes + tensor.offset_bytes)
        for name, tensor in relative.items()
    }
    return Header(fields, tensors)


def check_magic(file: bytes | mmap, place: str) -> None:
    magic, version = bytes(file[:4]), int.from_bytes(file[4:8], "little")
    if (magic, version) == (MAGIC, VERSION):
        return
    if (magic, int.from_bytes(file[4:8], "big")) == (MAGIC, VERSION):
        raise ModelError(f"{place} is big-endian, expected little-endian; convert it on a little-endian machine")
    raise ModelError(f"{place}: got a file of {magic!r} version {version}, expected {MAGIC!r} version {VERSION}")


def read_tensor(cursor: Cursor) -> tuple[str, StoredTensor]:
    """A tensor's name and place, counted from where the data begin."""
    name, axes = cursor.string(), cursor.scalar("I")
    if not 1 <= axes <= MOST_AXES:
        raise ModelError(f"{cursor.place}: tensor {name} has {axes} axes, expected 1 to {MOST_AXES}; {AGAIN}")
    shape = tuple(cursor.scalar("Q") for _ in range(axes))[::-1]
    if 0 in shape:
        raise ModelError(f"{cursor.place}: tensor {name} has shape {list(shape)}, expected no axis of 0; {AGAIN}")
    return name, StoredTensor(shape, cursor.scalar("I"), cursor.scalar("Q"))


class GgufFile:
    """A GGUF file: fields, and tensors dequantised to float32 one at a time, when asked for.

    Raises ModelError, naming the file, where it is none or is cut short, and ImportError where the package
    gguf, which knows the quantisations, is missing.
    """

    def __init__(self, path: Path) -> None:
        import gguf

        self._gguf: Any = gguf
        self.path = path
        if path.stat().st_size == 0:
            raise ModelError(f"{path} is empty; {AGAIN}")
        with path.open("rb") as file:
            self._file = mmap(file.fileno(), 0, access=ACCESS_READ)
        self.header = read_header(self._file, str(path))
        self._check_apart()

    def field(self, key: str, default: Field | None = None) -> Field:
        """A field's value; raises ModelError where there is neither that nor a default."""
        value = self.header.fields.get(key, default)
        if value is None:
            raise ModelError(f"{self.path} lacks the field {key}")
        return value

    def array(self, key: str) -> list[Any]:
        """All elements of an array of scalars or of strings."""
        stored = self.field(key)
        if not isinstance(stored, StoredArray) or stored.kind == ARRAY:
            raise ModelError(f"{self.path}: got {stored!r} for {key}, expected an array of scalars or strings")
        cursor = Cursor(self._file, str(self.path), stored.offset_bytes)
        if stored.kind == STRING:
            return [self._file[a:b].decode(errors="replace") for a, b in cursor.strings(stored.count)]
        form = cursor.form(stored.kind)
        return list(struct.unpack_from(f"<{stored.count}{form}", self._file, stored.offset_bytes))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: stored.shape for name, stored in self.tensors.items()}

    def place(self, name: str) -> str:
        """The file that holds the tensor, or should."""
        return str(self.path)

    def tensor(self, name: str) -> Tensor:
        """float32, on the CPU; the caller's own."""
        values = np.asarray(self._reader(name)(), dtype=np.float32)
        return torch.from_numpy(values if values.flags.owndata else values.copy())

    def check(self, name: str) -> None:
        """Raises ModelError, naming file and tensor, where its content cannot be read."""
        self._reader(name)

    def _check_apart(self) -> None:
        """No two tensors may share a byte."""
        spans = sorted((stored.offset_bytes, self._packed(name)[1], name) for name, stored in self.tensors.items())
        for (start, size_bytes, name), (next_start, _, next_name) in itertools.pairwise(spans):
            if start + size_bytes > next_start:
                raise ModelError(
                    f"{self.path}: tensors {name} and {next_name} overlap: one takes bytes {start} to "
                    f"{start + size_bytes}, the other begins at {next_start}; {AGAIN}"
                )

    @property
    def tensors(self) -> dict[str, StoredTensor]:
        return self.header.tensors

    def _packed(self, name: str) -> tuple[Any, int, int]:
        """A tensor's quantisation, its size in bytes, and the bytes of a row."""
        stored = self.tensors[name]
        try:
            quantisation = self._gguf.GGMLQuantizationType(stored.quantisation)
        except ValueError:
            raise ModelError(f"{self.path}: tensor {name} has the unknown quantisation {stored.quantisation}") from None
        block, block_bytes = self._gguf.GGML_QUANT_SIZES[quantisation]
        columns = stored.shape[-1]
        if columns % block:
            raise ModelError(
                f"{self.path}: tensor {name} has rows of {columns} values, expected a multiple of the {block} "
                f"that {quantisation.name} packs together"
            )
        size_bytes = prod(stored.shape) // block * block_bytes
        if stored.offset_bytes + size_bytes > len(self._file):
            raise ModelError(
                f"{self.path} is cut short: it ends after {len(self._file)} bytes, and tensor {name} needs "
                f"{stored.offset_bytes} to {stored.offset_bytes + size_bytes}; {AGAIN}"
            )
        return quantisation, size_bytes, columns // block * block_bytes

    def _reader(self, name: str) -> Callable[[], Any]:
        stored = self.tensors[name]
        quantisation, size_bytes, row_bytes = self._packed(name)
        content = np.frombuffer(self._file, np.uint8, size_bytes, stored.offset_bytes)
        packed = content.reshape(*stored.shape[:-1], row_bytes)
        return lambda: self._dequantised(packed, quantisation, name)

    def _dequantised(self, packed: Any, quantisation: Any, name: str) -> Any:
        try:
            return self._gguf.dequantize(packed, quantisation)
        except NotImplementedError:
            raise ModelError(
                f"{self.path}: tensor {name} is in {quantisation.name}, which the package gguf cannot dequantise; "
                f"convert the file to Q8_0 or F16"
            ) from None
