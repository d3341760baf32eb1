"""What `attnlab.bench` offers, and what a second look at the registry says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import attnlab.bench
from attnlab.bench import AttnlabError, Needs, Registry, UsageError, errors, implements
from attnlab.bench.errors import DuplicateName, PluginError, UnknownName


def test_everything_that_is_promised_is_there() -> None:
    for name in attnlab.bench.__all__:
        assert getattr(attnlab.bench, name) is not None
    assert attnlab.bench.__all__ == sorted(attnlab.bench.__all__)


def test_what_is_loaded_late_is_loaded() -> None:
    code = (
        "import sys\nfrom attnlab import bench\nassert 'torch' not in sys.modules\n"
        "from attnlab.bench import AttentionInputs, AttentionCase, Mask, load\nassert 'torch' in sys.modules\n"
        "assert AttentionCase(q_len=8).id == 'Sq8-bf16'"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_is_not_there_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"No attnlab\.bench attribute nonsense"):
        attnlab.bench.nonsense  # noqa: B018


def test_every_error_is_drawn_in_the_tree() -> None:
    drawn = errors.__doc__ or ""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AttnlabError)]
    assert len(kinds) > 8
    for kind in kinds:
        assert kind.__name__ in drawn
        assert kind.__doc__


def registered(target: Any, **options: Any) -> Any:
    own = Registry()
    implements("toy", name="mine", into=own, **options)(target)
    (made,) = own.all_implementations()
    return made


def test_a_function_is_the_short_form() -> None:
    def mine(inputs: int) -> int:
        """Doubles.

        And more.
        """
        return 2 * inputs

    made = registered(mine)
    assert made.run(4, "state") == 8
    assert (made.supports(None), made.prepare(None, None), made.untimed("cpu"), made.configuration(None)) == (None,) * 4
    assert (made.summary, made.key, made.needs) == ("Doubles.", "toy/mine", Needs())
    assert made.source == __file__


def test_a_class_brings_what_it_has() -> None:
    class Mine:
        """With state."""

        def supports(self, case: int) -> str | None:
            return "odd" if case % 2 else None

        def prepare(self, case: int, inputs: int) -> int:
            return case + inputs

        def run(self, inputs: int, state: int) -> int:
            return inputs * state

    made = registered(Mine, compiled=True, unverified="1.0")
    assert made.supports(3) == "odd"
    assert made.run(5, made.prepare(2, 5)) == 35
    assert (made.compiled, made.unverified, made.summary) == (True, "1.0", "With state.")


def test_the_decorator_gives_back_what_it_got() -> None:
    def mine(inputs: object) -> object:
        return inputs

    assert implements("toy", name="mine", into=Registry())(mine) is mine


def test_a_class_without_run_is_refused() -> None:
    class Mine:
        run = None

    with pytest.raises(PluginError, match=r"class .*Mine without run\(inputs, state\); add it, or decorate a function"):
        registered(Mine)


def test_a_second_of_the_same_name_names_both_modules() -> None:
    own = Registry()
    implements("toy", name="mine", into=own)(lambda inputs: inputs)
    with pytest.raises(DuplicateName, match=f"'mine' is registered twice: by {__name__} and by {__name__}"):
        implements("toy", name="mine", into=own)(lambda inputs: inputs)
    implements("other", name="mine", into=own)(lambda inputs: inputs)
    own.remove_implementation("toy", "mine")
    implements("toy", name="mine", into=own)(lambda inputs: inputs)
    assert len(own.all_implementations()) == 2


def test_a_name_that_is_near_is_suggested_and_all_where_none_is() -> None:
    assert str(UnknownName("suite", "quik", ["quick", "prefill"])) == "unknown suite 'quik'; did you mean 'quick'?"
    assert str(UnknownName("suite", "zzz", ["quick", "prefill"])) == "unknown suite 'zzz'; known: prefill, quick"
    assert str(UnknownName("suite", "x", [])) == "unknown suite 'x'; known: none"
    assert issubclass(UnknownName, UsageError)


def test_an_operator_that_nobody_registered_has_no_table() -> None:
    with pytest.raises(UnknownName, match="unknown operator 'toy'"):
        Registry().implementations("toy")


def test_one_implementation_is_found_without_importing_the_others(tmp_path: Path) -> None:
    """What a worker does: adapters of others cost it neither time nor trouble."""
    code = (
        "import sys\nfrom attnlab.bench.contract.registry import discover_one\n"
        "one = discover_one('attention', 'naive', 'attnlab.impls.attention.naive')\n"
        "assert one.key == 'attention/naive'\n"
        "assert 'attnlab.impls.attention.flex' not in sys.modules\n"
        "assert 'torch._dynamo' not in sys.modules\n"
        "elsewhere = discover_one('attention', 'tiled', 'attnlab.impls.attention.naive')\n"
        "assert elsewhere.name == 'tiled', 'looked for everywhere'"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0
