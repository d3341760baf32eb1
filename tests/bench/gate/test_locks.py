"""Which files say what a checkout needs, what pip can install of them, and what is refused with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench.errors import UsageError
from attnlab.bench.gate.locks import lock_texts, requirements_of


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)
    return root


def test_requirements_with_what_they_include_and_constraints(tmp_path: Path) -> None:
    write(
        tmp_path, requirements__txt="torch==2.12\n-r more.txt\n", more__txt="numpy\n", constraints__txt="numpy==2.1\n"
    )
    found = requirements_of(tmp_path)
    assert found.arguments == ("--requirement", "requirements.txt", "--constraint", "constraints.txt")
    assert set(found.texts) == {"requirements.txt", "more.txt", "constraints.txt"}


def test_the_only_file_of_requirements(tmp_path: Path) -> None:
    write(tmp_path, **{"requirements-gpu.txt": "torch\n"})
    assert requirements_of(tmp_path).arguments == ("--requirement", "requirements-gpu.txt")


def test_dependencies_of_a_project(tmp_path: Path) -> None:
    write(tmp_path, pyproject__toml='[project]\nname = "mine"\ndependencies = ["torch>=2", "numpy"]\n')
    found = requirements_of(tmp_path)
    assert found.listed == ("torch>=2", "numpy")
    assert found.arguments == ()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "says nowhere which packages it needs"),
        ({"uv.lock": "", "pyproject.toml": '[project]\ndependencies = ["torch"]\n'}, "uv sync --frozen"),
        ({"poetry.lock": ""}, "which pip cannot install from"),
        ({"requirements-a.txt": "", "requirements-b.txt": ""}, "requirements-a.txt, requirements-b.txt, and no"),
        ({"requirements.txt": "torch\n-e .\n"}, "requirements.txt:2: installs what lies in the checkout"),
        ({"requirements.txt": "./wheels/mine.whl\n"}, "requirements.txt:1: installs what lies in the checkout"),
        ({"requirements.txt": "mine @ file:///tmp/mine\n"}, "installs what lies in the checkout"),
        ({"requirements.txt": "-r nowhere.txt\n"}, "nowhere.txt: cannot be read"),
        ({"pyproject.toml": '[project]\nname = "mine"\ndynamic = ["dependencies"]\n'}, "says nowhere"),
    ],
)
def test_what_cannot_be_installed_says_how_to(files: dict[str, str], said: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as refused:
        requirements_of(tmp_path)
    assert said in str(refused.value)
    assert "--prepare" in str(refused.value) or "cannot be read" in str(refused.value)


def test_all_that_says_what_a_checkout_has(tmp_path: Path) -> None:
    write(tmp_path, **{"uv.lock": "a", "requirements-dev.txt": "b", "setup.py": "c"})
    write(tmp_path, pyproject__toml='[project]\ndependencies = ["torch"]\n[tool.ruff]\nline-length = 120\n')
    assert lock_texts(tmp_path) == {"uv.lock": "a", "requirements-dev.txt": "b", "pyproject.toml": "torch"}
