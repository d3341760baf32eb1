"""A GGUF model in several files, as llama.cpp's `llama-gguf-split` and its converter write it.

The first shard has the model's fields, each has a part of the tensors, and says in `split.no` which it is.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from attnlab.bench.errors import ModelError
from attnlab.bench.llm.models.gguf_file import GgufFile
from attnlab.bench.llm.models.sources import shard_name, shard_of

NUMBER, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"
OWN = frozenset({NUMBER, COUNT, "general.alignment"})
"""Fields that each shard has for itself."""


class GgufShards(GgufFile):
    """The fields of the first shard, and the tensors of all; raises ModelError, naming the shard that does not fit."""

    def __init__(self, first: Path, count: int) -> None:
        super().__init__(first)
        check_number(self, 0, count)
        self._shards = [self._opened(number, count) for number in range(1, count)]
        self._holders: dict[str, GgufFile] = dict.fromkeys(self.tensors, self)
        for shard in self._shards:
            twice = next((name for name in shard.tensors if name in self._holders), None)
            if twice is not None:
                raise ModelError(
                    f"tensor {twice} lies in {self._holders[twice].path} and in {shard.path}; expected it in one shard"
                )
            self._holders |= dict.fromkeys(shard.tensors, shard)
        expected = number_in(self, TENSORS)
        if len(self._holders) != expected:
            raise ModelError(
                f"{first} and its {count - 1} other shards hold {len(self._holders)} tensors, expected the {expected} "
                f"of {TENSORS}; one of them is of another model"
            )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: holder.tensors[name].shape for name, holder in self._holders.items()}

    def place(self, name: str) -> str:
        holder = self._holders.get(name, self)
        return str(holder.path)

    def tensor(self, name: str) -> Tensor:
        holder = self._holders[name]
        return super().tensor(name) if holder is self else holder.tensor(name)

    def check(self, name: str) -> None:
        holder = self._holders[name]
        return super().check(name) if holder is self else holder.check(name)

    def _opened(self, number: int, count: int) -> GgufFile:
        path = shard_name(self.path, number + 1, count)
        if not path.is_file():
            raise ModelError(f"shard {number + 1} of {count} is missing: expected {path}; fetch it, too")
        shard = GgufFile(path)
        check_number(shard, number, count)
        for key, value in shard.header.fields.items():
            if (key == TENSORS and value != number_in(self, TENSORS)) or (
                key not in OWN and not self._agrees(shard, key)
            ):
                raise ModelError(
                    f"{path}: got {key} {str(value)[:60]!r}, which {self.path} does not say; expected a shard of the "
                    "same model"
                )
        return shard

    def _agrees(self, shard: GgufFile, key: str) -> bool:
        """Whether a field of another shard says what the first says."""
        own, other = (file.header.fields.get(key) for file in (self, shard))
        arrays = not isinstance(own, (int, float, str))
        return own is not None and (self.array(key) == shard.array(key) if arrays else own == other)


def open_gguf(path: Path) -> GgufFile:
    """A model in one GGUF file, or in several of which `path` is any."""
    file = GgufFile(path)
    if COUNT not in file.header.fields or (count := number_in(file, COUNT)) <= 1:
        return file
    found = shard_of(path)
    if found is None or found[1] != count:
        raise ModelError(
            f"{path} is shard {number_in(file, NUMBER) + 1} of {count}, expected a name that ends in "
            f"-{number_in(file, NUMBER) + 1:05d}-of-{count:05d}.gguf, as it was published"
        )
    check_number(file, found[0] - 1, count)
    first = shard_name(path, 1, count)
    if not first.is_file():
        raise ModelError(f"shard 1 of {count} is missing: expected {first}; fetch it, too")
    return GgufShards(first, count)


def check_number(file: GgufFile, number: int, count: int) -> None:
    """Raises ModelError where a file is another shard than its name says."""
    got = {key: number_in(file, key) for key in (NUMBER, COUNT)}
    if got != {NUMBER: number, COUNT: count}:
        raise ModelError(
            f"{file.path} says that it is shard {got[NUMBER] + 1} of {got[COUNT]}, expected shard {number + 1} of "
            f"{count}; fetch it again"
        )


def number_in(file: GgufFile, key: str) -> int:
    value = file.field(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ModelError(f"{file.path}: got {value!r} for {key}, expected a whole number")
    return value
