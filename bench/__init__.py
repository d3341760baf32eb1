"""The public edge of attnlab's harness: what `__init__.pyi` lists, each loaded when it is first asked for.

Importing it imports no torch.
"""

import lazy_loader

from attnlab.bench import moved

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
moved.install()
