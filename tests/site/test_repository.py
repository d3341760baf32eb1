"""Links of the repository, as the site has them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "site" / "repository.py"


@pytest.fixture(scope="module")
def repository() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_repository", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in (
        "README.md",
        "docs/a.md",
        "docs/deep/b.md",
        "bench/code.py",
        "reports/r/summary.md",
        "reports/r/p.png",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "written", "on_the_site"),
    [
        ("README.md", "[a](docs/a.md#x)", "[a](a.md#x)"),
        ("README.md", "![p](reports/r/p.png)", "![p](repository/reports/r/p.png)"),
        ("README.md", "[the runs](reports/r) [reports/r](reports/r)", "the runs (`reports/r`) `reports/r`"),
        ("docs/a.md", "[x](#x) [y](https://y.z) [r](../README.md#own)", "[x](#x) [y](https://y.z) [r](index.md#own)"),
        ("docs/a.md", "[c](../bench/code.py)", "[c](repository/bench/code.py.txt)"),
        ("docs/deep/b.md", "[a](../a.md) [r](../../README.md)", "[a](../a.md) [r](../index.md)"),
        (
            "docs/a.md",
            "`[r](../README.md)`\n```\n[r](../README.md)\n```",
            "`[r](../README.md)`\n```\n[r](../README.md)\n```",
        ),
        ("reports/r/summary.md", "[![p](p.png)](../../docs/a.md)", "[![p](p.png)](../../../a.md)"),
    ],
)
def test_links_hold_on_the_site(
    repository: ModuleType, root: Path, source: str, written: str, on_the_site: str
) -> None:
    assert repository.with_links_of_the_site(root, source, written) == on_the_site


def test_what_linked_pages_link_to_comes_along(repository: ModuleType, root: Path) -> None:
    (root / "docs/a.md").write_text("[s](../reports/r/summary.md) [folder](../reports)")
    (root / "reports/r/summary.md").write_text("![p](p.png) `[no](../../bench/code.py)`")
    assert repository.linked_from(root, ["docs/a.md"]) == ["docs/a.md", "reports/r/summary.md", "reports/r/p.png"]
