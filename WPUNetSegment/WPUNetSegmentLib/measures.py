"""What was last measured of a segmentation, by the engine or again, and how the scene shows it: a table, lines."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer
import vtk
from wpunet.structure import Structure
from wpunet.table import as_csv

from . import diameters, scene
from .measurement import here, remembered

TABLE = "WPUNetSegment.Measures"  # role of the table beside its segmentation


@dataclass(frozen=True)
class Measures:
    """corrected: whether a person changed what was measured; None of segments that are not the engine's.

    current: whether the segments are still as they were when they were measured
    """

    structures: Sequence[Structure]
    corrected: bool | None
    current: bool


def of(segmentation: Any) -> Measures:
    """Also after the scene was saved and loaded again; places are told where the CT lies now, if it was hardened."""
    told, measured = scene.report(segmentation), remembered(segmentation)
    changed = bool(told and scene.edited(segmentation))
    if measured is not None:
        return Measures(measured, changed if told else None, current=True)
    return Measures(here(segmentation, told), False, not changed) if told else Measures([], None, current=False)


def text(segmentation: Any, found: Measures) -> str:
    """As CSV, with what the CT is or was called."""
    told = scene.report(segmentation)
    case = str(told["case"]) if told else (scene.reference_ct(segmentation) or segmentation).GetName()
    return as_csv(found.structures, case, found.corrected)


def renew(segmentation: Any) -> None:
    """Bring the table and the lines in the scene up to what is told now."""
    found = of(segmentation)
    table = segmentation.GetNodeReference(TABLE)
    if found.structures:
        _fill(table or _new_table(segmentation), text(segmentation, found))
    elif table is not None:
        scene.remove(table)
    if diameters.shown(segmentation):
        diameters.draw(segmentation, found.structures)


def _new_table(segmentation: Any) -> Any:
    within = segmentation.GetScene()
    name = within.GenerateUniqueName(f"{segmentation.GetName()} measures")
    table = within.AddNewNodeByClass("vtkMRMLTableNode", name)
    table.SetLocked(True)
    table.SetDescription(segmentation.GetDescription())
    segmentation.SetNodeReferenceID(TABLE, table.GetID())
    scene.place_beside(segmentation, table)
    return table


def _fill(table: Any, content: str) -> None:
    """A column of numbers, as which it can be plotted, where all that is in it is a number."""
    heading, *rows = csv.reader(io.StringIO(content))
    with slicer.util.NodeModify(table):
        table.RemoveAllColumns()
        for name, values in zip(heading, zip(*rows, strict=True), strict=True):
            numbers = None if name == "case" else _numbers(values)
            column = vtk.vtkStringArray() if numbers is None else vtk.vtkDoubleArray()
            column.SetName(name)
            for value in values if numbers is None else numbers:
                column.InsertNextValue(value)
            table.AddColumn(column)


def _numbers(values: Sequence[str]) -> list[float] | None:
    """Not a number where there is none; None where there are words, or nothing at all."""
    try:
        return [float(value) if value else math.nan for value in values] if any(values) else None
    except ValueError:
        return None
