"""What the name of a model stands for: random weights of a published shape, or a file that is here."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from attnlab.bench.errors import ModelError, UnknownName
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.packaged import MODEL_SHA256, find_model

PACKAGED = "smollm2_135m"
"""The model whose real weights come with a package."""

RANDOM_SUFFIX = ":random"
SAMPLES, SAMPLE_BYTES = 64, 65536
SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
IN_FOLDERS = (".safetensors", ".json", ".model", ".bin")
"""Endings of files that are parts of a Hugging Face folder."""


@dataclass(frozen=True)
class Source:
    """Where a model's weights come from."""

    name: str
    """The canonical spelling of a published model; a file's or folder's own name without its ending and shard."""
    kind: Literal["random", "gguf", "folder"]
    path: Path | None
    """None for random weights."""


def canonical(name: str) -> str:
    """The one spelling of a published model, as in a case's id; raises UnknownName where there is none.

    `smollm2_135m` has real weights, `smollm2_135m:random` random ones; every other name has random weights
    anyway, so that `:random` is dropped from it. Hyphens and dots are taken for what they stand for in the
    publishers' names: `SmolLM2-135M` and `llama-3.2-1b` are known, too.
    """
    base = name.removesuffix(RANDOM_SUFFIX)
    found = published_name(base)
    if found is None:
        raise UnknownName("model", name, [*PUBLISHED, PACKAGED + RANDOM_SUFFIX])
    return found + RANDOM_SUFFIX if found == PACKAGED and base != name else found


def published_name(name: str) -> str | None:
    return {squeezed(known): known for known in PUBLISHED}.get(squeezed(name))


def squeezed(name: str) -> str:
    """Letters and digits alone; `1.7b` reads like `1b7`."""
    return "".join(c for c in name.lower().replace("1.7b", "1b7") if c.isalnum())


def is_path(name: str) -> bool:
    """Whether `name` is meant as a file or folder; a published model's name never is, whatever lies in the folder."""
    spelled = name.endswith(".gguf") or "/" in name or os.sep in name
    return spelled or (published_name(name.removesuffix(RANDOM_SUFFIX)) is None and Path(name).exists())


def resolve(name: str) -> Source:
    """The source of a published name, a .gguf file or a Hugging Face folder.

    Raises UnknownName for a name or path that nothing answers to, ModelError for a part of a folder, ModelUnavailable
    where the real weights of `smollm2_135m` are not installed.
    """
    if is_path(name):
        path = Path(name).expanduser()
        if path.is_dir():
            return Source(path.resolve().name, "folder", path)
        if path.is_file() and path.suffix in IN_FOLDERS:
            raise ModelError(f"{path} is a part of a model's folder; expected the folder, {path.parent}")
        if path.is_file():
            shard = SHARD.fullmatch(path.name)
            return Source(shard["stem"] if shard else path.stem, "gguf", path)
        raise UnknownName("model file", name, (str(near) for near in path.parent.glob("*.gguf")))
    known = canonical(name)
    if known == PACKAGED:
        return Source(known, "gguf", find_model())
    return Source(known, "random", None)


def shard_of(path: Path) -> tuple[int, int] | None:
    """Number, from 1, and count in the name of a GGUF shard, such as `m-00002-of-00003.gguf`; None of other names."""
    found = SHARD.fullmatch(path.name)
    return (int(found["number"]), int(found["count"])) if found else None


def shard_name(path: Path, number: int, count: int) -> Path:
    """Another shard of the model that the shard `path` is of."""
    found = SHARD.fullmatch(path.name)
    return path.with_name(f"{found['stem'] if found else path.stem}-{number:05d}-of-{count:05d}.gguf")


def files_of(path: Path) -> list[Path]:
    """All that decides what a model computes, and what its tokens are."""
    if path.is_dir():
        inside = {*path.glob("*.safetensors"), *path.glob("*.json"), path / "tokenizer.model"}
        return sorted(file for file in inside if file.is_file())
    shard = shard_of(path)
    others = (shard_name(path, number + 1, shard[1]) for number in range(shard[1])) if shard else iter([path])
    return [other for other in others if other.is_file()]


def origin(source: Source) -> str:
    """File and hash, for provenance.

    The packaged file's hash has just been verified. Of other files, which may have tens of gigabytes, 64 pieces
    are hashed, evenly spaced, with their sizes.
    """
    if source.path is None:
        return "random"
    if source.name == PACKAGED:
        return f"{source.path.name} sha256 {MODEL_SHA256[:16]}"
    digest = hashlib.sha256()
    for path in files_of(source.path):
        size_bytes = path.stat().st_size
        digest.update(f"{path.name} {size_bytes} ".encode())
        with path.open("rb") as file:
            for piece in range(SAMPLES):
                file.seek(piece * size_bytes // SAMPLES)
                digest.update(file.read(min(SAMPLE_BYTES, size_bytes // SAMPLES + 1)))
    return f"{source.path.name} sampled sha256 {digest.hexdigest()[:16]}"
