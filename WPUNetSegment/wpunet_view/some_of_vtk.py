"""``vtk`` without all of VTK: trame-slicer asks it for a few names, and all of its libraries take memory and time.

Any other name is still found, by loading all of them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import vtkmodules

# Of VTK: those that are loaded anyway, then all
PARTS = ("vtkCommonCore", "vtkImagingCore", "vtkRenderingCore", "vtkInteractionWidgets", "all")


class Names(ModuleType):
    """What ``import vtk`` gives, each name when it is first asked for."""

    __path__ = vtkmodules.__path__  # so that ``vtk.util`` is found, too

    def __getattr__(self, name: str) -> Any:
        for part in () if name.startswith("__") else PARTS:
            found = getattr(import_module(f"vtkmodules.{part}"), name, None)
            if found is not None:
                return found
        raise AttributeError(f"module 'vtk' has no attribute '{name}'")


def install() -> None:
    """Be ``vtk`` for whatever is imported from now on."""
    sys.modules.setdefault("vtk", Names("vtk"))
