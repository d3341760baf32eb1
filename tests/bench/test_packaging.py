"""What a wheel and a source distribution hold, and that an installed one works from anywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("bench", "impls", "kernels")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")

pytest.importorskip("build", reason="package build is not installed")
pytest.importorskip("setuptools", minversion="68", reason="package setuptools 68 is not installed")


@dataclass(frozen=True)
class Built:
    """A source distribution, the wheel that was built from it, and the wheel unpacked."""

    sdist: set[str]
    wheel: set[str]
    site: Path


def sources() -> set[str]:
    """Every file of the package, as `folder/…`."""
    return {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    tree = tmp_path_factory.mktemp("tree")
    for name in sources() | set(FILES) | {"tests/conftest.py"}:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tree / "dist"), str(tree)]
    ended = subprocess.run(build, cwd=tree, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (wheel,) = (tree / "dist").glob("*.whl")
    (sdist,) = (tree / "dist").glob("*.tar.gz")
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        in_wheel = set(archive.namelist())
    with tarfile.open(sdist) as tar:
        in_sdist = {name.partition("/")[2] for name in tar.getnames()}
    return Built(in_sdist, in_wheel, site)


def test_a_wheel_puts_nothing_else_into_site_packages(built: Built) -> None:
    tops = {name.partition("/")[0] for name in built.wheel}
    (info,) = tops - {"attnlab"}
    assert info.startswith("attnlab-")
    assert info.endswith(".dist-info")


def test_a_wheel_holds_every_module_and_all_data(built: Built) -> None:
    inside = {name.removeprefix("attnlab/") for name in built.wheel if name.startswith("attnlab/")}
    assert inside == sources()
    for name in ("bench/py.typed", "bench/suites/quick.toml", "bench/cli/run.py", "impls/attention/naive.py"):
        assert name in inside, "the comparison is not one of nothing with nothing"


def test_a_source_distribution_holds_what_a_build_needs(built: Built) -> None:
    assert sources() | set(FILES) <= built.sdist


def test_the_script_the_pytest_plugin_and_the_licence_are_in_the_wheel(built: Built) -> None:
    (info,) = built.site.glob("*.dist-info")
    points = (info / "entry_points.txt").read_text()
    assert "[console_scripts]\nattnlab = attnlab.bench.cli:run_as_script" in points
    assert "[pytest11]\nattnlab = attnlab.bench.pytesting.plugin" in points
    assert "Apache-2.0" in (info / "METADATA").read_text()
    assert any(path.name == "LICENSE" for path in info.rglob("*"))


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str | None]]:
    """What `attnlab list` of the unpacked wheel names, with the file that each module was loaded from."""
    code = (
        "import json, sys\nfrom attnlab.bench import registry\nfrom attnlab.bench.cli import main\n"
        "assert main(['list', '--json', '--device', 'cpu']) == 0\n"
        "ours = [name for name in sys.modules if name.startswith('attnlab.')]\n"
        "files = {name: getattr(sys.modules[name], '__file__', None) for name in ours}\n"
        "print(json.dumps(files), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env=os.environ | {"PYTHONPATH": str(built.site)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    files = json.loads(ended.stderr.splitlines()[-1])
    strangers = {name: file for name, file in files.items() if file and not file.startswith(str(built.site))}
    assert strangers == {}, "every module is the wheel's"
    assert len(files) > 50
    return list(json.loads(ended.stdout))


def test_an_installed_wheel_finds_all_there_is(installed: list[dict[str, str | None]]) -> None:
    names = {entry["name"] for entry in installed}
    files = (ROOT / "impls").glob("[!_]*/[!_]*.py")
    expected = {str(path.relative_to(ROOT / "impls").with_suffix("")) for path in files}
    assert expected <= names
    assert {path.stem for path in (ROOT / "bench" / "suites").glob("*.toml")} <= names
    assert len([entry for entry in installed if entry["kind"] == "metric"]) >= 10


def test_type_checkers_find_the_sources() -> None:
    for folder in FOLDERS:
        link = ROOT / "typings" / "attnlab" / folder
        assert link.is_symlink()
        assert link.resolve() == ROOT / folder
