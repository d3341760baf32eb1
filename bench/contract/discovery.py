"""How a thing is added by one file: tables of things by name, and one walk over the folders that they lie in."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from attnlab.bench.errors import DuplicateName, DuplicateRank, PluginError, UnknownName

T = TypeVar("T")

LONGEST_NAME = 64
UNRANKED = 1000  # the rank of things that ask for no place of their own: any number of them may have it
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.+-]{{0,{LONGEST_NAME - 1}}}")
"""What things may be called: it stands in tables, files, options with commas, and a terminal."""


def modules_in(package: str, *, below: bool = False) -> list[str]:
    """The modules in a package's folder by name; `below`: in folders within it too, which need no `__init__.py`.

    Those that begin with an underscore, or lie in a folder that does, hold what the others share, and are left out.
    """
    root = importlib.import_module(package)
    paths = (
        path.relative_to(folder).with_suffix("").parts
        for folder in root.__path__
        for path in Path(folder).glob("**/*.py" if below else "*.py")
    )
    return sorted({".".join((package, *parts)) for parts in paths if not any(part.startswith("_") for part in parts)})


def import_all(package: str, *, below: bool = False) -> None:
    """Import the modules in a package's folder, so that they register what they hold."""
    for name in modules_in(package, below=below):
        importlib.import_module(name)


def import_named(package: str, name: str) -> ModuleType | None:
    """Import the file of that name in a package's folder, or the folder of that name with all that lies in it.

    None where there is neither.
    """
    whole = f"{package}.{name}"
    modules = [module for module in modules_in(package, below=True) if f"{module}.".startswith(f"{whole}.")]
    for module in modules:
        importlib.import_module(module)
    return importlib.import_module(whole) if modules else None


class Table(Generic[T]):
    """Names to things, each with the module that registered it.

    rank_of: the rank by which things are ordered, which no two may share but where it is None or UNRANKED.
    """

    def __init__(self, kind: str, rank_of: Callable[[T], object] | None = None) -> None:
        self.kind = kind
        self._rank_of = rank_of or (lambda item: None)
        self._items: dict[str, tuple[T, str]] = {}

    def add(self, name: str, item: T, module: str) -> None:
        """Raises PluginError on what is no name, DuplicateName where it is taken, DuplicateRank where its rank is."""
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PluginError(
                f"{module} registers the {self.kind} {ascii(name)[:80]}; expected a name of letters, digits, _, ., + "
                f"or - that begins with a letter or digit, {LONGEST_NAME} characters at most"
            )
        if name in self._items:
            raise DuplicateName(self.kind, name, self._items[name][1], module)
        rank = self._rank_of(item)
        for known, (other, _) in self._items.items():
            if rank not in (None, UNRANKED) and rank == self._rank_of(other):
                raise DuplicateRank(self.kind, name, rank, known, module)
        self._items = {**self._items, name: (item, module)}  # another dictionary, so that a change shows

    def get(self, name: str) -> T:
        """Raises UnknownName, which suggests the nearest name or lists them all."""
        if name not in self:
            raise UnknownName(self.kind, name, self._items)
        return self._items[name][0]

    def replace(self, name: str, item: T) -> None:
        """Another item in the place of the one of that name, of the same module."""
        self._items = {**self._items, name: (item, self._items[name][1])}

    def module(self, name: str) -> str:
        """The module that registered it."""
        return self._items[name][1]

    def source(self, name: str) -> str:
        """What a person calls the module that registered it: the file of a plugin, else the module's name."""
        module = self.module(name)
        file = getattr(sys.modules.get(module), "__file__", None)
        return module if module.startswith("attnlab.") or file is None else file

    def discard(self, name: str) -> None:
        self._items = {known: entry for known, entry in self._items.items() if known != name}

    def names(self) -> list[str]:
        """Ours in order of their modules, whichever was imported first, then those of others as they came."""
        return sorted(self._items, key=lambda name: _place(self._items[name][1]))

    def __iter__(self) -> Iterator[T]:
        return iter([self._items[name][0] for name in Table.names(self)])

    def __contains__(self, name: str) -> bool:
        return name in self._items


def _place(module: str) -> tuple[bool, str]:
    own = module.startswith("attnlab.")
    return not own, module if own else ""


class Folder(Table[T]):
    """A table of what the files in a package's folder hold, in order of the files' names.

    holds: the attribute by which a file gives its thing, named by the thing's own `name`, or a tuple of such things;
    a file without it is no thing. Where `holds` is None, each file is a thing: its module, by the file's name.
    Nothing is imported before the table is asked for what it does not have, and then what is new in the folder.
    """

    of_plugins: ClassVar[list[str]] = []
    """Names of what modules of others put into such tables in this process."""

    def __init__(
        self, kind: str, package: str, holds: str | None, rank_of: Callable[[T], object] | None = None
    ) -> None:
        super().__init__(kind, rank_of)
        self.package, self.holds = package, holds
        self._known_modules: set[str] = set()
        self._open = True

    def add(self, name: str, item: T, module: str) -> None:
        super().add(name, item, module)
        if not module.startswith("attnlab."):
            self.of_plugins.append(name)

    def close(self) -> None:
        """Take in what there is; what is put into the folder later is left out."""
        self._look()
        self._open = False

    def names(self) -> list[str]:
        self._look()
        return super().names()

    def __iter__(self) -> Iterator[T]:
        self._look()
        return super().__iter__()

    def __contains__(self, name: str) -> bool:
        if name not in self._items:
            self._look()
        return name in self._items

    def _look(self) -> None:
        for module in modules_in(self.package) if self._open else ():
            if module not in self._known_modules:
                for name, item in self._things(module):
                    self.add(name, item, module)
                self._known_modules.add(module)

    def _things(self, name: str) -> list[tuple[str, Any]]:
        module = importlib.import_module(name)
        if self.holds is None:
            return [(name.rpartition(".")[2], module)]
        held = getattr(module, self.holds, ())
        return [(item.name, item) for item in (held if isinstance(held, tuple) else (held,))]
