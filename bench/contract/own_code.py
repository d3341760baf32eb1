"""All files that attnlab is made of, and a hash that stands for them."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path

PACKAGES = ("bench", "impls", "kernels")
LEFT_OUT = ("__pycache__",)


@functools.cache
def own_files() -> tuple[tuple[str, Path], ...]:
    """Each file by its place below `attnlab`, such as `bench/units.py`, in order."""
    found: list[tuple[str, Path]] = []
    for package in PACKAGES:
        spec = importlib.util.find_spec(f"attnlab.{package}")
        for folder in map(Path, (spec and spec.submodule_search_locations) or ()):
            files = (path for path in folder.rglob("*") if path.is_file() and not {*LEFT_OUT} & set(path.parts))
            found += [(f"{package}/{path.relative_to(folder).as_posix()}", path) for path in files]
    return tuple(sorted(found))


def own_hash() -> str:
    """Sixteen digits of a SHA-256 over names and contents of `own_files`."""
    digest = hashlib.sha256()
    for name, path in own_files():
        digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
