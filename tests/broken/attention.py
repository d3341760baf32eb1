"""Every broken implementation of attention, gathered from the files beside this one."""

from . import cheats, heads, masking, outputs, scoring, tiles
from .collection import ATTENTION_DEFECTS

__all__ = ["ATTENTION_DEFECTS", "cheats", "heads", "masking", "outputs", "scoring", "tiles"]
