"""Loads what others bring: modules named on the command line and by installed entry points."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Protocol

from attnlab.bench.errors import PluginError

ENTRY_POINT_GROUP = "attnlab.implementations"


class Registers(Protocol):
    """What plugins register in: says how much that is, and watches what their code changes meanwhile."""

    def count(self) -> int: ...

    def watched(self) -> AbstractContextManager[None]: ...


def load_entry_points(into: Registers) -> None:
    """Import what installed packages offer. Raises PluginError."""
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        package = f" of package {point.dist.name!r}" if point.dist else ""
        _load(f"entry point {point.name!r}{package}", point.module, point.load, into)


def load_plugin(plugin: str, into: Registers) -> None:
    """Import a module by name, or by path to a `.py` file; modules beside it can be imported too."""
    what = f"plugin {plugin!r}"
    if plugin.endswith(".py") or "/" in plugin:
        path = Path(plugin).expanduser().resolve()
        if not path.is_file():
            raise PluginError(f"plugin {str(path)!r} is no file; give a path to a .py file or a module's name")
        _search_also(path.parent)
        name = _module_name(path)
        _load(what, name, lambda: _import_file(path, name), into)
    else:
        _search_also(Path.cwd())
        _load(what, plugin, lambda: importlib.import_module(plugin), into)


def modules_below(package: str) -> list[str]:
    """Every module below a package, in order of name; its folders need no `__init__.py`."""
    root = importlib.import_module(package)
    return sorted(
        f"{package}.{'.'.join(path.relative_to(folder).with_suffix('').parts)}"
        for folder in root.__path__
        for path in Path(folder).rglob("*.py")
        if path.name != "__init__.py"
    )


def _search_also(folder: Path) -> None:
    """Let modules of a folder be imported, after all others, so that they shadow nothing."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _load(what: str, module: str, load: Callable[[], object], into: Registers) -> None:
    known, before = module in sys.modules, into.count()
    try:
        with into.watched():
            load()
    except PluginError:
        raise
    except (Exception, SystemExit) as error:  # foreign code: any failure is its own
        detail = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(f"{what} does not import: {detail}; mend it, or leave it out") from error
    if not known and into.count() == before:
        raise PluginError(
            f"{what} registers nothing; decorate a function or class with "
            '@implements("attention", name="mine"), from attnlab.bench'
        )


def _module_name(path: Path) -> str:
    """The name that a plugin's file is imported by: its own, unless another module has it."""
    known = sys.modules.get(path.stem)
    file = getattr(known, "__file__", None)
    if known is None or (file is not None and Path(file).resolve() == path):
        return path.stem
    return f"{path.stem}_{zlib.crc32(str(path).encode()):08x}"


def _import_file(path: Path, name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin {str(path)!r} cannot be read as Python; expected a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
