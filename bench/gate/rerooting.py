"""Makes a worker import a repository's modules from another checkout of it.

An editable install points into one checkout, and would load that one's code into both arms. So every way in
which Python finds a module inside the repository is turned to the arm's checkout before anything is imported:
the entries of `sys.path`, and the tables of setuptools' editable finders. The environment's own packages,
which may lie inside the repository, stay where they are.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

HARNESS = "attnlab.bench"
SOURCE_FOLDERS = ("", "src")
INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Rerooting:
    """From the repository's working tree to an arm's checkout; `harness` is the checkout that measures."""

    repo: Path
    arm: Path
    harness: Path

    def apply(self) -> None:
        """Turn this process's ways of finding modules. To be called before anything else is imported."""
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
        if not place or not self.owns(path):
            return place
        return str((self.harness if harness else self.arm) / path.relative_to(self.repo))

    def counterpart(self, path: Path) -> Path:
        """A file of the harness's checkout as the arm has it; `path` itself where it is of no checkout."""
        inside = self.harness in path.parents and not set(INSTALLED) & set(path.parts)
        return self.arm / path.relative_to(self.harness) if inside else path

    def owns(self, path: Path) -> bool:
        """Whether a path is the repository's own code, and not of an environment that lies inside it."""
        inside = path == self.repo or self.repo in path.parents
        return inside and Path(sys.prefix) not in path.parents and not set(INSTALLED) & set(path.parts)

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


def _editable_finders() -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.startswith("__editable___")]
