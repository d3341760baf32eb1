"""Stands in for flash-attn 2.8.3."""

from flash_attn.flash_attn_interface import flash_attn_func, flash_attn_varlen_func

__all__ = ["flash_attn_func", "flash_attn_varlen_func"]
