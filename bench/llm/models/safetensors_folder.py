"""The tensors of a Hugging Face folder: one safetensors file, or shards with an index of where each tensor lies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from attnlab.bench.errors import ModelError
from attnlab.bench.llm.models.folder_config import read_json
from attnlab.bench.llm.models.quantised_files import REMEDY
from attnlab.bench.llm.models.rope_fields import short

ONE_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")


class SafetensorsFolder:
    """Raises ModelError, naming file and tensor, where the files and their index do not fit together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = self._index()
        self._files = {name: opened(folder / name) for name in sorted(set(index.values()) or {ONE_FILE})}
        self._file_of: dict[str, str] = {}
        for file_name, file in self._files.items():
            for name in file.keys():  # noqa: SIM118 - no mapping
                if name in self._file_of:
                    raise ModelError(f"{folder}: tensor {name} lies in {self._file_of[name]} and in {file_name}")
                self._file_of[name] = file_name
        if index:
            self._check_index(index)

    def _index(self) -> dict[str, str]:
        """File of each tensor as the index says; nothing where one file holds all."""
        index = self.folder / INDEX_FILE
        whole = (self.folder / ONE_FILE).is_file()
        if not index.is_file():
            if not whole:
                raise ModelError(f"{self.folder} has neither {ONE_FILE} nor {INDEX_FILE}; expected a model's weights")
            return {}
        if whole:
            raise ModelError(f"{self.folder} has both {ONE_FILE} and {INDEX_FILE}; remove the one that is not meant")
        places = read_json(index).get("weight_map")
        if not isinstance(places, dict) or not places or not all(map(is_file_name, places.values())):
            raise ModelError(f"{index}: got weight_map {short(places)}, expected tensors' names and files beside it")
        for name in sorted(set(places.values())):
            if not (self.folder / name).is_file():
                raise ModelError(f"{index} names {name}, which is not in the folder; fetch it, too")
        beside = sorted(path.name for path in self.folder.glob("*.safetensors") if SHARD.fullmatch(path.name))
        extra = next((name for name in beside if name not in places.values()), None)
        if extra is not None:
            raise ModelError(f"{self.folder / extra} is not named in {INDEX_FILE}; remove the one that is not meant")
        return places

    def _check_index(self, index: dict[str, str]) -> None:
        for name, file_name in index.items():
            found = self._file_of.get(name)
            if found != file_name:
                where = f"it lies in {found}" if found else "no file has it"
                raise ModelError(f"{self.folder / INDEX_FILE} says that {file_name} holds the tensor {name}: {where}")
        left = next((name for name in self._file_of if name not in index), None)
        if left is not None:
            raise ModelError(
                f"{self.folder / self._file_of[left]} holds the tensor {left}, which {INDEX_FILE} does not name; "
                "expected shards and index of one model"
            )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(self._slice(name).get_shape()) for name in self._file_of}

    def place(self, name: str) -> str:
        return str(self.folder / self._file_of[name]) if name in self._file_of else str(self.folder)

    def check(self, name: str) -> None:
        kind = self._slice(name).get_dtype()
        if kind not in ("F64", "F32", "F16", "BF16"):
            raise ModelError(
                f"{self.place(name)}: tensor {name} is of {kind}, expected F32, F16 or BF16; of codes, {REMEDY}"
            )

    def tensor(self, name: str) -> Tensor:
        tensor: Tensor = self._files[self._file_of[name]].get_tensor(name)
        return tensor

    def _slice(self, name: str) -> Any:
        return self._files[self._file_of[name]].get_slice(name)


def opened(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt", device="cpu")
    except SafetensorError as error:
        raise ModelError(f"{path} is cut short or no safetensors file: {error}; fetch it again") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error


def is_file_name(value: object) -> bool:
    """Of a file in the folder itself."""
    return isinstance(value, str) and re.fullmatch(r"[^/\\\0]{1,100}\.safetensors", value) is not None
