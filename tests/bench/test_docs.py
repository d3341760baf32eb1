"""What the pages name is there: links, anchors, files of the repository, modules and options."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from attnlab.bench import discover
from attnlab.bench.measuring.stopping import Effort
from attnlab.bench.measuring.suite_file import BENCH_KEYS, TOP_KEYS, load_suite

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:bench|impls|kernels|tests|benchmarks|scripts|docs|results|reports)/[\w./-]+)`")
MODULE = re.compile(r"\battnlab\.(?:bench|impls|kernels)(?:\.[a-z_]\w*)+")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Of its headings, as a forge makes them: lower case, no punctuation, dashes for spaces."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield target


def missing_paths(text: str) -> list[str]:
    return [path for path in PATH.findall(text) if not (ROOT / path.rstrip("/")).exists()]


def missing_modules(text: str) -> list[str]:
    """Modules, or names of modules, of which there are none."""
    return [name for name in MODULE.findall(text) if not (is_module(name) or has_name(name))]


def is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def has_name(dotted: str) -> bool:
    module, _, name = dotted.rpartition(".")
    return is_module(module) and hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_and_modules_that_are_named_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert missing_paths(text) == []
    assert missing_modules(text) == []


def rows_of(text: str, heading: str) -> dict[str, str]:
    """Of the table under a heading: the key in back-ticks, and the last cell."""
    part = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \|.*\| ([^|]+) \|$", part, flags=re.MULTILINE)
    return dict(rows)


def test_the_page_of_suites_has_every_key_and_no_other() -> None:
    text = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")
    assert [key.strip("[]") for key in rows_of(text, "The file")] == [
        "description",
        "cache",
        "effort",
        "servers",
        "bench",
    ]
    assert set(TOP_KEYS) == {"description", "cache", "effort", "servers", "bench"}
    assert set(rows_of(text, "A bench")) == set(BENCH_KEYS)
    effort = asdict(Effort())
    del effort["quick"]  # which no suite may ask for
    assert {key: float(value) for key, value in rows_of(text, "Effort").items()} == effort


def test_the_suite_on_its_page_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    suite = load_suite(tmp_path / "mine.toml", discover(), lenient=True)  # there is no implementation `mine`
    (bench,) = suite.benches
    assert bench.cases[0].id == "Hq32-Hkv8-Sq512-D128-bf16-causal"
    assert [case.values()["q_len"] for case in bench.cases[1:]] == [256, 512, 1024]


def test_what_is_not_there_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A b: c\n[a](#a-b-c) [b](#nowhere) [c](other.md) [d](https://x.y/z)\n```\n[e](f.md)\n```\n")
    assert list(broken_links(page)) == ["#nowhere", "other.md"]
    assert missing_paths("`bench/cli/run.py` and `bench/gone.py`") == ["bench/gone.py"]
    gone = ["attnlab.bench.gone", "attnlab.bench.units.gone"]
    assert missing_modules(f"attnlab.bench.units.format_time {' '.join(gone)}") == gone


def test_the_table_of_search_spaces_is_that_of_the_registry() -> None:
    """Mended by putting the expected lines in its place."""
    spaces = {one.key: one.space for one in discover().all_implementations() if one.space is not None}
    expected = ["| has a search space | what is searched |", "| --- | --- |"]
    for key, space in sorted(spaces.items()):
        searched = "; ".join(f"{name} {', '.join(map(str, values))}" for name, values in space.axes.items())
        expected.append(f"| `{key}` | {searched} |")
    page = (ROOT / "docs" / "howto" / "tune.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("|")][: len(expected)] == expected, "\n".join(
        expected
    )
