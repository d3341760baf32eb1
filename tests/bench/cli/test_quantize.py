"""`attnlab quantize`: a mixture for a toy, its file and its page, and what is refused before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from attnlab.bench.llm.quantization.recipe import Recipe

from .conftest import Ended

Run = Callable[..., Ended]
TOY = ("quantize", "toy", "--texts", "random,random", "--tokens", "48")


def test_a_file_and_a_page(cli: Run, tmp_path: Path) -> None:
    asked = (*TOY, "--formats", "int4_g32,int8", "--budget-bits", "6", "--caches", "int8_token", "--out", "mix.toml")
    ended = cli(*asked, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    recipe = Recipe.read(f"@{tmp_path / 'mix.toml'}")
    assert [recipe.format_of(layer, "up") for layer in range(3)] == told["layers"]
    assert {one["name"]: one["bits"] <= 6 for one in told["held_out"]} == {
        "mixed": True,
        "int4_g32": True,
        "int8": False,
    }
    assert len(told["costs"]) == 6
    assert len(told["cache_costs"]) == 3
    page = (tmp_path / "mix.html").read_text()
    assert "What each layer costs alone" in page
    assert "its cache alone" in page
    assert "<script" not in page
    assert "layer 2 in int8" in ended.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--formats", "int4_g32", "--budget-bits", "4"), "expected 4.5 or more, which int4_g32"),
        (("--formats", "int4_g31", "--budget-bits", "5"), "int4_g32"),
        (("--formats", ",", "--budget-bits", "5"), "got no format"),
        (("--formats", "int8", "--budget-bits", "9", "--method", "rtm"), "rtn"),
        (("--formats", "int8", "--budget-bits", "9", "--texts", "prose"), "expected two"),
        (("--formats", "int8", "--budget-bits", "9", "--texts", "prose,poetry"), "unknown text 'poetry'"),
        (("--formats", "int8", "--budget-bits", "9", "--tokens", "4000"), "expected 2 to 2048"),
        (("--formats", "int8", "--budget-bits", "9", "--out", "nowhere/mix.toml"), "folder that is there"),
        (("--formats", "int8", "--budget-bits", "9", "--out", "mix.html"), "expected a file such as mix.toml"),
        (("--formats", "int8", "--budget-bits", "9", "--out", "."), "expected a file such as mix.toml"),
    ],
)
def test_what_is_refused(options: tuple[str, ...], told: str, cli: Run, tmp_path: Path) -> None:
    ended = cli(*TOY, "--out", "mix.toml", *options)
    assert ended.code == 2
    assert told in ended.err
    assert "Traceback" not in ended.err
    assert list(tmp_path.glob("mix.*")) == []
