"""The errors of captured inputs.

CaptureUnavailable
└── DamagedCapture
"""


class CaptureUnavailable(Exception):
    """The activations are in neither the fixture nor the cache, and the model cannot compute them."""


class DamagedCapture(CaptureUnavailable):
    """A file of activations cannot be read, or does not hold what its name says."""
