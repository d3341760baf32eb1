"""What is sent to nodes: our code and that of plugins as one archive, known by its hash."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.contract.own_code import own_files
from attnlab.bench.contract.registry import OURS, Registry
from attnlab.bench.measuring.fingerprint import INSTALLED, root_of, sources
from attnlab.bench.ops.serve.servers import VARIABLE as SERVERS
from attnlab.bench.store.records import BenchRecord

FIXED_TIME = (2020, 1, 1, 0, 0, 0)  # of all files: the archive of the same contents is the same
PLUGINS = "plugins"
SHIPPED = "{shipped}"
"""Stands for the folder that the archive is unpacked in."""
THREADS = ("OMP_", "MKL_", "KMP_", "GOMP_", "TORCH_", "TRITON_")
"""What nodes take over of this process's environment; Ray sets the first of them by itself."""


@dataclass(frozen=True)
class Cargo:
    """An archive, its SHA-256, the folders in it that modules are found in, and plugins as they are named there."""

    archive: bytes
    digest: str
    paths: tuple[str, ...]
    plugins: tuple[str, ...]


def packed(plugins: Sequence[str], benches: Sequence[BenchRecord], registry: Registry) -> Cargo:
    """All that is needed to measure these benches; plugins that are installed packages have to be so on nodes too."""
    files = set(_files_of_plugins(plugins, benches, registry))
    roots = {root / "pyproject.toml" for file in files if (root := root_of(file)) is not None}
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "attnlab/__init__.py", b"")
        for name, path in own_files():
            _add(archive, f"attnlab/{name}", path.read_bytes())
        for path in sorted(files):
            _add(archive, f"{PLUGINS}{path}", path.read_bytes())
        for mark in sorted(roots - files):  # where a repository begins, its own modules are told by
            _add(archive, f"{PLUGINS}{mark}", b"")
    content = held.getvalue()
    folders = dict.fromkeys(Path(entry or os.getcwd()).resolve() for entry in sys.path)
    paths = [f"{PLUGINS}{folder}" for folder in folders if any(folder in file.parents for file in files)]
    named = tuple(f"{SHIPPED}/{PLUGINS}{_path(plugin)}" if _is_path(plugin) else plugin for plugin in plugins)
    return Cargo(content, hashlib.sha256(content).hexdigest(), (".", *paths), named)


def variables() -> dict[str, str | None]:
    """What an agent's environment has of this one: threads and their like; None is taken away there."""
    own = {name: value for name, value in os.environ.items() if name.startswith(THREADS) or name == SERVERS}
    return {"OMP_NUM_THREADS": None} | own


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, FIXED_TIME), content)


def _is_path(plugin: str) -> bool:
    return plugin.endswith(".py") or "/" in plugin


def _path(plugin: str) -> Path:
    return Path(plugin).expanduser().resolve()


def _files_of_plugins(plugins: Sequence[str], benches: Iterable[BenchRecord], registry: Registry) -> Iterator[Path]:
    """The files that plugins are made of, and what their implementations are built from, without installed packages."""
    for plugin in plugins:
        written = _path(plugin) if _is_path(plugin) else _origin(plugin)
        yield from _not_installed(sources(written) if written else ())
    for bench in benches:
        for made in map(registry.implementations(bench.operator).get, bench.implementations):
            if not made.module.startswith(f"{OURS}."):
                yield from _not_installed(sources(Path(made.source), made.built_from))


def _not_installed(files: Iterable[Path]) -> Iterator[Path]:
    own = {path.resolve() for _, path in own_files()}
    for file in files:
        place = file.resolve()
        if not INSTALLED & set(place.parts) and place not in own:
            yield place


def _origin(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin else None
