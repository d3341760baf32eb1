"""`attnlab list` names all there is, with the reason why something cannot be used here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attnlab.bench import Needs, discover, registry


@pytest.fixture
def entries(cli, helpers: Path) -> dict[tuple[str, str], dict[str, str | None]]:
    ended = cli("list", "--json", "--plugin", helpers / "toy_operator.py")
    assert (ended.code, ended.err) == (0, "")
    return {(entry["kind"], entry["name"]): entry for entry in json.loads(ended.out)}


def test_json_names_everything(entries) -> None:
    discover()
    for operator in registry.operators:
        assert ("operator", operator.name) in entries
        for name in registry.implementations(operator.name).names():
            assert ("implementation", f"{operator.name}/{name}") in entries
        for axis in operator.case_type.axes():
            assert ("axis", f"{operator.name}.{axis}") in entries
    for suite in registry.suites.names():
        assert entries["suite", suite]["summary"]
    for metric in registry.metrics:
        assert ("metric", metric.name) in entries
    assert all(entry["summary"] for entry in entries.values())


def test_a_plugins_operator_implementations_suite_and_metric_are_among_them(entries) -> None:
    assert entries["operator", "toy"]["summary"] == "twice the input"
    assert entries["implementation", "toy/plus"]["summary"] == "Adds the input to itself."
    assert entries["axis", "toy.n"]["summary"] == "elements"
    assert entries["suite", "toys"]["summary"] == "Twice the input, at three sizes"
    assert entries["metric", "calls_per_s"]["summary"] == "Calls that fit into a second. [1/s]"


def test_what_cannot_run_here_says_why(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from attnlab.bench import implements

    implements("attention", name="elsewhere", needs=Needs(packages=("no_such_package",)))(lambda inputs: None)
    implements("attention", name="unproven", unverified="their release 1.2")(lambda inputs: None)
    listed = {e["name"]: e for e in json.loads(cli("list", "--json", "--device", "cpu").out)}
    assert listed["attention/elsewhere"]["reason"] == "package no_such_package is not installed"
    assert listed["attention/unproven"]["note"] == "unverified: their release 1.2"
    assert listed["attention/flash_attn"]["reason"] == "needs an NVIDIA GPU"
    assert listed["attention/naive"]["reason"] is None


def test_text_has_the_same_names_and_reasons(cli) -> None:
    text = cli("list", "--device", "cpu").out
    assert text.startswith("on cpu (")
    for entry in json.loads(cli("list", "--json", "--device", "cpu").out):
        line = next(line for line in text.splitlines() if line.split(" ")[0] == entry["name"])
        assert (entry["reason"] or "") in line
        assert entry["summary"][:60] in line


def test_brackets_are_shown_as_they_are(cli) -> None:
    from attnlab.bench import implements

    def one(inputs: object) -> None:
        """[red]Fast[/red] [/b]."""

    implements("attention", name="bracketed")(one)
    text = cli("list").out
    assert "attention/bracketed" in text
    assert "[red]Fast[/red] [/b]." in text
