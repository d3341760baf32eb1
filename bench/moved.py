"""Names that modules had before they moved into rooms, for one version: they lead to what stands there now.

A gate runs the implementations of a base on the harness of the head, and the base's may import by the old names. So may
plugins. Each use warns with DeprecationWarning and says the new name.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

HERE = "attnlab.bench"
MOVED = {
    "availability": ("contract.needs",),
    "axes": ("contract.axes",),
    "ballast": ("machine.ballast",),
    "beyond": ("contract.beyond",),
    "caches": ("llm.caches",),
    "captured": ("llm.captured",),
    "ceilings": ("machine.ceilings",),
    "cgroup": ("machine.cgroup",),
    "clocks": ("machine.clocks", "machine.clocks.clock"),
    "clocks.plan": ("store.plan",),
    "common_clock": ("measuring.common_clock",),
    "compare": ("analysis.compare",),
    "contents": ("contract.contents",),
    "correctness": ("measuring.correctness",),
    "descendants": ("contract.descendants",),
    "discovery": ("contract.discovery",),
    "distribution": ("contract.distribution",),
    "draft": ("measuring.draft",),
    "environment": ("machine.environment", "store.machine"),
    "error_budget": ("contract.error_budget",),
    "failures": ("measuring.failures",),
    "failures.wrong": ("contract.wrong",),
    "fingerprint": ("measuring.fingerprint",),
    "generation": ("llm.generation",),
    "generation.answers": ("ops.generate.answers",),
    "generation.check": ("ops.generate.check",),
    "generation.cost": ("ops.generate.cost",),
    "generation.drawn": ("ops.generate.drawn",),
    "generation.exams": ("ops.generate.exams",),
    "generation.faults": ("ops.generate.faults",),
    "generation.laws": ("ops.generate.laws",),
    "generation.sharpness": ("ops.generate.sharpness",),
    "generation.witness": ("ops.generate.witness",),
    "gpu": ("machine.gpu",),
    "harness": (
        "measuring.harness",
        "measuring.setup",
        "measuring.prepared_case",
        "measuring.finish",
        "measuring.outcomes",
    ),
    "held_down": ("machine.slow_clocks",),
    "history": ("analysis.history",),
    "host": ("machine.host",),
    "independence": ("contract.independence",),
    "isolation": ("measuring.isolation", "measuring.worker_process", "measuring.observation"),
    "judged": ("measuring.settlement", "measuring.plausibility"),
    "judging": ("measuring.judging",),
    "leavings": ("measuring.temporary_folders",),
    "masks": ("llm.masks",),
    "measure": ("measuring",),
    "meddling": ("contract.meddling",),
    "memory": ("machine.peak_memory",),
    "metrics": ("analysis.metrics", "contract.metric"),
    "models": ("llm.models",),
    "models.tokenizer": ("llm.models.tokenizer", "llm.models.load"),
    "named_files": ("contract.named_files",),
    "ops.attending": ("ops._shared.attending",),
    "ops.attention_data": ("ops._shared.attention_data", "ops._shared.sources", "ops.attention.case"),
    "ops.attention_math": ("ops._shared.attention_math",),
    "ops.caching": ("ops._shared.caching",),
    "ops.combs": ("ops._shared.combs",),
    "ops.decode_math": ("ops.decode_attention.reference",),
    "ops.needles": ("ops._shared.needles",),
    "ops.norms": ("ops._shared.norms",),
    "ops.rope_math": ("llm.rope_math",),
    "ops.rowwise": ("ops._shared.rowwise",),
    "ops.sampling_data": ("ops.sampling.data", "ops.sampling.case"),
    "ops.sampling_edges": ("ops.sampling.edges",),
    "ops.sampling_math": ("llm.sampling_math",),
    "ops.sampling_probes": ("ops.sampling.probes",),
    "ops.score_rounding": ("ops._shared.score_rounding",),
    "ops.typed": ("ops._shared.typed",),
    "ops.wide_sums": ("ops._shared.wide_sums",),
    "peaks": ("machine.peaks",),
    "plugins": ("contract.plugins",),
    "printed": ("contract.process_output",),
    "pytest_plugin": ("pytesting.plugin",),
    "raising": ("doctor.raising",),
    "registry": ("contract.registry",),
    "renewal": ("measuring.renewal",),
    "roofline": ("contract.roofline", "store.machine"),
    "runner": ("measuring.runner", "measuring.steps"),
    "sampling_params": ("llm.sampling_params",),
    "settings": ("measuring.settings",),
    "stopping": ("measuring.stopping",),
    "store.frame": ("analysis.frame",),
    "store.jsonl": ("store.run_folder",),
    "store.parquet": ("analysis.parquet",),
    "suite": ("measuring.suite",),
    "suite_file": ("measuring.suite_file",),
    "telemetry": ("machine.throttling",),
    "timing": ("measuring.timing",),
    "turned": ("measuring.turn_ratios",),
    "turns": ("measuring.turns", "measuring.interleaving"),
    "worker": ("measuring.worker", "measuring.channel"),
}
"""Old names below `attnlab.bench` to the modules that now hold what was in them, whole packages included."""

RENAMED = {
    "ops.generate.contract": {"Generated": "GenerateOutputs"},
    "ops.generate.case": {"Generated": "GenerateOutputs"},
    "contract.operator_spec": {"Mixed": "DrawMix"},
    "contract.error_budget": {"Reached": "YardstickOutput"},
}
"""What things of modules that moved are called now, by the module and the old name."""


def now_of(old: str) -> tuple[str, ...]:
    """The modules that hold what the module of that old name held, below `attnlab.bench`; () where it never moved.

    What lay in a folder is in the folder's new place, where the table says nothing of itself.
    """
    parts = old.split(".")
    for length in range(len(parts), 0, -1):
        head, rest = ".".join(parts[:length]), parts[length:]
        if head in MOVED:
            return MOVED[head] if not rest else (".".join((MOVED[head][0], *rest)),)
    return ()


def content_of(*modules: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module whose content now lies in these, the first that has a name first."""

    def attribute(name: str) -> Any:
        for module in modules if not name.startswith("__") else ():
            now = RENAMED.get(module.removeprefix(f"{HERE}."), {}).get(name, name)
            held = getattr(importlib.import_module(module), now, None)
            if held is not None and not isinstance(held, ModuleType):
                warnings.warn(f"{now} is imported from {module} now", DeprecationWarning, stacklevel=2)
                return held
        raise AttributeError(f"no {name!r} in {', '.join(modules)}")

    return attribute


class _Moved(ModuleType):
    """A module under its old name.

    `registry` and `measure` are names of the public edge as well, whose place the module takes once it is imported: so
    it has what the thing of its own name has, too, and is called as that is.
    """

    def __init__(self, name: str, modules: Sequence[str]) -> None:
        super().__init__(name)
        self._content = content_of(*modules)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._content(name)
        except AttributeError:
            own = self.__name__.removeprefix(f"{HERE}.")
            if name.startswith("__") or own not in sys.modules[HERE].__all__:
                raise
        return getattr(self._own(), name)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """What the thing of its own name does, where the edge has one."""
        return self._own()(*arguments, **keywords)

    def _own(self) -> Any:
        edge, own = sys.modules[HERE], self.__name__.removeprefix(f"{HERE}.")
        found = edge.__getattr__(own)
        setattr(edge, own, self)  # whose place it takes, as that of any package that is imported
        return found


class _OldNames(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules under their old names."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        old = name.removeprefix(f"{HERE}.")
        if old == name or not _stands(old):
            return None
        return importlib.util.spec_from_loader(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Moved(spec.name, [f"{HERE}.{now}" for now in now_of(spec.name.removeprefix(f"{HERE}."))])

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run: each name is looked up when it is asked for."""


def _stands(old: str) -> bool:
    """Whether the old name leads to modules that are there."""
    found = now_of(old)
    with suppress(ModuleNotFoundError):  # of a folder that is none
        return bool(found) and all(importlib.util.find_spec(f"{HERE}.{now}") is not None for now in found)
    return False


def install() -> None:
    """Make the old names importable in this process."""
    if not any(isinstance(finder, _OldNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OldNames())
