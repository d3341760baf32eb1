"""Makes a worker import a repository's modules from another checkout of it.

An editable install points into one checkout, and would load that one's code into both arms. So every way in
which Python finds a module inside the repository is turned to the arm's checkout before anything is imported:
the entries of `sys.path`, and the tables of setuptools' editable finders. The environment's own packages,
which may lie inside the repository, stay where they are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

HARNESS = "attnlab.bench"
SOURCE_FOLDERS = ("", "src")
INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Rerooting:
    """From the repository's working tree to an arm's checkout; `harness` is the checkout that measures.

    earlier: other checkouts that this environment's editable installs may point to. places: folders of packages that
    this environment need not have, the harness's.
    """

    repo: Path
    arm: Path
    harness: Path
    earlier: tuple[Path, ...] = ()
    places: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, repo: str, arm: str, harness: str, earlier: list[str], places: dict[str, str]) -> Rerooting:
        """From what JSON holds."""
        return cls(Path(repo), Path(arm), Path(harness), tuple(map(Path, earlier)), places)

    def apply(self) -> None:
        """Turn this process's ways of finding modules. To be called before anything else is imported."""
        if self.places:
            sys.meta_path.insert(0, Placed(self.places))
        own = [str(self.arm / folder) for folder in SOURCE_FOLDERS if (self.arm / folder).is_dir()]
        rest = [self.moved(entry) for entry in sys.path]
        sys.path[:] = [*own, *(entry for entry in rest if entry not in own)]
        for finder in _editable_finders():
            for table in ("MAPPING", "NAMESPACES"):
                self._turn(getattr(finder, table, {}))
        sys.path_importer_cache.clear()

    def _turn(self, table: dict[str, object]) -> None:
        for name, places in table.items():
            harness = name == HARNESS or name.startswith(f"{HARNESS}.")
            if isinstance(places, str):
                table[name] = self.moved(places, harness)
            elif isinstance(places, list):
                table[name] = [self.moved(place, harness) for place in places]

    def moved(self, place: str, harness: bool = False) -> str:
        """The same place in the arm's checkout, or `place` itself where it is not the repository's."""
        path = Path(place)
        root = self._root(path) if place else None
        return place if root is None else str((self.harness if harness else self.arm) / path.relative_to(root))

    def counterpart(self, path: Path) -> Path:
        """A file of the harness's checkout as the arm has it; `path` itself where it is of no checkout."""
        inside = self.harness in path.parents and not set(INSTALLED) & set(path.parts)
        return self.arm / path.relative_to(self.harness) if inside else path

    def owns(self, path: Path) -> bool:
        """Whether a path is the repository's own code, and not of an environment that lies inside it."""
        return self._root(path) is not None

    def _root(self, path: Path) -> Path | None:
        """The checkout that a path lies in, other than the arm's; None for an environment's own packages."""
        if Path(sys.prefix) in path.parents or set(INSTALLED) & set(path.parts):
            return None
        return next((root for root in (self.repo, *self.earlier) if root == path or root in path.parents), None)

    def strays(self) -> list[str]:
        """Modules loaded from the repository's working tree although the arm is another checkout."""
        if self.arm == self.repo:
            return []
        return sorted(
            f"{name} ({file})"
            for name, module in list(sys.modules.items())
            if (file := getattr(module, "__file__", None)) and self._strayed(name, Path(file))
        )

    def _strayed(self, name: str, file: Path) -> bool:
        harness = name == HARNESS or name.startswith(f"{HARNESS}.")
        return not harness and self.owns(file) and self.arm not in file.parents


class Placed(MetaPathFinder):
    """Finds packages in given folders before anything else does."""

    def __init__(self, places: dict[str, str]) -> None:
        self._places = places

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = self._places.get(fullname)
        if place is None and not any(name.startswith(f"{fullname}.") for name in self._places):
            return None
        init = Path(place or "", "__init__.py")
        if place is not None and init.is_file():
            return spec_from_file_location(fullname, init, submodule_search_locations=[place])
        found = ModuleSpec(fullname, None, is_package=True)
        found.submodule_search_locations = [place] if place is not None else []
        return found


def _editable_finders() -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.startswith("__editable___")]
