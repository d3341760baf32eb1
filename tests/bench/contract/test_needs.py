"""Why an implementation cannot run here, by what it needs and what there is."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest

from attnlab.bench import Needs, Registry, implements
from attnlab.bench.contract.needs import compiler_reason, missing
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.store.machine import Device

CPU = Device("cpu", "processor")
AMPERE = Device("cuda", "NVIDIA A100-SXM4-80GB", (8, 0))
HOPPER = Device("cuda", "NVIDIA H200", (9, 0))


def needing(needs: Needs) -> Implementation:
    own = Registry()
    implements("toy", name="mine", needs=needs, into=own)(lambda inputs: inputs)
    return own.all_implementations()[0]


REASONS = [
    (Needs(), CPU, None),
    (Needs(), HOPPER, None),
    (Needs(device="cpu"), CPU, None),
    (Needs(device="cpu"), HOPPER, "serves the CPU only"),
    (Needs(device="cuda"), CPU, "needs an NVIDIA GPU"),
    (Needs(device="cuda", capability=(9, 0)), HOPPER, None),
    (Needs(device="cuda", capability=(9, 0)), AMPERE, "needs compute capability 9.0 or later; this GPU has 8.0"),
    (Needs(capability=(10, 0)), HOPPER, "needs compute capability 10.0 or later; this GPU has 9.0"),
    (Needs(capability=(9, 0)), CPU, None),
    (Needs(capability_below=(9, 0)), AMPERE, None),
    (Needs(capability_below=(9, 0)), HOPPER, "serves compute capabilities before 9.0; this GPU has 9.0"),
    (Needs(packages=("json", "torch")), CPU, None),
    (Needs(packages=("json", "no_such_package")), CPU, "package no_such_package is not installed"),
    (Needs(packages=("no_such_package.deeper",)), CPU, "package no_such_package.deeper is not installed"),
    (Needs(device="cuda", packages=("no_such_package",)), CPU, "needs an NVIDIA GPU"),
]


@pytest.mark.parametrize(("needs", "device", "reason"), REASONS)
def test_the_first_need_that_is_not_met(needs: Needs, device: Device, reason: str | None) -> None:
    assert missing(needing(needs), device) == reason


def test_a_package_is_not_imported_to_know_that_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "costly_package.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert missing(needing(Needs(packages=("costly_package",))), CPU) is None


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with a compiler of every name and with Python's headers; the headers' folder."""
    (tmp_path / "Python.h").write_text("")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    paths = dict.fromkeys(("include", "stdlib", "platstdlib", "purelib", "platlib"), str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_paths", lambda *_: paths)
    return tmp_path


def test_with_a_compiler_and_headers_all_is_well(found: Path) -> None:
    assert compiler_reason() is None
    assert missing(needing(Needs(compiler=True)), CPU) is None


def test_without_a_compiler(found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    reason = "needs a C++ compiler; g++ was not found (Debian: apt-get install g++)"
    assert missing(needing(Needs(compiler=True)), CPU) == reason
    assert missing(needing(Needs()), CPU) is None


@pytest.mark.parametrize(
    ("variable", "asked"), [("clang++", "clang++"), ("ccache g++ -O2", "ccache"), ("", "g++"), (" ", "g++")]
)
def test_the_compiler_is_the_one_that_torch_would_take(
    found: Path, monkeypatch: pytest.MonkeyPatch, variable: str, asked: str
) -> None:
    looked_for: list[str] = []
    monkeypatch.setattr(shutil, "which", looked_for.append)
    monkeypatch.setenv("CXX", variable)
    assert f"{asked} was not found" in (compiler_reason() or "")
    assert looked_for == [asked]


def test_without_headers(found: Path) -> None:
    (found / "Python.h").unlink()
    reason = compiler_reason()
    assert reason == f"needs Python's headers; {found}/Python.h was not found (Debian: apt-get install python3-dev)"
