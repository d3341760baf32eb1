"""Serve a model over HTTP, as OpenAI's interface has it, by an implementation of `generate` with a live engine."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from attnlab.bench.cli import EXIT_FAULTS, EXIT_OK, _options
from attnlab.bench.errors import Unavailable

PACKAGES = ("starlette", "uvicorn", "prometheus_client", "llguidance")
LARGEST_PORT = 65535

EPILOG = (
    "Answers /v1/chat/completions, /v1/completions, /v1/models, /health and /metrics. Ctrl-C or SIGTERM ends it: "
    "answers under way are given --grace seconds. Exit codes: 0 ended as told; 1 the engine failed; 2 usage."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("what is served")
    model.add_argument("--impl", default="paged", metavar="NAME", help="an implementation of generate (paged)")
    model.add_argument(
        "--model", default="smollm2_135m", metavar="NAME|PATH", help="smollm2_135m, a .gguf file or a folder"
    )
    model.add_argument("--name", metavar="NAME", help="what requests call the model (its own name)")
    model.add_argument("--dtype", default="bfloat16", metavar="DTYPE", help="of weights and cache (bfloat16)")
    model.add_argument("--batch", type=_count, default=8, metavar="N", help="requests computed together (8)")
    model.add_argument(
        "--context", type=_count, metavar="N", help="tokens of a prompt and its answer (the model's, at most 2048)"
    )
    model.add_argument(
        "--layout", metavar="LAYOUT", help="of the key-value cache (paged:16, or what the implementation takes)"
    )
    model.add_argument("--cache", default="same", metavar="FORMAT", help="of the key-value cache (same: the dtype)")
    model.add_argument("--pages", type=_count, default=0, metavar="N", help="of the cache (enough for the batch)")
    model.add_argument("--threads", type=_count, metavar="N", help="that torch computes with (the usable cores)")
    _options.add_device(model)
    _options.add_plugin(model)
    place = parser.add_argument_group("where and how")
    place.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (127.0.0.1)")
    place.add_argument("--port", type=_port, default=8000, metavar="N", help="to listen on, 0 for any (8000)")
    place.add_argument("--waiting", type=_count, default=256, metavar="N", help="requests that may wait (256)")
    place.add_argument("--grace", type=_seconds, default=10.0, metavar="S", help="for answers at the end (10)")
    place.add_argument(
        "--announce", action="store_true", help="tell the address in one line of JSON, for a process that starts this"
    )
    place.add_argument(
        "--with-parent", action="store_true", help="end when standard input closes, as it does when its writer dies"
    )


def execute(options: argparse.Namespace) -> int:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise Unavailable(f"not installed: {', '.join(missing)}; mend with: pip install 'attnlab[serve]'")
    from attnlab.bench.server.parent import ParentWatch

    watch = ParentWatch() if options.with_parent else None  # from the first moment on: to read a model takes a while
    from attnlab.bench.contract.discovery import modules_in
    from attnlab.bench.contract.registry import OURS, discover_some
    from attnlab.bench.server.running import Place, announce, listen, serve
    from attnlab.bench.server.settings import ServerLimits
    from attnlab.bench.server.setup import Served, set_up

    bound = listen(options.host, options.port)
    served = Served(
        implementation=options.impl,
        model=options.model,
        dtype=options.dtype,
        batch=options.batch,
        context=options.context,
        layout=options.layout,
        cache=options.cache,
        pages=options.pages,
        device=options.device,
        name=options.name,
        threads=options.threads,
    )
    registry = _options.discovered(options.plugin) if options.plugin else discover_some(modules_in(f"{OURS}.generate"))
    limits = ServerLimits(waiting=options.waiting, grace_s=options.grace)
    service = set_up(served, registry.implementations("generate"), limits)

    def told(place: Place) -> None:
        if options.announce:
            announce(place, service.model.name)
        else:
            print(f"serving {service.model.name} by {options.impl} at {place.url}; Ctrl-C ends it", flush=True)

    return EXIT_OK if serve(service, bound, told, watch) else EXIT_FAULTS


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a whole number, 1 or more")
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"got port {text!r}; expected 0 to {LARGEST_PORT}, 0 for any that is free")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected seconds, 0 or more")
    return value
