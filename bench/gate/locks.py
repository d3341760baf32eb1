"""Which packages a checkout asks for: its lock and requirements files, and what pip can install of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.errors import UsageError

OTHERS = {
    "uv.lock": "UV_PROJECT_ENVIRONMENT=$ATTNLAB_ENV uv sync --frozen --no-install-project",
    "poetry.lock": "poetry sync --no-root",
    "pdm.lock": "pdm sync --no-self",
    "Pipfile.lock": "pipenv sync",
    "pylock.toml": "python -m pip install -r pylock.toml",
}  # locks that pip, as it is everywhere, cannot read, and what installs them into the environment that is active
PATTERNS = ("requirements*.txt", "requirements/*.txt", "constraints*.txt", *OTHERS)
INCLUDES = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]+(\S+)")
LOCAL = re.compile(r"^[ \t]*(?:(?:-e|--editable)\b|\.{0,2}/|\.\.?[ \t]*(?:$|\[|#)|file:)|@[ \t]*file:", re.MULTILINE)


@dataclass(frozen=True)
class Requirements:
    """What pip installs for a checkout: its arguments, and the texts that they stand for, by file."""

    arguments: tuple[str, ...]
    texts: dict[str, str]
    listed: tuple[str, ...] = ()  # requirements that pyproject.toml lists, which pip reads from no file


def lock_texts(root: Path) -> dict[str, str]:
    """The files that say which packages a checkout has, by name; of pyproject.toml what it depends on."""
    files = {path.relative_to(root).as_posix(): path for pattern in PATTERNS for path in sorted(root.glob(pattern))}
    texts = {name: path.read_text(encoding="utf-8", errors="replace") for name, path in files.items()}
    depends = _dependencies(root)
    return texts | ({"pyproject.toml": "\n".join(depends)} if depends else {})


def requirements_of(root: Path) -> Requirements:
    """What pip is to install: requirements.txt, or the only requirements*.txt, or what pyproject.toml depends on.

    constraints.txt holds for either. Raises UsageError where there is none of them or only another tool's lock, and
    where they install what lies in the checkout, which no cache by contents can hold.
    """
    constraints = ("--constraint", "constraints.txt") if (root / "constraints.txt").is_file() else ()
    named = sorted(path.name for path in root.glob("requirements*.txt"))
    file = "requirements.txt" if "requirements.txt" in named else named[0] if len(named) == 1 else None
    if file is not None:
        texts = _with_included(root, file) | (_with_included(root, "constraints.txt") if constraints else {})
        return Requirements(("--requirement", file, *constraints), texts)
    if named:
        raise UsageError(f"{root} has {', '.join(named)}, and no requirements.txt: {_by_hand('pip install -r …')}")
    other = next((name for name in OTHERS if (root / name).is_file()), None)
    if other is not None:
        raise UsageError(f"{root} has {other}, which pip cannot install from: {_by_hand(OTHERS[other])}")
    depends = _dependencies(root)
    if not depends:
        raise UsageError(
            f"{root} says nowhere which packages it needs (requirements.txt, dependencies in pyproject.toml): "
            f"{_by_hand('pip install …')}"
        )
    texts = {"pyproject.toml": "\n".join(depends)} | (_with_included(root, "constraints.txt") if constraints else {})
    return Requirements(constraints, texts, depends)


def _by_hand(command: str) -> str:
    return f"build its environment with --prepare '{command}', in which python and pip are the environment's"


def _with_included(root: Path, name: str) -> dict[str, str]:
    """A file of requirements and those that it includes, by name."""
    texts: dict[str, str] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in texts:
            continue
        try:
            text = (root / current).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{root / current}: cannot be read: {error}") from error
        local = LOCAL.search(text)
        if local:
            line = text[: local.start()].count("\n") + 1
            raise UsageError(
                f"{root / current}:{line}: installs what lies in the checkout, and an environment that is kept by the "
                f"contents of its lock cannot hold that: {_by_hand(f'pip install -r {current}')}"
            )
        texts[current] = text
        waiting += [str(Path(current).parent / found) for found in _included(text) if "://" not in found]
    return texts


def _included(text: str) -> Iterator[str]:
    for line in text.splitlines():
        found = INCLUDES.match(line)
        if found:
            yield found[1]


def _dependencies(root: Path) -> tuple[str, ...]:
    """What [project] of pyproject.toml depends on; none where that is left to a build."""
    try:
        data = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return ()
    project = data.get("project")
    listed = project.get("dependencies") if isinstance(project, dict) else None
    return tuple(item for item in listed if isinstance(item, str)) if isinstance(listed, list) else ()
