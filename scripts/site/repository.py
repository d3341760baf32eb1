"""Where a file of the repository lies on the site, and links between the two."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

MOVED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}
BESIDE = "repository/"  # what pages link to outside docs/
AS_IT_IS = {".csv", ".html", ".json", ".jpg", ".md", ".png", ".svg"}
LINK = re.compile(
    r"(?P<code>^```.*?^```$|`[^`\n]*`)|(?P<mark>!?)\[(?P<text>(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\((?P<target>[^)\s]+)\)",
    re.DOTALL | re.MULTILINE,
)


def place_of(source: str) -> str:
    """The path on the site of a file of the repository; of source code as text, which every browser shows."""
    if source in MOVED:
        return MOVED[source]
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    suffix = "" if posixpath.splitext(source)[1] in AS_IT_IS else ".txt"
    return f"{BESIDE}{source}{suffix}"


def linked_from(root: Path, sources: Iterable[str]) -> list[str]:
    """The files that these pages link to, and those that linked pages do, with the pages themselves."""
    found: dict[str, None] = {}
    left = list(sources)
    while left:
        source = left.pop()
        if source in found:
            continue
        found[source] = None
        if source.endswith(".md"):
            left += [path for path in _targets(source, (root / source).read_text("utf-8")) if (root / path).is_file()]
    return list(found)


def with_links_of_the_site(root: Path, source: str, markdown: str) -> str:
    """The page with links that hold where it lies on the site; a link to a folder becomes its path."""
    here = posixpath.dirname(place_of(source))

    def moved(found: re.Match[str]) -> str:
        path, _, anchor = (found["target"] or "").partition("#")
        if found["code"] or not path or is_address(path):
            return found[0]
        of_repository = _resolved(source, path)
        if (root / of_repository).is_dir():
            return f"{found['text']} (`{of_repository}`)" if found["text"] != of_repository else f"`{of_repository}`"
        target = posixpath.relpath(place_of(of_repository), here or ".") + (f"#{anchor}" if anchor else "")
        return f"{found['mark']}[{found['text']}]({target})"

    return LINK.sub(moved, markdown)


def is_address(target: str) -> bool:
    return re.match(r"[a-z]+:", target) is not None


def _targets(source: str, markdown: str) -> Iterator[str]:
    for found in LINK.finditer(markdown):
        path = (found["target"] or "").partition("#")[0]
        if not found["code"] and path and not is_address(path):
            yield _resolved(source, path)


def _resolved(source: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), path)).rstrip("/")
