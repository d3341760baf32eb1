"""A user's own kernel runs from any folder: by `--plugin`, and by an entry point of an installed package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.store.run_folder import read_run

# Modules that a folder of the user's may well hold, and that must shadow nothing.
HOSTILE = ("json.py", "statistics.py", "torch.py", "triton.py", "numpy.py", "kernels/__init__.py", "attnlab.py")
SMALL = ("-a", "q_heads=4", "-a", "kv_heads=2", "-a", "q_len=48")


def measured(run: str, cwd: Path) -> dict[tuple[str, str], Measurement]:
    return {(m.implementation, m.case_id): m for m in read_run(cwd / run).measurements}


@pytest.fixture(scope="module")
def hostile_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    for name in HOSTILE:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("raise SystemExit('a file of the current folder was imported')")
    return folder


@pytest.fixture(scope="module")
def by_plugin(attnlab, helpers: Path, hostile_folder: Path) -> dict[tuple[str, str], Measurement]:
    kernels = hostile_folder / "my"
    kernels.mkdir()
    for name in ("mykernel.py", "my_tiles.py"):
        shutil.copy(helpers / name, kernels)
    ended = attnlab(
        "run",
        "attention",
        "--plugin",
        "my/mykernel.py",
        "--impl",
        "mine,prepared",
        "--quick",
        *SMALL,
        "-a",
        "mask=full,causal",
        "--json",
        cwd=hostile_folder,
    )
    assert ended.returncode == 1, ended.stderr
    return measured(json.loads(ended.stdout)["run"], hostile_folder)


def test_a_function_is_measured(by_plugin) -> None:
    right = by_plugin["mine", "Hq4-Hkv2-Sq48-bf16"]
    assert right.outcome is Outcome.PASSED
    assert right.median_ns > 0
    assert right.fingerprint


def test_a_wrong_result_is_found(by_plugin) -> None:
    """`mine` knows no mask."""
    wrong = by_plugin["mine", "Hq4-Hkv2-Sq48-bf16-causal"]
    assert wrong.outcome is Outcome.WRONG_VALUES
    assert wrong.median_ns is None
    assert "relative RMS error" in wrong.reason


def test_a_class_prepares_and_tells_its_configuration(by_plugin) -> None:
    right = by_plugin["prepared", "Hq4-Hkv2-Sq48-bf16-causal"]
    assert right.outcome is Outcome.PASSED
    assert right.configuration == "tile 64"
    assert len(right.values("setup")) == 1
    assert by_plugin["prepared", "Hq4-Hkv2-Sq48-bf16"].outcome is Outcome.WRONG_VALUES


def test_an_entry_point_of_an_installed_package(attnlab, helpers: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    package = site / "their_kernels"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    source = (helpers / "mykernel.py").read_text().replace('name="mine"', 'name="theirs"')
    (package / "fast.py").write_text(source.replace("import my_tiles", "from their_kernels import my_tiles"))
    shutil.copy(helpers / "my_tiles.py", package)
    info = site / "their_kernels-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-kernels\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[attnlab.implementations]\nfast = their_kernels.fast\n")
    asked = ("run", "attention", "--impl", "theirs", *SMALL, "--quick", "--json")
    ended = attnlab(*asked, cwd=tmp_path, PYTHONPATH=str(site))
    assert ended.returncode == 0, ended.stderr
    (found,) = measured(json.loads(ended.stdout)["run"], tmp_path).values()
    assert found.outcome is Outcome.PASSED


def test_a_broken_entry_point_names_its_package(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "their_kernels-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-kernels\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[attnlab.implementations]\nfast = their_kernels.fast\n")
    monkeypatch.syspath_prepend(tmp_path)
    ended = cli("list")
    assert ended.code == 2
    assert "entry point 'fast' of package 'their-kernels' does not import: ModuleNotFoundError" in ended.err


def test_a_module_of_the_current_folder_is_a_plugin_by_name(cli, helpers: Path, tmp_path: Path) -> None:
    shutil.copy(helpers / "toy_operator.py", tmp_path / "my_toy.py")
    ended = cli("list", "--plugin", "my_toy", "--json")
    assert ended.code == 0
    assert "toy/plus" in ended.out


def test_a_plugin_given_twice_is_loaded_once(cli, helpers: Path) -> None:
    plugin = helpers / "toy_operator.py"
    assert cli("list", "--plugin", plugin, "--plugin", f"{helpers}/../helpers/toy_operator.py").code == 0
