"""What operators of language models are about: masks, sampling, caches, models, and a generation's log.

A second edge for implementations: `__init__.pyi` lists what they import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
