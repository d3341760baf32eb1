"""What is stored of the machine, and what stands there where the machine does not tell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

from attnlab.bench import UsageError
from attnlab.bench.machine import environment
from attnlab.bench.machine.environment import choose_device, describe_device, describe_environment
from attnlab.bench.store import machine
from attnlab.bench.store.codec import decode, encode


def test_this_machine_is_described_and_stored() -> None:
    here = describe_environment("cpu")
    assert here.device.kind == "cpu"
    assert here.device.name == here.processor
    assert here.threads == torch.get_num_threads()
    assert here.cores == os.cpu_count()
    assert set(here.affinity) <= set(range(here.cores))
    assert here.packages["torch"] == torch.__version__
    assert "xformers" not in here.packages, "what is absent is not listed"
    assert decode(machine.Environment, encode(here)) == here


def test_variables_that_change_speed_are_stored_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_PROC_BIND", "close")
    monkeypatch.setenv("MY_TOKEN", "secret")
    variables = describe_environment("cpu").variables
    assert variables["OMP_PROC_BIND"] == "close"
    assert not any("TOKEN" in name for name in variables)


def test_a_device_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(UsageError, match="finds no usable NVIDIA GPU; take cpu"):
        choose_device("cuda")
    with pytest.raises(UsageError, match="unknown device 'tpu'; expected auto, cpu or cuda"):
        choose_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == "cuda"
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"index0": "32K\n", "index3": "32768K\n"}, 32768 << 10),
        ({"index0": "1M", "index1": "2G", "index2": "512"}, 2 << 30),
        ({"index0": "", "index1": "unknown"}, None),
        ({}, None),
    ],
)
def test_the_last_level_cache_is_the_largest(tmp_path: Path, sizes: dict[str, str], expected: int | None) -> None:
    for name, size in sizes.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "size").write_text(size)
    assert environment._last_level_cache_bytes(tmp_path) == expected


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one committed file, which stands in for the harness's own."""
    file = tmp_path / "environment.py"
    file.write_text("one")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    monkeypatch.setattr(environment, "__file__", str(file))
    return file


def test_the_revision_and_whether_it_was_changed(checkout: Path) -> None:
    head = git(checkout.parent, "rev-parse", "HEAD").strip()
    assert environment._git_state() == (head, False)
    checkout.write_text("two")
    assert environment._git_state() == (head, True)


def test_another_projects_checkout_is_not_ours(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment inside a user's repository."""
    inside = checkout.parent / "venv" / "environment.py"
    inside.parent.mkdir()
    inside.write_text("")
    monkeypatch.setattr(environment, "__file__", str(inside))
    assert environment._git_state() == (None, None)


def test_without_git_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert environment._git_state() == (None, None)
    assert environment._driver() is None
    assert describe_device("cpu").driver is None


@pytest.mark.gpu
def test_a_gpu_is_described() -> None:
    device = describe_environment("cuda").device
    assert device.kind == "cuda"
    assert device.capability == torch.cuda.get_device_capability()
    assert device.memory_bytes > 1 << 30
    assert device.cache_bytes > 1 << 20
    assert device.driver


def test_code_of_others_has_the_state_of_its_own_checkout(checkout: Path) -> None:
    head = git(checkout.parent, "rev-parse", "HEAD").strip()
    found = environment.describe_code("mine", str(checkout), "12ab")
    assert found == machine.Code("mine", str(checkout), "12ab", str(checkout.parent), head, False)
    checkout.write_text("two")
    assert environment.describe_code("mine", str(checkout), "12ab").dirty
    beside = checkout.with_name("untracked.py")
    beside.write_text("")
    assert environment.describe_code("mine", str(beside), None).revision is None
