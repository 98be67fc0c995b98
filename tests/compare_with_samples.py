"""Compare rpupy with recorded samples of the reference library, on any backend.

    python tests/compare_with_samples.py RUN [--backend cpu|cuda|cuda_host] [options of RUN]

RUN is the script that comes with the samples. It knows the cases, builds a tile for each, and
compares distributions; it is loaded here as it is, but that tiles come from the backend that is
asked for: ``cuda`` is a GPU, ``cuda_host`` its kernels compiled for the host. Other options, such
as ``--only PREFIX ...``, go to RUN. The exit status is that of RUN: 1 if a case differs.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rpupy import registry
from rpupy.errors import BackendUnavailableError


def load(path: Path) -> ModuleType:
    """Load the script that comes with the samples."""
    spec = importlib.util.spec_from_file_location("recorded_samples", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"RUN must be a Python script, got {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_backend(library: type[Any], backend: str) -> type[Any]:
    """Derive from the script's view of rpupy one whose tiles are on a backend."""

    class OnBackend(library):
        def tile(self, out_size: int, in_size: int, config: Any, seed: int) -> Any:
            cls = registry.counterpart(config.tile_kind, backend)
            return cls(out_size, in_size, config, rng=seed)

    return OnBackend


def main(arguments: list[str] | None = None) -> int:
    """Compare, and return the exit status of the script."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Other options go to RUN."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="script of the samples")
    parser.add_argument(
        "--backend", choices=("cpu", "cuda", "cuda_host"), default="cpu"
    )
    options, rest = parser.parse_known_args(arguments)
    try:
        registry.core_class("analog", options.backend)
    except BackendUnavailableError as error:
        parser.error(f"argument --backend: {error}")
    module = load(options.run)
    module.Rpupy = on_backend(module.Rpupy, options.backend)
    sys.argv = [str(options.run), "--lib", "rpupy", *rest]
    return module.main()


if __name__ == "__main__":
    sys.exit(main())
