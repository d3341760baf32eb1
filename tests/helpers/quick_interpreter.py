"""Makes Triton's interpreter remember what is built in; a plugin of pytest, too.

It looks through the whole language at each call of a device function, which is a third of its time. It patches what it
patched before: what was not built in before the first kernel is never so later.
"""

from __future__ import annotations

import inspect
from typing import Any


def pytest_configure() -> None:
    remember()


def remember() -> None:
    """To be called before the first kernel runs."""
    import triton.language as tl
    from triton.runtime import interpreter

    look_through = interpreter._patch_builtin
    packages = (tl, tl.core, tl.math, tl.tensor, tl.core.tensor_descriptor_base)
    known = {
        id(one): [name for name, member in inspect.getmembers(one) if tl.core.is_builtin(member)] for one in packages
    }

    def patch(package: Any, *rest: Any) -> None:
        if id(package) not in known:
            look_through(package, *rest)
            return
        for name in known[id(package)]:
            member = getattr(package, name)
            if tl.core.is_builtin(member):
                interpreter._patch_attr(package, name, member, *rest)

    interpreter._patch_builtin = patch
