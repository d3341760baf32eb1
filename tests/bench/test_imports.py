"""Who may import whom, read from the sources; and what importing the harness does not bring in."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

import attnlab.bench
import attnlab.bench.llm
import attnlab.bench.serving

ROOT = Path(__file__).parents[2]
FOLDERS = ("bench", "impls", "kernels")
STANDARD = sys.stdlib_module_names


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("attnlab", *(parts[:-1] if parts[-1] == "__init__" else parts)))


SOURCES = {module_name(path): path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))}


def imports_of(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """Absolute names of all that a module imports, wherever in it, for types alone or not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = module.split(".")[: None if is_package else -1]
                base = ".".join([*here[: len(here) - node.level + 1], *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@functools.cache
def imports(module: str) -> frozenset[str]:
    path = SOURCES[module]
    return frozenset(imports_of(path.read_text(), module, path.name == "__init__.py"))


def below(names: Set[str], *packages: str) -> set[str]:
    return {name for name in names if any(name == p or name.startswith(f"{p}.") for p in packages)}


def modules(*packages: str) -> list[str]:
    """At least one, so that what is said of each of them is said of something."""
    found = sorted(below(set(SOURCES), *packages))
    assert found
    return found


def tops(names: Set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_the_reader_sees_every_way_to_import() -> None:
    source = (
        "import a.b\nfrom c import d\nfrom . import e\nfrom .f import g\nfrom .. import h\n"
        "def late():\n    import i\nif TYPE_CHECKING:\n    from j import k\n"
    )
    found = set(imports_of(source, "attnlab.bench.x"))
    assert {"a.b", "c.d", "attnlab.bench.e", "attnlab.bench.f.g", "attnlab.h", "i", "j.k"} <= found
    assert "attnlab.bench.x.e" in set(imports_of("from . import e", "attnlab.bench.x", is_package=True))


def test_kernels_import_torch_and_triton_only() -> None:
    for module in modules("attnlab.kernels"):
        others = tops(imports(module) - below(imports(module), "attnlab.kernels", "attnlab")) - STANDARD
        assert others <= {"torch", "triton"}, module
        assert not below(imports(module), "attnlab.bench", "attnlab.impls"), module


def test_the_harness_imports_neither_implementations_nor_kernels() -> None:
    for module in modules("attnlab.bench"):
        assert not below(imports(module), "attnlab.impls", "attnlab.kernels"), module


def test_implementations_do_not_import_each_other() -> None:
    """What several share lies in modules of `impls` that begin with an underscore."""
    for module in modules("attnlab.impls"):
        ours = below(imports(module), "attnlab.impls") & set(SOURCES)
        shared = {name for name in ours if any(part.startswith("_") for part in name.split(".")[2:])}
        assert not ours - shared - {"attnlab.impls"}, module


def test_implementations_import_the_edges_of_the_harness_alone() -> None:
    edges = (attnlab.bench, attnlab.bench.llm, attnlab.bench.serving)
    offered = {f"{edge.__name__}.{name}" for edge in edges for name in edge.__all__}
    for module in modules("attnlab.impls"):
        ours = below(imports(module), "attnlab.bench") - {edge.__name__ for edge in edges}
        assert ours <= offered, module


def test_statistics_and_units_are_leaves() -> None:
    for module in modules("attnlab.bench.stats", "attnlab.bench.units"):
        assert not below(imports(module), "attnlab") - below(imports(module), "attnlab.bench.stats"), module
        assert tops(imports(module)) - {"attnlab"} <= STANDARD | {"numpy", "scipy"}, module


def test_only_the_command_line_imports_the_command_line() -> None:
    for module in SOURCES:
        may = module in ("attnlab.bench.pytesting.plugin", "attnlab.bench.__main__")
        assert may or module.startswith("attnlab.bench.cli") or not below(imports(module), "attnlab.bench.cli"), module


def test_nothing_imports_the_bare_names_of_the_folders() -> None:
    assert [module for module in SOURCES if tops(imports(module)) & set(FOLDERS)] == []


def test_no_module_is_named_after_one_of_the_standard_librarys() -> None:
    """Commands excepted: their files are named as a user types them, and are imported by full name only."""
    for module in SOURCES:
        name = module.rpartition(".")[2]
        assert name not in STANDARD or module.startswith("attnlab.bench.cli.") or name.startswith("__"), module


def test_every_module_says_in_a_sentence_what_it_is_for() -> None:
    for module, path in SOURCES.items():
        documented = ast.get_docstring(ast.parse(path.read_text()))
        assert documented, module
        ended = documented.partition("\n")[0].rstrip().endswith((".", ":", ";", ","))
        assert ended or "\n" in documented, module


def test_folders_that_would_shadow_a_package_have_no_init() -> None:
    assert not (ROOT / "kernels" / "__init__.py").exists()
    assert not (ROOT / "tests" / "kernels" / "__init__.py").exists()


@pytest.mark.parametrize(
    "module",
    [
        "attnlab.bench",
        "attnlab.bench.cli",
        "attnlab.bench.units",
        "attnlab.bench.errors",
        "attnlab.bench.measuring.suite_file",
        "attnlab.bench.store.records",
        "attnlab.bench.serving.log",
        "attnlab.bench.measuring.worker",
        "attnlab.bench.pytesting.plugin",
        "attnlab.bench.pytesting.fixture",
    ],
)
def test_importing_brings_in_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_command_line_brings_in_no_package_of_servers() -> None:
    """Nor does a kernel's module: they are imported where something is served or asked."""
    packages = {"aiohttp", "llguidance", "prometheus_client", "starlette", "uvicorn"}
    code = (
        "import sys\nfrom attnlab.bench.cli import build_parser\nbuild_parser()\n"
        f"import attnlab.impls.attention.naive\nsys.exit(bool({packages!r} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
