"""Packages that a page may never use are loaded when they are first touched, not when it starts."""

from __future__ import annotations

import importlib.util
import sys


def lazily(name: str) -> None:
    """Let the next ``import name`` be put off until something of it is asked for; nothing happens if it is loaded."""
    spec = importlib.util.find_spec(name) if name not in sys.modules else None
    if spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
