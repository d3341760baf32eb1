"""The registry: forms of an implementation, names taken twice, names nobody has, and plugins."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from attnlab.bench.contract.axes import Case, axis, size
from attnlab.bench.contract.registry import Implementation, Needs, Registry, discover, implements, registry
from attnlab.bench.errors import DuplicateName, PluginError, UnknownName

PLUGIN = '''
from attnlab.bench import implements


@implements("attention", name="{name}")
def {name}(inputs):
    """Nothing but a test."""
    return inputs.q
'''


@dataclass(frozen=True)
class Sized(Case):
    """A size, and a shape that implementations must say that they serve."""

    n: int = size("N", help="rows", default=1)
    shape: str = axis(pattern="flat|round|tall", read=str, help="flat, round, tall", default="flat", opt_in=True)


def only(made: Registry) -> Implementation:
    (implementation,) = made.all_implementations()
    return implementation


def test_a_function_is_the_short_form() -> None:
    own = Registry()

    @implements("attention", name="mine", into=own)
    def mine(inputs: Any) -> Any:
        """Doubles.

        And nothing else.
        """
        return inputs * 2

    made = only(own)
    assert mine(3) == 6, "the function itself is left as it was"
    assert made.run(3, None) == 6
    assert (made.prepare(None, None), made.supports(Sized()), made.untimed("cpu")) == (None, None, None)
    assert made.configuration(None) is None
    assert (made.key, made.summary) == ("attention/mine", "Doubles.")
    assert made.module == mine.__module__
    assert Path(made.source) == Path(__file__)
    assert made.needs == Needs()
    assert made.compiled is False
    assert made.unverified is None


@pytest.mark.parametrize("decorated", [torch.no_grad(), torch.inference_mode(), partial])
def test_what_a_library_decorates_is_not_the_librarys(decorated: Callable[[Any], Any]) -> None:
    """It would count as lying outside the repository, and a gate would leave it out."""
    own = Registry()
    implements("toy", name="mine", into=own)(decorated(lambda inputs: inputs.x))
    assert Path(only(own).source) == Path(__file__)


def test_a_function_of_a_library_is_of_the_file_that_offers_it() -> None:
    own = Registry()
    implements("toy", name="mine", into=own)(torch.nn.functional.softmax)
    assert Path(only(own).source) == Path(__file__)


def test_a_class_brings_what_it_needs() -> None:
    own, needs = Registry(), Needs(device="cuda", packages=("somewhere",))

    @implements("attention", name="long", needs=needs, compiled=True, unverified="somewhere 1.2", into=own)
    class Long:
        """Adds what it prepared."""

        def supports(self, case: Case) -> str | None:
            return "needs a case" if case == Sized() else None

        def prepare(self, case: int, inputs: int) -> int:
            return case + inputs

        def run(self, inputs: int, state: int) -> int:
            return inputs + state

        def untimed(self, device_kind: str) -> str | None:
            return "interpreted" if device_kind == "cpu" else None

        def configuration(self, case: int) -> str | None:
            return f"tile {case}"

    made = only(own)
    assert isinstance(Long, type)
    assert made.supports(Sized()) == "needs a case"
    assert made.run(5, made.prepare(2, 3)) == 10
    assert (made.untimed("cpu"), made.untimed("cuda")) == ("interpreted", None)
    assert made.configuration(64) == "tile 64"
    assert (made.needs, made.compiled, made.unverified) == (needs, True, "somewhere 1.2")


def test_a_class_without_run_is_refused_by_name() -> None:
    own = Registry()
    with pytest.raises(PluginError, match=r"implementation 'idle' of attention is class .*Idle without run"):

        @implements("attention", name="idle", into=own)
        class Idle:
            pass

    assert own.all_implementations() == []


def test_one_name_may_serve_two_operators_but_not_one_twice() -> None:
    own = Registry()
    for operator in ("attention", "attention_backward"):
        implements(operator, name="mine", into=own)(lambda inputs: inputs)
    with pytest.raises(DuplicateName, match="implementation of attention 'mine' is registered twice"):
        implements("attention", name="mine", into=own)(lambda inputs: inputs)
    own.remove_implementation("attention", "mine")
    implements("attention", name="mine", into=own)(lambda inputs: inputs)
    assert len(own.all_implementations()) == 2


def test_a_registry_of_ones_own_leaves_the_global_one_alone() -> None:
    before = registry.count()
    implements("attention", name="nowhere_else", into=Registry())(lambda inputs: inputs)
    assert registry.count() == before


def test_implementations_of_an_unknown_operator() -> None:
    discover()
    with pytest.raises(UnknownName, match=r"unknown operator 'atention'; did you mean 'attention'\?"):
        registry.implementations("atention")


def test_discovery_finds_ours_and_twice_is_once() -> None:
    found = discover()
    assert found is registry
    assert {"attention", "attention_backward"} <= set(found.operators.names())
    assert {"naive", "tiled"} <= set(found.implementations("attention").names())
    before = found.count()
    assert discover().count() == before


@pytest.mark.usefixtures("plugins_forgotten")
def test_a_plugin_by_file(tmp_path: Path) -> None:
    path = tmp_path / "plugin_by_file.py"
    path.write_text(PLUGIN.format(name="by_file"))
    made = discover((str(path),)).implementations("attention").get("by_file")
    assert (made.module, made.source, made.summary) == ("plugin_by_file", str(path), "Nothing but a test.")
    discover((str(path),))
    assert registry.implementations("attention").names().count("by_file") == 1


@pytest.mark.usefixtures("plugins_forgotten")
def test_two_files_of_one_name_in_two_folders_are_two_plugins(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "plugin_twin.py").write_text(PLUGIN.format(name=f"twin_{folder}"))
    discover(tuple(str(tmp_path / folder / "plugin_twin.py") for folder in ("one", "two")))
    assert {"twin_one", "twin_two"} <= set(registry.implementations("attention").names())


@pytest.mark.usefixtures("plugins_forgotten")
def test_a_file_that_is_named_like_a_module_in_use_does_not_replace_it(tmp_path: Path) -> None:
    path = tmp_path / "json.py"
    path.write_text(PLUGIN.format(name="named_json"))
    import json

    discover((str(path),))
    assert sys.modules["json"] is json
    assert "named_json" in registry.implementations("attention")


@pytest.mark.usefixtures("plugins_forgotten")
def test_a_plugin_by_module_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_by_module.py").write_text(PLUGIN.format(name="by_module"))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "by_module" in discover(("plugin_by_module",)).implementations("attention")


@pytest.mark.usefixtures("plugins_forgotten")
@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def broken(:", "does not import: SyntaxError: "),
        ("import package_of_nobody", "ModuleNotFoundError: No module named 'package_of_nobody'; mend it, or"),
        ("raise OSError('several\\nlines')", "does not import: OSError: several lines; mend it, or leave it out"),
        (PLUGIN.format(name="naive"), "is registered twice: by attnlab.impls.attention.naive and by plugin_bad"),
        (PLUGIN.format(name="x").replace("attention", "atention"), "did you mean 'attention'?"),
    ],
)
def test_a_plugin_that_is_wrong_is_one_line(source: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "plugin_bad.py"
    path.write_text(source)
    with pytest.raises(PluginError) as caught:
        discover((str(path),))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("plugins_forgotten")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere/plugin.py", "is no file; give a path to a .py file or a module's name"),
        ("module_of_nobody", "plugin 'module_of_nobody' does not import: ModuleNotFoundError"),
    ],
)
def test_a_plugin_that_is_not_there(name: str, says: str) -> None:
    with pytest.raises(PluginError) as caught:
        discover((name,))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", "a,b", "a b", "new\nline", "\x1b[31mred", "\u202eltr", "-dash", "x" * 65, 5, None, "[bold]", "../up", "ü"],
)
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(PluginError, match="expected a name of letters, digits") as raised:
        implements("attention", name=name, into=Registry())(lambda inputs: inputs)
    assert str(raised.value).isascii()
    assert str(raised.value).isprintable()


def test_what_is_no_operator_is_refused() -> None:
    with pytest.raises(PluginError, match="got operator 5"):
        implements(5, name="mine", into=Registry())(lambda inputs: inputs)  # type: ignore[arg-type]


@pytest.mark.usefixtures("plugins_forgotten")
def test_a_plugin_named_as_a_module_of_python_hides_none(tmp_path: Path) -> None:
    (tmp_path / "html.py").write_text(
        "from attnlab.bench import implements\n@implements('attention', name='of_html')\ndef f(inputs): ..."
    )
    hidden = sys.modules.pop("html", None)
    try:
        made = discover((str(tmp_path / "html.py"),)).implementations("attention").get("of_html")
        assert made.module != "html"
        assert importlib.import_module("html").escape("<") == "&lt;"
    finally:
        registry.remove_implementation("attention", "of_html")
        if hidden is not None:
            sys.modules["html"] = hidden


@pytest.mark.parametrize("declared", [{"rounds": 5}, {"static_output": "yes"}])
def test_what_is_declared_is_of_its_kind(declared: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match="expected a name or None, and True or False"):
        implements("attention", name="mine", into=Registry(), **declared)(lambda inputs: inputs.q)


def test_what_is_declared_is_kept() -> None:
    own = Registry()
    implements("attention", name="mine", rounds="scores", static_output=True, into=own)(lambda inputs: inputs.q)
    assert (only(own).rounds, only(own).static_output) == ("scores", True)


def test_an_opt_in_axis_is_served_where_it_is_said() -> None:
    own = Registry()
    implements("toy", name="plain", into=own)(lambda inputs: inputs)
    implements("toy", name="round", serves={"shape": ("round",)}, into=own)(lambda inputs: inputs)
    implements("toy", name="all", serves={"shape": True}, into=own)(lambda inputs: inputs)

    @implements("toy", name="own", into=own)
    class Own:
        serves: ClassVar = {"shape": ("tall",)}

        def supports(self, case: Sized) -> str | None:
            return f"{case.n} rows" if case.n > 1 else None

        def run(self, inputs: Any, state: Any) -> Any:
            return inputs

    plain, round_only, everything, of_class = own.all_implementations()
    assert [made.supports(Sized()) for made in own.all_implementations()] == [None] * 4
    assert plain.supports(Sized(shape="round")) == "shape round is not served: flat only"
    assert round_only.supports(Sized(shape="round")) is None
    assert round_only.supports(Sized(shape="tall")) == "shape tall is not served: flat, round only"
    assert everything.supports(Sized(shape="tall")) is None
    assert [of_class.supports(Sized(n=n, shape="tall")) for n in (1, 2)] == [None, "2 rows"]


@pytest.mark.parametrize("served", [3, ("round",), {"shape": "round"}, {"shape": (1,)}, {3: True}, {"shape": False}])
def test_what_is_served_is_said_by_axis(served: Any) -> None:
    with pytest.raises(PluginError, match="expected axes with a tuple of names each"):
        implements("toy", name="wrong", serves=served, into=Registry())(lambda inputs: inputs)
