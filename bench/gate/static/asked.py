"""What a static gate is asked for: which implementations on which cases, for which targets."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator, Sequence
from pathlib import Path

from attnlab.bench.contract.registry import OURS, Implementation, Registry
from attnlab.bench.measuring.fingerprint import sources
from attnlab.bench.measuring.suite import find_suite
from attnlab.bench.measuring.suite_file import load_suite
from attnlab.bench.profilers.compiled.c_kernels import MARCHES
from attnlab.bench.profilers.compiled.cases import serves
from attnlab.bench.profilers.compiled.orders import CaseOrder

SUITE = "kernels"
MOST_BYTES = 1 << 20  # of a file that counts as one of the source
TARGETS = ("sm_80", "sm_90", "sm_100", *MARCHES)


def orders_of(suites: Sequence[Path], registry: Registry, targets: Sequence[str]) -> list[CaseOrder]:
    """Each implementation of these suites' tables on each of their cases, for each target that it may have kernels for.

    Suites may be of other revisions: what they name and the registry does not know is ordered all the same.
    """
    found: dict[CaseOrder, None] = {}
    for path in suites:
        for bench in load_suite(path, registry, lenient=True).benches:
            known = registry.implementations(bench.operator)
            for name in bench.implementations or known.names():
                made = known.get(name) if name in known else None
                for case in bench.cases:
                    for target in targets:
                        if made is None or serves(made, target):
                            found[CaseOrder(f"{bench.operator}/{name}", case.id, target, module_of(made))] = None
    return list(found)


def module_of(made: Implementation | None) -> str:
    """What registers it, where that is ours, so that a process need not import all."""
    return made.module if made is not None and made.module.startswith(f"{OURS}.") else ""


def suite_files(suite: str, registry: Registry, roots: Sequence[Path], repo: Path) -> list[Path]:
    """A suite's file as each checkout has it; one that comes along is the harness's own for all."""
    path = find_suite(suite, registry).resolve()
    inside = suite.endswith(".toml") and repo in path.parents
    places = [root / path.relative_to(repo) for root in roots] if inside else [path]
    return list(dict.fromkeys(place for place in places if place.is_file()))


def source_hash(made: Implementation) -> str:
    """Of all files that an implementation is made of, wherever they lie, and of JSON beside them; not of packages."""
    digest = hashlib.sha256()
    for name, content in sorted((path.name, path.read_bytes()) for path in _files(made)):
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:16]


def _files(made: Implementation) -> Iterator[Path]:
    """Sources, and the data beside them: launchers read configurations there."""
    found = sources(Path(made.source), made.built_from)
    yield from found
    for folder in dict.fromkeys(path.parent for path in found):
        yield from (path for path in sorted(folder.glob("*.json")) if path.stat().st_size <= MOST_BYTES)


def compiler_version() -> str:
    """`triton 3.7.1`, without importing it; "no triton" where there is none."""
    try:
        return f"triton {importlib.metadata.version('triton')}"
    except importlib.metadata.PackageNotFoundError:
        return "no triton"
