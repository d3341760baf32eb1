"""An operator that costs nothing, and ceilings that are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def toy(plugins_forgotten_by_module: None, helpers: Path) -> str:
    """Twice its input; has `plus` and `times`."""
    from attnlab.bench import discover

    discover((str(helpers / "toy_operator.py"),))
    return "toy"


@pytest.fixture(scope="module")
def known_ceilings(ceilings_cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(ceilings_cache))
        yield
