"""What an implementation is made of: a hash of its source and of what it imports from our tree."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from pathlib import Path

from attnlab.bench.registry import Implementation

OURS = ("attnlab.impls", "attnlab.kernels")


def fingerprint(implementation: Implementation) -> str:
    """Sixteen hexadecimal digits of a SHA-256 over the source files, in order of name."""
    digest = hashlib.sha256()
    for path in sorted(_sources(Path(implementation.source))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
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
    return found


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
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
