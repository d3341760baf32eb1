"""Latent tokens of one head one after another, [B, S, D]: what multi-head latent attention keeps of a token.

A token is one vector, the latent and behind it the part of the key that RoPE has turned; the latent alone is its value.
Source: DeepSeek-V2 (DeepSeek-AI, 2024, arXiv:2405.04434).
"""

from attnlab.bench.llm.caches.layout import SHD, Layout, LayoutFamily

LAYOUT = LayoutFamily(
    "latent",
    "one block a sequence, [B, S, D], values being the first numbers of keys",
    lambda _: Layout("latent", SHD, latent=True),
)
