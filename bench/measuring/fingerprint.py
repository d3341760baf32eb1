"""What an implementation is made of: a hash of its source, of what of ours or of its own repository it is built on.

Versions are told apart by a prefix, `2:`; hashes of two versions say nothing of each other.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import tokenize
from collections.abc import Iterator
from pathlib import Path

from attnlab.bench.contract.registry import ANYWHERE, OURS, Implementation, Needs, registry

VERSION = "2:"
HARNESS = "attnlab.bench"
PACKAGES = ("attnlab.impls", "attnlab.kernels")
ALWAYS = ("torch", "triton")  # the packages that everything here is built on
INSTALLED = {"site-packages", "dist-packages"}
ROOT_MARKS = (".git", "pyproject.toml", "setup.py")


def fingerprint(implementation: Implementation) -> str | None:
    """`2:` and sixteen hexadecimal digits of a SHA-256 over sources and package versions; None without a source.

    Sources are the implementation's file, what it is `built_from`, and what these import, at the top or in a function,
    of our implementations and kernels or of the repository that they lie in. Worked out once a process for files that
    do not change.
    """
    found = sources(Path(implementation.source), implementation.built_from)
    return _hashed(_stamped(found), implementation.needs) if found else None


def content(path: Path, built_from: tuple[str, ...] = ()) -> str | None:
    """Sixteen digits of a SHA-256 over all files that `path` is made of; None where it is no file."""
    found = sources(path, built_from)
    return _hashed(_stamped(found), ANYWHERE).removeprefix(VERSION) if found else None


def comparable(one: str | None, other: str | None) -> bool:
    """Whether two fingerprints are of the same version, so that a difference means something."""
    return _version_of(one) == _version_of(other)


def _version_of(fingerprint: str | None) -> str | None:
    """The first version had no prefix."""
    return None if fingerprint is None else fingerprint[: fingerprint.find(":") + 1]


def sources(path: Path, built_from: tuple[str, ...] = ()) -> tuple[Path, ...]:
    """All files that an implementation in `path` is made of, in order; () where `path` is no file."""
    if not path.is_file():
        return ()
    found: set[Path] = set()
    waiting = [path, *(file for name in built_from for file in _named(name, path))]
    while waiting:
        current = waiting.pop()
        if current in found or not current.is_file():
            continue
        found.add(current)
        if current.suffix == ".py":
            waiting += _imported(current, current.stat().st_mtime_ns)
        found |= {beside} if (beside := current.with_suffix(".c")).is_file() else set()  # a kernel in C and its caller
    return tuple(sorted(found))


Stamp = tuple[Path, int, int]


def _stamped(files: tuple[Path, ...]) -> tuple[Stamp, ...]:
    return tuple((file, status.st_mtime_ns, status.st_size) for file in files if (status := file.stat()))


@functools.lru_cache(maxsize=1024)
def _hashed(stamps: tuple[Stamp, ...], needs: Needs) -> str:
    digest = hashlib.sha256()
    for name, content in sorted((path.name, path.read_bytes()) for path, _, _ in stamps):  # wherever they lie
        digest.update(name.encode() + b"\0" + content + b"\0")
    for name in (*ALWAYS, *needs.packages):
        digest.update(f"{name}={_version(name)}\0".encode())
    return VERSION + digest.hexdigest()[:16]


def _named(name: str, path: Path) -> Iterator[Path]:
    """The files of one entry of `built_from`: an implementation such as `rope/triton`, a file beside, or a module."""
    operator, slash, implementation = name.partition("/")
    beside = path.parent / name
    if beside.is_file():
        yield beside
    elif slash:
        yield _source_of(operator, implementation) or _lacking(name, path)
    else:
        files = list(_files_of(name, path))
        yield from files or [_lacking(name, path)]
        for file in files:
            if file.name == "__init__.py":
                yield from sorted(file.parent.rglob("*.py"))
        folder = _folder_of(name)
        yield from sorted(folder.rglob("*.py")) if folder else ()


def _lacking(name: str, path: Path) -> Path:
    if _folder_of(name) is not None:
        return path
    raise ValueError(
        f"{path} is built from {name!r}, which is no implementation, no module and no file beside it; mend built_from"
    )


def _source_of(operator: str, implementation: str) -> Path | None:
    """The file of an implementation, ours without importing it."""
    if operator in registry.operators and implementation in registry.implementations(operator):
        return Path(registry.implementations(operator).get(implementation).source)
    return next(_files_of(f"{OURS}.{operator}.{implementation}", Path()), None)


@functools.lru_cache(maxsize=4096)
def _imported(path: Path, changed_ns: int) -> tuple[Path, ...]:
    """The files that a module imports of ours or of its own repository; `changed_ns` makes an edited file another."""
    return tuple(dict.fromkeys(file for name in _imports(path) for file in _files_of(name, path)))


def _imports(path: Path) -> Iterator[str]:
    """Names of modules that a file imports; those of relative imports begin with a dot for each level."""
    with tokenize.open(path) as file:  # in the encoding that the file declares
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module
            joint = "" if module.endswith(".") else "."
            yield from (f"{module}{joint}{alias.name}" for alias in node.names)


def _files_of(name: str, importer: Path) -> Iterator[Path]:
    """The files that importing a module runs, packages on the way among them; none of the harness or of others."""
    if name == HARNESS or name.startswith(f"{HARNESS}."):
        return
    for package in PACKAGES:
        if name.startswith(f"{package}."):
            yield from _below(_place(package), name.removeprefix(f"{package}.").split("."))
            return
    level = len(name) - len(name.lstrip("."))
    parts = [part for part in name[level:].split(".") if part]
    if level:
        yield from _below(importer.parents[level - 1] if level <= len(importer.parents) else None, parts)
        return
    if parts and not _is_ours(importer):
        yield from _below(_own_place(parts[0], importer), parts)


def _below(base: Path | None, parts: list[str]) -> Iterator[Path]:
    if base is None:
        return
    for number, part in enumerate(parts):
        folder = base.joinpath(*parts[:number])
        if (package := folder / part / "__init__.py").is_file():
            yield package
        elif (module := folder / f"{part}.py").is_file():
            yield module
            return
        elif not (folder / part).is_dir():
            return


def _is_ours(file: Path) -> bool:
    """Whether a file is of our packages, whose absolute imports name ours in full."""
    return any(place is not None and place in file.parents for place in map(_place, PACKAGES))


def _own_place(top: str, importer: Path) -> Path | None:
    """The folder with a top-level module or package, where that is of the importer's repository or distribution."""
    found = _found(top)
    if INSTALLED & set(importer.parts):
        same = found is not None and (importer == found / f"{top}.py" or found / top in importer.parents)
        return found if same else None
    root = root_of(importer)
    near = [importer.parent, *([root, root / "src"] if root else [])]
    if found is None:  # not to be found from here, as in a checkout that nobody installed
        return next((base for base in near if (base / top).is_dir() or (base / f"{top}.py").is_file()), None)
    own = found == importer.parent or (root is not None and (root == found or root in found.parents))
    return found if own and not INSTALLED & set(found.parts) else None


@functools.cache
def _found(top: str) -> Path | None:
    """The folder in which Python finds a top-level module; nothing is imported."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(spec.origin).parent if spec.origin else Path("/")


def root_of(file: Path) -> Path | None:
    """The folder of the repository that a file lies in; None where it lies in none, or is installed."""
    if INSTALLED & set(file.parts):
        return None
    return next((folder for folder in file.parents if any((folder / mark).exists() for mark in ROOT_MARKS)), None)


def _folder_of(name: str) -> Path | None:
    """The folder of a package of ours, which needs no `__init__.py`."""
    for package in PACKAGES:
        if name.startswith(f"{package}."):
            place = _place(package)
            folder = place.joinpath(*name.removeprefix(f"{package}.").split(".")) if place else None
            return folder if folder is not None and folder.is_dir() else None
    return None


@functools.cache
def _place(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    return next(map(Path, spec.submodule_search_locations), None) if spec and spec.submodule_search_locations else None


@functools.cache
def _version(importable: str) -> str | None:
    """The version of a package; None where it is absent, or distributed under a name of another form."""
    try:
        return importlib.metadata.version(importable.partition(".")[0].replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return None
