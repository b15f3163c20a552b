"""A CT and its corrected segments of the scene as a training case, each in a folder of its own, as case_00000."""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy
from wpunet import hu_scale, outputs, pixels, training_case
from wpunet import volume as geometry
from wpunet.errors import InputError, OutputError
from wpunet.labels import CYST, KIDNEY, NO_CASE, TUMOR
from wpunet.report import structures_of
from wpunet.volume import Volume

from . import handover, kinds, marks, scene, transforms

CASE = "WPUNetSegment.TrainingCase"  # attribute of the segmentation: the id of the cases that were made of it

SAME_PLACE = 2.0  # voxels, to which the middle of a segment is known: the report rounds, and so does an oblique CT

Read = Callable[[Any, Any], np.ndarray]


def save(volume: Any, segmentation: Any, folder: Path | str) -> Path:
    """Write the CT and its segments as the next free case of ``folder``, and return the case's folder.

    A segmentation that was saved there before with the same CT updates its own case; no other case is ever touched.
    Raises InputError when no kidney is marked, or its parenchyma alone, or when the segments are of another frame,
    OutputError when the folder cannot be written.
    """
    if scene.parenchyma(segmentation):
        raise InputError(NO_CASE)
    folder = Path(folder)
    if not folder.is_dir():
        raise OutputError(f"{folder} is no folder; make it first, or choose another one.")
    ct = square(upright(volume, segmentation))
    labels = labels_on(ct, volume, segmentation)
    card = {"id": _case_id(segmentation), "ct": _digest(volume)}
    try:
        outputs.require_right(folder)
        with tempfile.TemporaryDirectory(prefix=".wpunet-", dir=folder) as temporary:
            made = Path(temporary) / "case"
            made.mkdir()
            training_case.write(made, ct, labels)
            (made / "case.json").write_text(json.dumps(card) + "\n", "utf-8")
            case = _put(made, folder, card)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[-120:]
        raise OutputError(f"The case cannot be written into {folder} ({reason}); choose another folder.") from error
    segmentation.SetAttribute(CASE, card["id"])
    return case


def upright(volume: Any, segmentation: Any) -> Volume:
    """The CT as the engine sees it: (slice, row, column) from head to feet.

    Raises InputError when there is no CT, or it shows another frame than that of the segments, or was moved away from
    under them, or is stretched or bent.
    """
    handover.require_ct(volume)
    scene.require_own_frame(segmentation, volume)
    transforms.require_rigid(volume)
    require_in_place(segmentation, volume)
    array, _ = pixels.to_int16(slicer.util.arrayFromVolume(volume), volume.GetName())
    ct = geometry.from_array(array.T, handover.ijk_to_ras(volume), volume.GetName())
    with suppress(InputError):  # numbers that cannot be HU are kept: these segments are not the engine's
        ct = ct.with_hu(hu_scale.to_hu(ct.hu, ct.name, ct.with_data)[0])
    return ct


def require_in_place(segmentation: Any, volume: Any) -> None:
    """Raises InputError when one of the two was moved without the other, as by *Center Volume* of the module Volumes.

    That is told by a segment that is as the engine left it: its middle lies among the same voxels of the CT.
    """
    told = scene.report(segmentation) or {}
    affine = told.get("input", {}).get("affine_ras")
    found = structures_of(told) if affine else []
    for key in scene.untouched(segmentation) if found else ():
        its = [one for one in found if key in (one.kind, f"{one.kind}_{one.side}")]
        if not its:
            continue
        middle = np.average([one.centre_ras_mm for one in its], axis=0, weights=[one.voxels for one in its])
        then = (np.linalg.inv(affine) @ [*middle, 1.0])[:3]
        marked = np.argwhere(mask_of(segmentation, key, volume))[:, ::-1]
        if not len(marked) or np.abs(marked.mean(0) - then).max() > SAME_PLACE:
            raise InputError(
                f"{segmentation.GetName()} no longer lies on {volume.GetName()} where it was made: one of the two was "
                "moved or given another spacing; undo that, or segment again."
            )
        return


def labels_on(ct: Volume, volume: Any, segmentation: Any, read: Read | None = None) -> np.ndarray:
    """Labels on the grid of ``ct``, which was made of the node ``volume``: uint8 (slice, row, column).

    ``read`` makes them from the segmentation and a node of that grid; by default ``labels_of``.
    """
    grid = volume.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeNode", "WPUNetSegment")
    try:
        slicer.util.updateVolumeFromArray(grid, ct.hu)
        grid.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ct.affine[:, [2, 1, 0, 3]]))
        grid.SetAndObserveTransformNodeID(transforms.require_rigid(volume))
        return (read or labels_of)(segmentation, grid)
    finally:
        volume.GetScene().RemoveNode(grid)


def _case_id(segmentation: Any) -> str:
    """A clone tells what the segmentation tells that it was made of, which stands before it in the scene."""
    told = segmentation.GetAttribute(CASE)
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", segmentation.GetScene())
    first = next(node for node in nodes if node.GetAttribute(CASE) == told)
    return str(told) if told and first is segmentation else uuid.uuid4().hex


def _digest(volume: Any) -> str:
    """A hash of the voxels: another patient's and another frame's differ, whatever a node is called."""
    return hashlib.sha256(np.ascontiguousarray(slicer.util.arrayFromVolume(volume)).data).hexdigest()


def square(ct: Volume) -> Volume:
    """The CT with square pixels, as the training wants them: the coarser of rows and columns is interpolated."""
    pixel = min(ct.spacing[1:])
    for axis in (1, 2):
        ratio = pixel / ct.spacing[axis]
        if ratio < 0.99:
            at = np.arange(int((ct.hu.shape[axis] - 1) / ratio + 1e-6) + 1) * ratio
            below = np.minimum(at.astype(int), ct.hu.shape[axis] - 2)
            share = (at - below).astype(np.float32)[:, None] if axis == 1 else (at - below).astype(np.float32)
            low, high = (np.take(ct.hu, below + step, axis).astype(np.float32) for step in (0, 1))
            affine = ct.affine.copy()
            affine[:3, axis] *= ratio
            ct = replace(ct, hu=np.rint(low + (high - low) * share).astype(np.int16), affine=affine)
    return ct


def labels_of(segmentation: Any, volume: Any) -> np.ndarray:
    """uint8 (k, j, i): values of labels.WITH_CYSTS; where they overlap tumor wins, then cyst; others are left out."""
    labels = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    values = {key: kinds.value_of(key, one) for key, one in kinds.segments_of(segmentation).items()}
    for wanted in (KIDNEY, CYST, TUMOR):
        for key, value in values.items():
            if value == wanted:
                labels[mask_of(segmentation, key, volume)] = value
    return labels


def left_out(segmentation: Any) -> list[str]:
    """Names of the segments that hold something and count as nothing."""
    segments = kinds.segments_of(segmentation)
    return [segments[key].GetName() for key in kinds.uncounted(segmentation) if not marks.is_empty(segmentation, key)]


def mask_of(segmentation: Any, key: str, volume: Any) -> np.ndarray:
    """bool (k, j, i): where a segment lies on the volume's grid.

    slicer.util.arrayFromSegmentBinaryLabelmap leaves a display node in the scene at each call.
    """
    segmentation.CreateBinaryLabelmapRepresentation()
    shape = volume.GetImageData().GetDimensions()[::-1]
    if marks.is_empty(segmentation, key):  # Slicer cannot resample a layer of which nothing is left
        return np.zeros(shape, bool)
    keys, image = vtk.vtkStringArray(), slicer.vtkOrientedImageData()
    keys.InsertNextValue(key)
    slicer.vtkSlicerSegmentationsModuleLogic.GenerateMergedLabelmapInReferenceGeometry(
        segmentation, volume, keys, slicer.vtkSegmentation.EXTENT_UNION_OF_EFFECTIVE_SEGMENTS, image
    )
    values = vtk_to_numpy(image.GetPointData().GetScalars())
    return np.asarray(values > 0).reshape(shape)


def _put(made: Path, folder: Path, card: dict[str, str]) -> Path:
    """Move a finished case to its place: its own earlier one, else the next free number."""
    for path in folder.glob("case_*/case.json"):
        told = _card_in(path)
        if told.get("id") == card["id"] and told.get("ct", card["ct"]) == card["ct"]:  # older cards tell none
            for file in made.iterdir():
                file.replace(path.parent / file.name)
            return path.parent
    numbers = [int(path.name[5:]) for path in folder.glob("case_*") if path.name[5:].isdigit()]
    number = max(numbers, default=-1) + 1
    while True:
        case = folder / f"case_{number:05}"
        try:
            made.rename(case)
        except OSError:
            if not case.exists():
                raise
            number += 1  # somebody else was faster
        else:
            return case


def _card_in(path: Path) -> dict[str, str]:
    """What a card tells; nothing where it is somebody else's."""
    try:
        told = json.loads(path.read_text("utf-8"))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
