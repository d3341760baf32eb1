"""Old names of modules: each leads to what stands there now, for the implementations of a base and for plugins."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import pytest

from attnlab.bench import contract, moved
from attnlab.bench.contract import axes
from attnlab.bench.ops.attention import case


def under(name: str) -> object:
    return importlib.import_module(f"attnlab.bench.{name}")


@pytest.mark.parametrize("old", sorted(moved.MOVED))
def test_every_old_name_can_be_imported(old: str) -> None:
    assert under(old) is not None
    for now in moved.MOVED[old]:
        assert importlib.util.find_spec(f"attnlab.bench.{now}") is not None


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("axes", "Case"),
        ("contract", "Operator"),
        ("contract", "Deviation"),
        ("measure.suite", "Suite"),
        ("measure.judging.court", "Court"),
        ("metrics", "Metric"),
        ("metrics", "rows_of"),
        ("environment", "Environment"),
        ("roofline", "Ceilings"),
        ("clocks", "Timer"),
        ("clocks.now", "perf_counter_ns"),
        ("caches.cache", "KVCache"),
        ("models.config", "ModelConfig"),
        ("generation.recorder", "Recorder"),
        ("ops.attention", "AttentionCase"),
        ("ops.attention", "ATTENTION"),
        ("ops.decode_attention", "DecodeInputs"),
        ("ops.sampling", "SamplingInputs"),
        ("ops.sampling_math", "draw"),
        ("store.jsonl", "latest"),
        ("store.frame", "load"),
    ],
)
def test_what_was_there_is_there(old: str, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{name} is imported from attnlab\.bench\.\w+"):
        assert getattr(under(old), name) is not None


def test_it_is_the_same_thing_and_not_another_of_the_name() -> None:
    with pytest.warns(DeprecationWarning, match="Case is imported from attnlab.bench.contract.axes now"):
        from attnlab.bench.axes import Case  # type: ignore[import-not-found]
    assert Case is axes.Case
    with pytest.warns(DeprecationWarning, match="AttentionCase is imported from"):
        from attnlab.bench.ops.attention import AttentionCase  # type: ignore[attr-defined]
    assert AttentionCase is case.AttentionCase


def test_a_name_of_the_edge_does_what_it_did_when_a_module_of_that_name_was_imported() -> None:
    """As when one plugin imports the old module, and another the registry from the edge."""
    code = (
        "from attnlab.bench.registry import Registry\n"
        "from attnlab.bench import registry\n"
        "from attnlab.bench.contract.registry import registry as expected\n"
        "assert registry.operators is expected.operators\n"
        "assert not hasattr(registry, 'nonsense')\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("old", "name", "now"),
    [
        ("ops.generate", "Generated", "ops.generate.case.GenerateOutputs"),
        ("contract", "Mixed", "contract.operator_spec.DrawMix"),
        ("error_budget", "Reached", "contract.error_budget.YardstickOutput"),
    ],
)
def test_what_has_another_name_now_is_found_by_the_old(old: str, name: str, now: str) -> None:
    module, _, attribute = now.rpartition(".")
    with pytest.warns(DeprecationWarning, match=f"{attribute} is imported from"):
        found = getattr(under(old), name)
    assert found is getattr(under(module), attribute)


def test_what_was_never_there_is_no_attribute() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Nonsense'"):
        from attnlab.bench.axes import Nonsense  # noqa: F401
    with pytest.raises(AttributeError, match=r"no 'Nonsense' in attnlab\.bench\.contract\.operator_spec"):
        contract.Nonsense  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        under("caches.nonsense")
    with pytest.raises(ModuleNotFoundError):
        under("nonsense")


def test_a_name_leads_where_the_longest_part_of_it_went() -> None:
    assert moved.now_of("generation.check") == ("ops.generate.check",)
    assert moved.now_of("generation.recorder") == ("llm.generation.recorder",)
    assert moved.now_of("caches.layouts.paged") == ("llm.caches.layouts.paged",)
    assert moved.now_of("stats.paired") == ()


def test_one_finder_is_enough() -> None:
    before = list(sys.meta_path)
    moved.install()
    assert sys.meta_path == before


def test_an_old_implementation_runs_by_the_old_names() -> None:
    """As a base's does in a gate: nothing but the old name is imported before."""
    code = (
        "from attnlab.bench.ops.gelu import GeluCase\n"
        "from attnlab.bench.sampling_params import SamplingParams\n"
        "from attnlab.bench.caches import KVCache\n"
        "from attnlab.bench import masks\n"
        "import attnlab.bench.models.weights\n"
        "assert masks.Mask.__module__ == 'attnlab.bench.llm.masks'\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
