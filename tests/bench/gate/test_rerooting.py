"""Each arm imports its own code, by every way in which Python finds a module."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from attnlab.bench.gate import rerooting
from attnlab.bench.gate.rerooting import Rerooting

REPO, ARM, HEAD = Path("/repo"), Path("/tmp/base/repo"), Path("/tmp/head/repo")


def turn() -> Rerooting:
    return Rerooting(REPO, ARM, HEAD)


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        ("/repo", "/tmp/base/repo"),
        ("/repo/src/mine", "/tmp/base/repo/src/mine"),
        ("/repository", "/repository"),
        ("/elsewhere/repo", "/elsewhere/repo"),
        ("", ""),
        ("/repo/.venv/lib/python3.11/site-packages", "/repo/.venv/lib/python3.11/site-packages"),
        ("/repo/env/dist-packages/mine", "/repo/env/dist-packages/mine"),
    ],
)
def test_only_the_repositorys_own_code_moves(place: str, wanted: str) -> None:
    assert turn().moved(place) == wanted


def test_the_environment_inside_the_repository_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/repo/environment")
    assert turn().moved("/repo/environment/share") == "/repo/environment/share"


def test_editable_finders_are_turned_and_the_harness_is_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = types.ModuleType("__editable___mine_1_0_finder")
    finder.MAPPING = {  # type: ignore[attr-defined]
        "attnlab.bench": "/repo/bench",
        "attnlab.impls": "/repo/impls",
        "other": "/elsewhere/other",
    }
    finder.NAMESPACES = {"attnlab.impls": ["/repo/impls"], "attnlab": []}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, finder.__name__, finder)
    monkeypatch.setattr(sys, "path", ["/repo", "/usr/lib"])
    turn().apply()
    assert finder.MAPPING == {  # type: ignore[attr-defined]
        "attnlab.bench": "/tmp/head/repo/bench",
        "attnlab.impls": "/tmp/base/repo/impls",
        "other": "/elsewhere/other",
    }
    assert finder.NAMESPACES == {"attnlab.impls": ["/tmp/base/repo/impls"], "attnlab": []}  # type: ignore[attr-defined]
    assert sys.path == ["/tmp/base/repo", "/usr/lib"]


def test_modules_of_the_other_checkout_are_strays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, file in (
        ("mine", "/tmp/base/repo/mine.py"),
        ("stray", "/repo/stray.py"),
        ("attnlab.bench.gate", "/repo/bench/gate/__init__.py"),
        ("site", "/repo/.venv/lib/site-packages/site.py"),
    ):
        module = types.ModuleType(name)
        module.__file__ = file
        monkeypatch.setitem(sys.modules, name, module)
    assert turn().strays() == ["stray (/repo/stray.py)"]
    assert Rerooting(REPO, REPO, REPO).strays() == []


SETUP = """
from setuptools import setup
setup(name="mine", version="1", package_dir={"mine.kernels": "kernels"}, packages=["mine.kernels"])
"""


@pytest.mark.slow
def test_an_editable_install_does_not_load_head_into_both(tmp_path: Path) -> None:
    """The real thing: setuptools' finder of a package whose folder is not named as it is imported."""
    repo, base, site = tmp_path / "repo", tmp_path / "base" / "repo", tmp_path / "site"
    for root, value in ((repo, "head"), (base, "base")):
        (root / "kernels").mkdir(parents=True)
        (root / "kernels" / "__init__.py").write_text(f"VALUE = {value!r}\n")
        (root / "setup.py").write_text(SETUP)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), "--editable", str(repo)], check=True, capture_output=True)
    (pth,) = site.glob("__editable__*.pth")
    assert pth.read_text().startswith("import "), "an import hook, which no order of sys.path can turn"
    code = (
        "import json, pathlib, runpy, site, sys; site.addsitedir(sys.argv[1]); "
        "places = map(pathlib.Path, json.loads(sys.argv[3])); "
        "turn = runpy.run_path(sys.argv[2])['Rerooting'](*places); turn.apply(); "
        "import mine.kernels; print(mine.kernels.VALUE, turn.strays())"
    )

    def value(arm: Path) -> str:
        places = json.dumps([str(repo), str(arm), str(repo)])
        command = [sys.executable, "-P", "-c", code, str(site), rerooting.__file__, places]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert value(repo) == "head []"
    assert value(base) == "base []"
