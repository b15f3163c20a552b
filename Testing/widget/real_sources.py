"""Slicer's own Python in the place of the stand-ins, where ``SLICER_SOURCE`` names a checkout of Slicer's sources.

Its parameter node wrapper, base classes of scripted modules, translation, sample data and packaging are plain Python,
so they run here as they are; widgets stay stand-ins. Nothing of Slicer's code is in this repository.

git clone --filter=blob:none --branch 5.12 https://github.com/Slicer/Slicer; SLICER_SOURCE=$PWD/Slicer make test
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import slicer

from Testing.slicer.sources import PYTHON

FILES = {  # in the order in which they need each other; slicer.packaging came with 5.12
    "slicer.i18n": PYTHON / "i18n.py",
    "slicer.packaging": PYTHON / "packaging.py",
    "slicer.parameterNodeWrapper": PYTHON / "parameterNodeWrapper" / "__init__.py",
    "slicer.ScriptedLoadableModule": PYTHON / "ScriptedLoadableModule.py",
    "SampleData": Path("Modules/Scripted/SampleData/SampleData.py"),
}


def load(source: Path) -> dict[str, Any]:
    """Slicer's modules by their names; ``qt``, ``ctk`` and ``slicer`` must be there already."""
    return {name: _run(name, source / file) for name, file in FILES.items() if (source / file).exists()}


def _run(name: str, file: Path) -> Any:
    folders = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
    for old in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
        del sys.modules[old]
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    if name.startswith("slicer."):
        setattr(slicer, name.partition(".")[2], module)
    spec.loader.exec_module(module)
    return module


def classes(source: Path, library: str) -> set[str]:
    """Names of the widgets of ``ctk`` or ``slicer`` that Slicer's Python asks for."""
    text = "".join(file.read_text("utf-8") for file in (source / PYTHON / "parameterNodeWrapper").glob("*.py"))
    return set(re.findall(rf"\b{library}\.((?:ctk|q)[A-Z]\w+|qMRML\w+|qSlicer\w+)", text))
