"""No implementation vanishes: all are registered wherever they cannot run, each with its reason."""

from __future__ import annotations

import importlib.util

import pytest

from attnlab.bench.contract import needs
from attnlab.bench.contract.registry import discover
from attnlab.bench.store.machine import Device

ATTENTION = [
    "naive",
    "tiled",
    "compiled",
    "sdpa_math",
    "sdpa_flash",
    "sdpa_efficient",
    "sdpa_cudnn",
    "flex",
    "triton",
    "gluon",
    "flash_attn",
    "flash_attn_3",
    "flash_attn_4",
    "flashinfer",
    "xformers",
]
BACKWARD = ["naive", "sdpa_math", "sdpa_flash", "triton", "flash_attn"]
ALL = [("attention", name) for name in ATTENTION] + [("attention_backward", name) for name in BACKWARD]

CPU = Device("cpu", "a processor")
HOPPER = Device("cuda", "a Hopper", capability=(9, 0))
AMPERE = Device("cuda", "an Ampere", capability=(8, 0))
BLACKWELL = Device("cuda", "a Blackwell", capability=(10, 0))
NOT_INSTALLED = {
    ("attention", "flash_attn"): "package flash_attn.flash_attn_interface is not installed",
    ("attention", "flash_attn_4"): "package flash_attn.cute is not installed",
    ("attention", "flashinfer"): "package flashinfer is not installed",
    ("attention", "xformers"): "package xformers is not installed",
    ("attention_backward", "flash_attn"): "package flash_attn.flash_attn_interface is not installed",
}


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)


def found(operator, name):
    return discover().implementations(operator).get(name)


@pytest.mark.parametrize(("operator", "names"), [("attention", ATTENTION), ("attention_backward", BACKWARD)])
def test_all_are_registered(operator, names):
    ours = [i.name for i in discover().implementations(operator) if i.module.startswith("attnlab.impls.")]
    assert sorted(ours) == sorted(names)


@pytest.mark.parametrize(("operator", "name"), ALL)
def test_the_summary_is_one_sentence(operator, name):
    summary = found(operator, name).summary
    assert summary.endswith((".", "…"))
    assert 30 < len(summary) <= 110


@pytest.mark.parametrize(
    "name", [n for n in ATTENTION if n.startswith(("flash", "xformers")) or n in ("sdpa_cudnn", "gluon")]
)
def test_without_a_gpu_that_is_the_reason(name):
    assert needs.missing(found("attention", name), CPU) == "needs an NVIDIA GPU"


@pytest.mark.parametrize(("operator", "name"), NOT_INSTALLED)
def test_without_its_package_that_is_the_reason(operator, name, nothing_installed):
    assert needs.missing(found(operator, name), HOPPER) == NOT_INSTALLED[operator, name]


def test_flash_attn_3_names_both_packages_that_would_do(nothing_installed):
    flash_attn_3 = found("attention", "flash_attn_3")
    case = discover().operators.get("attention").case_type()
    wanted = "package flash_attn_interface or fa3_fwd_interface is not installed"
    assert flash_attn_3.supports(case) == wanted


def test_generations_of_gpus():
    flash_attn_3, flash_attn_4, gluon = (found("attention", n) for n in ("flash_attn_3", "flash_attn_4", "gluon"))
    assert needs.missing(flash_attn_3, AMPERE) == "needs compute capability 9.0 or later; this GPU has 8.0"
    assert needs.missing(flash_attn_4, AMPERE) == "needs compute capability 9.0 or later; this GPU has 8.0"
    assert needs.missing(gluon, AMPERE) == "needs compute capability 9.0 or later; this GPU has 8.0"
    assert "before 10.0" in str(needs.missing(flash_attn_3, BLACKWELL))
    assert "before 10.0" in str(needs.missing(gluon, BLACKWELL))


@pytest.mark.parametrize(("operator", "name"), ALL)
def test_what_never_ran_says_what_it_was_written_from(operator, name):
    unverified = found(operator, name).unverified
    never_run = name.startswith("flash") or name in ("xformers", "gluon")
    assert (unverified is not None) == never_run
    assert unverified is None or any(digit.isdigit() for digit in unverified.partition(",")[0])
