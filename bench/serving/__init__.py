"""The client that measures servers: loads, requests over HTTP, what chunks mean, and the log of it all.

An edge for endpoints, as `bench.llm` is for engines: `__init__.pyi` lists what they import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
