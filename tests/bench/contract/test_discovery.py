"""Tables of names, and what the files in a package's folder bring into one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.contract.discovery import UNRANKED, Folder, Table, import_named, modules_in
from attnlab.bench.doctor import INSPECTIONS
from attnlab.bench.errors import DuplicateName, DuplicateRank, PluginError, UnknownName
from attnlab.bench.machine.clocks import CLOCKS

TOYS = "toys_of_discovery"
TOY = "from types import SimpleNamespace\nTOY = SimpleNamespace(name={name!r})\n"


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / TOYS
    folder.mkdir()
    (folder / "__init__.py").touch()
    yield folder
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{TOYS}.")]:
        del sys.modules[name]


def test_a_table_keeps_the_order_and_finds_by_name() -> None:
    table: Table[int] = Table("number")
    table.add("two", 2, "here")
    table.add("one", 1, "there")
    assert table.names() == ["two", "one"]
    assert list(table) == [2, 1]
    assert table.get("one") == 1
    assert "one" in table
    assert "three" not in table
    table.discard("one")
    table.discard("one")
    assert table.names() == ["two"]


def test_a_table_has_ours_in_one_order_whichever_was_imported_first() -> None:
    table: Table[int] = Table("thing")
    for name, module in (("z", "theirs"), ("b", "attnlab.b"), ("c", "attnlab.b"), ("a", "attnlab.a"), ("y", "others")):
        table.add(name, len(table.names()), module)
    assert table.names() == ["a", "b", "c", "z", "y"]
    assert list(table) == [3, 1, 2, 0, 4]


def test_a_name_taken_twice_names_both_modules() -> None:
    table: Table[int] = Table("number")
    table.add("one", 1, "package.first")
    with pytest.raises(DuplicateName) as caught:
        table.add("one", 11, "package.second")
    assert str(caught.value) == (
        "number 'one' is registered twice: by package.first and by package.second; rename one of them"
    )
    assert table.get("one") == 1


def test_a_rank_taken_twice_names_who_has_it() -> None:
    table: Table[int] = Table("number", lambda number: number)
    table.add("one", 1, "package.first")
    with pytest.raises(DuplicateRank) as caught:
        table.add("another", 1, "package.second")
    assert str(caught.value) == (
        "package.second registers the number 'another' with rank 1, which is that of 'one'; expected a rank that no "
        "other has: give it another"
    )
    assert table.names() == ["one"]
    table.add("two", 2, "package.second")
    table.discard("one")
    table.add("another", 1, "package.second")


def test_two_files_of_one_rank_are_refused(toys: Path) -> None:
    for name in ("first", "second"):
        (toys / f"{name}.py").write_text(TOY.format(name=name))
    with pytest.raises(DuplicateRank, match=f"{TOYS}.second registers the toy 'second' with rank 1, .* of 'first'"):
        Folder("toy", TOYS, "TOY", lambda toy: 1).names()


@pytest.mark.parametrize("folder", [CLOCKS, INSPECTIONS], ids=["clocks", "inspections"])
def test_clocks_and_inspections_have_a_rank_each(folder: Folder[Any]) -> None:
    taken = next(iter(folder))
    with pytest.raises(DuplicateRank):
        folder.add("another", taken, "here")


def test_what_asks_for_no_rank_may_be_many() -> None:
    table: Table[int | None] = Table("number", lambda number: number)
    for place, rank in enumerate((UNRANKED, UNRANKED, None, None)):
        table.add(f"number{place}", rank, "here")
    assert len(table.names()) == 4


def test_an_unknown_name_suggests_the_nearest_or_lists_all() -> None:
    table: Table[int] = Table("number")
    table.add("eleven", 11, "here")
    table.add("two", 2, "here")
    with pytest.raises(UnknownName, match=r"^unknown number 'elven'; did you mean 'eleven'\?$"):
        table.get("elven")
    with pytest.raises(UnknownName, match=r"^unknown number 'zzz'; known: eleven, two$"):
        table.get("zzz")
    with pytest.raises(UnknownName, match=r"^unknown number 'zzz'; known: none$"):
        Table[int]("number").get("zzz")


def test_modules_are_walked_in_order_without_what_they_share(toys: Path) -> None:
    (toys / "below" / "_shared").mkdir(parents=True)
    for file in ("b.py", "a.py", "_helpers.py", "notes.txt", "below/c.py", "below/_shared/d.py"):
        (toys / file).touch()
    assert modules_in(TOYS) == [f"{TOYS}.a", f"{TOYS}.b"]
    assert modules_in(TOYS, below=True) == [f"{TOYS}.a", f"{TOYS}.b", f"{TOYS}.below.c"]
    assert not any(f"{TOYS}.{name}" in sys.modules for name in ("a", "b")), "a walk imports none of them"


def test_one_module_is_imported_by_its_name(toys: Path) -> None:
    for file in ("ball.py", "dice.py"):
        (toys / file).touch()
    assert import_named(TOYS, "ball") is sys.modules[f"{TOYS}.ball"]
    assert f"{TOYS}.dice" not in sys.modules
    assert import_named(TOYS, "doll") is None


def test_a_folder_is_imported_by_its_name_with_what_lies_in_it(toys: Path) -> None:
    (toys / "ball").mkdir()
    for file in ("balloon.py", "ball/round.py", "ball/_shared.py"):
        (toys / file).touch()
    assert import_named(TOYS, "ball") is sys.modules[f"{TOYS}.ball"]
    assert f"{TOYS}.ball.round" in sys.modules
    assert not {f"{TOYS}.balloon", f"{TOYS}.ball._shared"} & set(sys.modules)


def test_a_file_that_is_put_into_a_folder_is_in_its_table(toys: Path) -> None:
    table: Folder[object] = Folder("toy", TOYS, "TOY")
    (toys / "helpers.py").touch()
    (toys / "ball.py").write_text(TOY.format(name="round"))
    assert table.names() == ["round"]
    assert table.module("round") == f"{TOYS}.ball"
    assert "cube" not in table
    (toys / "dice.py").write_text(TOY.format(name="cube"))
    importlib.invalidate_caches()
    assert "cube" in table
    assert [toy.name for toy in table] == ["round", "cube"]  # type: ignore[attr-defined]
    with pytest.raises(UnknownName, match=r"^unknown toy 'cub'; did you mean 'cube'\?$"):
        table.get("cub")


def test_nothing_in_a_folder_is_imported_before_it_is_asked_for(toys: Path) -> None:
    (toys / "ball.py").write_text(TOY.format(name="round"))
    table: Folder[object] = Folder("toy", TOYS, "TOY")
    assert f"{TOYS}.ball" not in sys.modules
    assert "round" in table
    assert f"{TOYS}.ball" in sys.modules


def test_a_file_may_hold_several_and_a_module_may_be_the_thing(toys: Path) -> None:
    (toys / "pair.py").write_text(f"{TOY.format(name='one')}TOY = (TOY, SimpleNamespace(name='two'))\n")
    assert Folder[object]("toy", TOYS, "TOY").names() == ["one", "two"]
    modules: Folder[object] = Folder("toy", TOYS, None)
    assert modules.names() == ["pair"]
    assert modules.get("pair") is sys.modules[f"{TOYS}.pair"]


def test_two_files_cannot_have_one_name_and_a_name_is_none_of_a_sentence(toys: Path) -> None:
    for file in ("a.py", "b.py"):
        (toys / file).write_text(TOY.format(name="same"))
    with pytest.raises(DuplicateName, match=rf"^toy 'same' is registered twice: by {TOYS}.a and by {TOYS}.b; "):
        Folder[object]("toy", TOYS, "TOY").names()
    (toys / "a.py").write_text(TOY.format(name="two words"))
    del sys.modules[f"{TOYS}.a"]
    with pytest.raises(PluginError, match="expected a name of letters"):
        Folder[object]("toy", TOYS, "TOY").names()


def test_a_closed_folder_takes_nothing_more(toys: Path) -> None:
    (toys / "ball.py").write_text(TOY.format(name="round"))
    table: Folder[object] = Folder("toy", TOYS, "TOY")
    table.close()
    (toys / "dice.py").write_text(TOY.format(name="cube"))
    importlib.invalidate_caches()
    assert table.names() == ["round"]
    assert "cube" not in table
