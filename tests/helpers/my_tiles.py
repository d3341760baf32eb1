"""A module that `mykernel` imports."""

TILE = 64
