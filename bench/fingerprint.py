"""What an implementation is made of: a hash of its source, of what it imports from our tree, of versions."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import tokenize
from pathlib import Path

from attnlab.bench.registry import Implementation

OURS = ("attnlab.impls.", "attnlab.kernels.")
ALWAYS = ("torch", "triton")  # the packages that everything here is built on


def fingerprint(implementation: Implementation) -> str | None:
    """Sixteen hexadecimal digits of a SHA-256 over sources and package versions; None without a source."""
    sources = _sources(Path(implementation.source))
    if not sources:
        return None
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for name in (*ALWAYS, *implementation.needs.packages):
        digest.update(f"{name}={_version(name)}\0".encode())
    return digest.hexdigest()[:16]


def _sources(path: Path) -> set[Path]:
    """A file and, through its imports, those of our implementations and kernels that it is built on."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current in found or not current.is_file():
            continue
        found.add(current)
        waiting += [source for name in _imports(current) if (source := _file_of(name))]
        found |= {beside} if (beside := current.with_suffix(".c")).is_file() else set()  # a kernel in C and its caller
    return found


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    with tokenize.open(path) as file:  # in the encoding that the file declares
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith(OURS)}


def _file_of(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _version(importable: str) -> str | None:
    """The version of a package; None where it is absent, or distributed under a name of another form."""
    try:
        return importlib.metadata.version(importable.partition(".")[0].replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return None
