"""The result in the scene: segments with names, colours and codes, and what the user made of them since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from wpunet.errors import InputError, OutputError
from wpunet.labels import (
    BY_SIDE,
    CYST_LABEL,
    KIDNEY_LABEL,
    LEFT_KIDNEY_LABEL,
    PARENCHYMA,
    RIGHT_KIDNEY_LABEL,
    TUMOR_LABEL,
    WITH_CYSTS,
    Label,
    together,
)

from . import kinds, marks
from .handover import MAP, cropped, frame_in, frame_of, ijk_to_ras, is_ct, lies_as, shifted, without_frame
from .run import RunResult
from .transforms import as_a_whole, require_rigid

OURS = {label.key for label in (*BY_SIDE, *WITH_CYSTS)}  # a copy of such a segment has another id, and is the user's
DIGEST = "WPUNetSegment.Digest"  # tag of a segment: when and what the engine put there, so that later edits show
MADE_BY = "WPUNetSegment {wpunet}, network {network}"  # with the report's versions
# Tags that Slicer's export to DICOM reads; without them it calls a segment drawn by hand. Whoever exports it may have
# corrected it, and Slicer does not ask again.
ALGORITHM = (("DICOM.SegmentAlgorithmType", "SEMIAUTOMATIC"), ("DICOM.SegmentAlgorithmName", MADE_BY))
CT = "WPUNetSegment.CT"  # role of the CT beside the segmentation that the engine made of it
MEASURED = "WPUNetSegment.Measured"  # attribute of the segmentation: what was measured again, as JSON
REPORT = "WPUNetSegment.Report"  # attribute of the segmentation: the engine's report as JSON
UNCERTAINTY = "WPUNetSegment.Uncertainty"  # role of the uncertainty's volume beside its segmentation
KIDNEY_OPACITY_3D = 0.4
LEAST_UNCERTAINTY = 0.03  # shown from here on: below, the network is as good as sure


def show_labels(result: RunResult, volume: Any, segmentation: Any, sides: bool) -> None:
    """Put the engine's labels into ``segmentation`` in place of what the engine put there before.

    All of its segments share one layer. Segments of others stay; names and colours that the user gave stay too.
    """
    table = BY_SIDE if sides else WITH_CYSTS
    labels = result.labels if sides else together(result.labels, cysts=True)
    with slicer.util.NodeModify(segmentation):
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentation.SetNodeReferenceID(CT, volume.GetID())
        _prepare_segments(segmentation, table)
        _import(labels, result.ijk_to_ras, volume, segmentation, table)
        _describe(segmentation, result)
        for label in table:
            segment = segmentation.GetSegmentation().GetSegment(label.key)
            segment.SetTag(DIGEST, f"{result.report['started']} {marks.digest(segmentation, label.key)}")
            for name, value in ALGORITHM:
                segment.SetTag(name, value.format(**result.report["versions"]))


def new_segmentation(name: str, volume: Any) -> Any:
    """An empty segmentation with a name of its own that lies where the CT lies, also in the subject hierarchy."""
    scene = volume.GetScene()
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    adopt(segmentation, volume)
    return segmentation


def adopt(segmentation: Any, volume: Any) -> None:
    """Let an empty segmentation lie where the CT lies; one that the user made in a selector has nothing of its own."""
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetSourceRepresentationToBinaryLabelmap()  # it may have held surfaces
    segmentation.SetAndObserveTransformNodeID(require_rigid(volume))
    place_beside(volume, segmentation)


def require_labelmap(segmentation: Any) -> None:
    """Raises OutputError when a segmentation is made of something else, so that it cannot take labels."""
    if not takes_labels(segmentation):
        kind = segmentation.GetSegmentation().GetSourceRepresentationName().lower()
        raise OutputError(
            f"{segmentation.GetName()} is made of a {kind} and cannot take the result; choose another one."
        )


def takes_labels(segmentation: Any) -> bool:
    """Whether a segmentation is made of labels, or of nothing yet."""
    segments = segmentation.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    return not segments.GetNumberOfSegments() or segments.GetSourceRepresentationName() == name


def place_beside(other: Any, node: Any) -> None:
    """Into the folder, study or patient of the subject hierarchy that another node is in."""
    place(folder_of(other), node)


def folder_of(node: Any) -> int:
    """The item of the subject hierarchy that a node is in: folder, study or patient, else the scene."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item = hierarchy.GetItemByDataNode(node)
    return int(hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID())


def place(folder: int, node: Any) -> None:
    """Into an item of the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    own = hierarchy.GetItemByDataNode(node)
    if own:
        hierarchy.SetItemParent(own, folder)
    else:
        hierarchy.CreateItem(folder, node)


def remove(node: Any) -> None:
    """Out of the scene, with what belongs to it alone: its place, how it is shown, and where it was stored."""
    scene = node.GetScene()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(node)
    if item:  # what the user has put below it stays
        hierarchy.RemoveItem(item, False, False)
    for one in (node.GetDisplayNode() if node.IsA("vtkMRMLDisplayableNode") else None, node.GetStorageNode(), node):
        if one is not None:
            scene.RemoveNode(one)


def _prepare_segments(segmentation: Any, table: Sequence[Label]) -> None:
    """Kidneys, tumor, cyst, each new one as the table says; what an earlier run with other options left goes."""
    segments, wanted = segmentation.GetSegmentation(), {label.key for label in table}
    for key in OURS - wanted:
        if segments.GetSegment(key) and _tag(segments.GetSegment(key), DIGEST):
            segments.RemoveSegment(key)
    for label in sorted(table, key=lambda label: label in (TUMOR_LABEL, CYST_LABEL)):
        new = segments.GetSegment(label.key) is None
        if new:
            segments.AddEmptySegment(label.key)
        segment = segments.GetSegment(label.key)
        if new or kinds.is_said_otherwise(label.key, segment):
            segment.SetName(label.name)
            segment.SetColor([part / 255.0 for part in label.colour])
            segment.SetTag(segment.GetTerminologyEntryTagName(), label.terminology)


def _import(labels: np.ndarray, ijk_to_ras: np.ndarray, volume: Any, segmentation: Any, table: Sequence[Label]) -> None:
    """Labels (k, j, i) into the segments, one layer for all."""
    first, part = cropped(labels)
    labelmap = volume.GetScene().AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "WPUNetSegment")
    try:
        slicer.util.updateVolumeFromArray(labelmap, part)
        labelmap.SetIJKToRASMatrix(shifted(ijk_to_ras, first))
        labelmap.SetAndObserveTransformNodeID(require_rigid(volume))
        by_value, keys = {label.value: label.key for label in table}, vtk.vtkStringArray()
        for value in range(1, max(by_value) + 1):  # the n-th key stands for the value n; an empty one for none
            keys.InsertNextValue(by_value.get(value, ""))
        logic = slicer.modules.segmentations.logic()
        if not logic.ImportLabelmapToSegmentationNode(labelmap, segmentation, keys):
            raise RuntimeError("Slicer could not make segments of the engine's labels.")
    finally:
        volume.GetScene().RemoveNode(labelmap)


def _describe(segmentation: Any, result: RunResult) -> None:
    made_by = f"{MADE_BY.format(**result.report['versions'])}, from {result.name}."
    alone = f" Kidneys: {PARENCHYMA}." if _tells_parenchyma(result.report) else ""
    segmentation.SetDescription(f"{result.report['intended_use']} {made_by}{alone}")
    put_report(segmentation, result.report)
    segmentation.SetAttribute(MEASURED, None)


def report(segmentation: Any) -> dict[str, Any] | None:
    """The engine's report on what it put into a segmentation; None where it put nothing."""
    text = segmentation.GetAttribute(REPORT) if segmentation else None
    return json.loads(text) if text else None


def put_report(segmentation: Any, told: dict[str, Any]) -> None:
    """What ``report`` gives from now on."""
    segmentation.SetAttribute(REPORT, json.dumps(told))


def parenchyma(segmentation: Any) -> bool:
    """Whether kidneys are their parenchyma alone: by the report, or by the names in a file of the engine's."""
    segments, told = segmentation.GetSegmentation(), report(segmentation)
    if told:
        return _tells_parenchyma(told)
    return any(PARENCHYMA in segments.GetSegment(key).GetName() for key in segments.GetSegmentIDs())


def _tells_parenchyma(told: dict[str, Any]) -> bool:
    return bool(told.get("options", {}).get("parenchyma"))


def earlier_result(volume: Any) -> Any:
    """The segmentation that the engine last made of this CT, or None."""
    for node in reversed(slicer.util.getNodesByClass("vtkMRMLSegmentationNode", volume.GetScene())):
        if node.GetAttribute(REPORT) and reference_ct(node) is volume:
            return node
    return None


def reference_ct(segmentation: Any) -> Any:
    """The volume that a segmentation belongs to, or None."""
    role = ct_role(segmentation)
    return segmentation.GetNodeReference(role) if role else None


def motion_since(segmentation: Any, told: dict[str, Any]) -> np.ndarray | None:
    """(4, 4): from the CT's own coordinates when a report was told to those that it has now, RAS mm.

    Hardening a transform gives it others. None where it has the same, or nobody knows.
    """
    ct, then = reference_ct(segmentation), told.get("input", {}).get("affine_ras")
    return None if ct is None or lies_as(ct, then) else ijk_to_ras(ct) @ np.linalg.inv(then)


def motions_since(segmentation: Any, told: dict[str, Any] | None) -> tuple[np.ndarray | None, ...]:
    """What may have moved segments since a report, as ``marks.digest`` takes it: nothing, or their CT as a whole."""
    motion = as_a_whole(motion_since(segmentation, told)) if told else None
    return (None,) if motion is None else (None, motion)


def ct_role(segmentation: Any) -> str:
    """In which role the CT stands beside its segmentation, also where it was deleted; "" where there never was one.

    The geometry's comes second: the Segment Editor's *Specify geometry* puts a region, a model, another volume there.
    """
    for role in ct_roles():
        node = segmentation.GetNodeReference(role)
        if segmentation.GetNodeReferenceID(role) and (node is None or node.IsA("vtkMRMLScalarVolumeNode")):
            return role
    return ""


def ct_roles() -> tuple[str, str]:
    """The module's own role of the CT, and that of Slicer's geometry."""
    return CT, str(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())


def own_ct(segmentation: Any, chosen: Any) -> Any:
    """The CT to measure a segmentation on: its own, None where that was deleted, ``chosen`` where it never had one.

    Slicer may forget whose it was with the CT; the report does not, and a CT of the name and geometry that it tells is
    taken for its own.
    """
    if segmentation is not None and ct_role(segmentation):
        return reference_ct(segmentation)
    told = report(segmentation)
    return None if told and chosen and not _tells_of(told, chosen) else chosen


def _tells_of(told: dict[str, Any], ct: Any) -> bool:
    """By name, and by geometry where it is told: series of two patients often have one name."""
    given, image = told.get("input", {}), ct.GetImageData()
    if without_frame(told["case"]) != ct.GetName() or image is None:
        return False
    same_shape = list(image.GetDimensions()) == given.get("shape", list(image.GetDimensions()))
    return same_shape and lies_as(ct, given.get("affine_ras"))


def require_own_frame(segmentation: Any, ct: Any) -> None:
    """Raises InputError when a sequence (4D CT) shows another frame than the one that the segments were made on.

    Segments that are shown by a sequence themselves go with the frame.
    """
    told, shown = report(segmentation), frame_of(ct)
    own = frame_in(told["case"]) if told else None
    if own and shown and own[0] != shown[0] and not frame_of(segmentation):
        raise InputError(
            f"The segments of {segmentation.GetName()} are of frame {own[0]}, and {ct.GetName()} shows frame "
            f"{shown[0]}; show frame {own[0]}."
        )


def is_of_another(segmentation: Any, volume: Any) -> bool:
    """Whether a segmentation with anything in it belongs to another CT than ``volume``."""
    if segmentation is None or not segmentation.GetSegmentation().GetNumberOfSegments():
        return False
    return own_ct(segmentation, volume) is not volume


def result_for(ct: Any, chosen: Any) -> Any:
    """Where the result of a CT that is turned to goes: ``chosen``, unless there is none or it is another CT's.

    Then it is what the engine last made of the CT, or None, a new one. Where there is no CT nothing changes.
    """
    if ct is None or not is_ct(ct) or (chosen is not None and not is_of_another(chosen, ct)):
        return chosen
    return earlier_result(ct)


def show_surface(segmentation: Any) -> None:
    """Make the segments' surfaces and show them in the 3D views; kidneys so that tumors behind them are seen."""
    segmentation.CreateClosedSurfaceRepresentation()
    segmentation.CreateDefaultDisplayNodes()  # a script's may have none
    display = segmentation.GetDisplayNode()
    for label in (RIGHT_KIDNEY_LABEL, LEFT_KIDNEY_LABEL, KIDNEY_LABEL):
        there = segmentation.GetSegmentation().GetSegment(label.key) is not None
        if there and display.GetSegmentOpacity3D(label.key) == 1.0:  # what the user has chosen stays
            display.SetSegmentOpacity3D(label.key, KIDNEY_OPACITY_3D)
    display.SetVisibility3D(True)


def has_surface(segmentation: Any) -> bool:
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    return bool(segmentation.GetSegmentation().ContainsRepresentation(name))


def show_uncertainty(result: RunResult, segmentation: Any) -> None:
    """The uncertainty as a volume beside its segmentation, the part of it that is not 0."""
    assert result.uncertainty is not None
    first, part = result.uncertainty
    bare = slicer.vtkMRMLScalarVolumeNode()
    slicer.util.updateVolumeFromArray(bare, part)
    set_uncertainty(segmentation, bare.GetImageData(), shifted(result.ijk_to_ras, first))


def set_uncertainty(segmentation: Any, image: Any, geometry: Any) -> None:
    """Image and geometry, (i, j, k) -> RAS, into the uncertainty's volume; the one of an earlier run is used again."""
    node = segmentation.GetNodeReference(UNCERTAINTY) or _uncertainty_node(segmentation)
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(geometry)
    node.SetAndObserveTransformNodeID(transform_of(segmentation))


def transform_of(segmentation: Any) -> str | None:
    """The id of the transform that what is told in the CT's own coordinates lies under."""
    return (reference_ct(segmentation) or segmentation).GetTransformNodeID()


def _uncertainty_node(segmentation: Any) -> Any:
    scene = segmentation.GetScene()
    name = scene.GenerateUniqueName(f"{segmentation.GetName()} uncertainty")
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    segmentation.SetNodeReferenceID(UNCERTAINTY, node.GetID())
    node.SetAttribute(MAP, "uncertainty")
    node.SetDescription(segmentation.GetDescription())
    place_beside(segmentation, node)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeCyan")  # neither red nor green, as the segments are
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetThreshold(LEAST_UNCERTAINTY, 1.0)
    display.SetApplyThreshold(True)
    return node


def drop_uncertainty(segmentation: Any) -> None:
    """Take an earlier run's uncertainty out of the scene: it says nothing of the segments that are there now."""
    node = segmentation.GetNodeReference(UNCERTAINTY)
    if node is not None:
        remove(node)


def edited(segmentation: Any) -> list[str]:
    """Names of the segments that are no longer as the engine left them.

    Changed, drawn by others, said to be something else (a tumor to be a cyst), or deleted.
    """
    if segmentation is None:
        return []
    segments = kinds.segments_of(segmentation)
    as_left = set(untouched(segmentation))
    names = [segments[key].GetName() for key in segments if key in OURS and key not in as_left]
    return names + [f"{label.name} (deleted)" for label in _deleted(segmentation)]


def untouched(segmentation: Any) -> Iterator[str]:
    """Ids of the segments that are as the engine's last run left them; each is hashed only when it is asked for."""
    told = report(segmentation)
    motions = motions_since(segmentation, told)
    for key, segment in kinds.segments_of(segmentation).items():
        run, _, place = _tag(segment, DIGEST).rpartition(" ")  # versions before 0.8.2 left no run
        of_earlier_run = bool(run and told and run != told["started"])  # as the Segment Editor's undo brings back
        said = key not in OURS or kinds.is_said_otherwise(key, segment)
        if said or of_earlier_run:
            continue
        if any(place == marks.digest(segmentation, key, motion) for motion in motions):
            yield key


def _deleted(segmentation: Any) -> list[Label]:
    """What the engine found and somebody has taken out since; an empty segment may go without a word."""
    segments, told = segmentation.GetSegmentation(), report(segmentation)
    structures = told["structures"] if told else []
    found = {name for one in structures for name in (one["kind"], f"{one['kind']}_{one['side']}")}
    table = WITH_CYSTS if segments.GetSegment(KIDNEY_LABEL.key) else BY_SIDE
    return [label for label in table if label.key in found and segments.GetSegment(label.key) is None]


def _tag(segment: Any, name: str) -> str:
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""
