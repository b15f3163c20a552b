"""Segments as they are now, measured the way the engine measures its own result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from wpunet import certainty, doubts, edges, measure, parenchyma, report, sides
from wpunet.errors import InputError
from wpunet.labels import KIDNEY, LEFT, LEFT_KIDNEY, RIGHT, together
from wpunet.report import structures_of
from wpunet.structure import Structure, moved, plain
from wpunet.volume import Volume, is_upright

from . import handover, marks, scene
from .kinds import kidney_sides
from .training_case import labels_of, labels_on, mask_of, upright


def measure_segments(ct: Any, segmentation: Any) -> tuple[Structure, ...]:
    """Kidneys, tumors and cysts of a segmentation on a CT; where they overlap, tumor wins, then cyst.

    Only what is as the engine left it has a certainty: of what somebody drew or changed the network knows nothing.
    Where kidneys are their parenchyma alone, so it is with what is told against whole ones.
    """
    volume, labels = _seen(ct, segmentation)
    told = scene.report(segmentation)
    before = here(segmentation, told) if told else []
    found = measure.measure(labels, volume.hu, volume.affine, ends=edges.DataEnd(volume))
    found = certainty.kept(found, before)
    if scene.parenchyma(segmentation):
        found = parenchyma.again(found, before)
    return doubts.judge(found, labels, volume.hu)[0]


def recognize(ct: Any, segmentation: Any) -> None:
    """Tell in the report which voxels its structures are when they are read back from the scene.

    Where the engine resampled the CT these are others than it saw, so that nothing would be as it left it.
    """
    told = scene.report(segmentation)
    if told is None or is_upright(handover.ijk_to_ras(ct)):
        return
    with suppress(InputError):  # a sequence may show another frame by now
        volume, labels = _seen(ct, segmentation)
        found = [(body.kind, _centre(body), body.fingerprint) for body in measure.parts(labels, volume.affine)]
        for one in told["structures"]:
            apart = {
                fingerprint: float(np.linalg.norm(centre - one["centre"]["ras_mm"]))
                for kind, centre, fingerprint in found
                if kind == one["kind"]
            }
            nearest = min(apart, key=lambda fingerprint: apart[fingerprint], default="")
            if nearest and apart[nearest] < max(volume.spacing):
                one["fingerprint"] = nearest
        scene.put_report(segmentation, told)


def remember(ct: Any, segmentation: Any, structures: Sequence[Structure]) -> None:
    """Keep what was measured with the segmentation, also in a saved scene."""
    place = report.places(handover.ijk_to_ras(ct))
    measured = [plain(one, place) for one in structures]
    kept = {"schema": report.SCHEMA, "segments": marks.state(segmentation), "structures": measured}
    kept["input"] = {"affine_ras": handover.ijk_to_ras(ct).tolist()}
    segmentation.SetAttribute(scene.MEASURED, json.dumps(kept))


def remembered(segmentation: Any) -> list[Structure] | None:
    """What was measured last, while the segments are as they were then; else None."""
    text = segmentation.GetAttribute(scene.MEASURED) if segmentation else None
    kept = json.loads(text) if text else None
    if not kept or kept["schema"] != report.SCHEMA:
        return None
    motions = scene.motions_since(segmentation, kept)
    same = any(kept["segments"] == marks.state(segmentation, motion) for motion in motions)
    return here(segmentation, kept) if same else None


def here(segmentation: Any, told: dict[str, Any]) -> list[Structure]:
    """Structures as told then, their places in the coordinates that the CT has now: hardening gives it others."""
    found, motion = structures_of(told), scene.motion_since(segmentation, told)
    return found if motion is None else [moved(one, motion) for one in found]


def _seen(ct: Any, segmentation: Any) -> tuple[Volume, np.ndarray]:
    """The CT as the engine sees it and labels of the segments on its grid: values of labels.BY_SIDE."""
    volume = upright(ct, segmentation)
    labels = labels_on(volume, ct, segmentation, _by_side)
    if set(kidney_sides(segmentation).values()) - {RIGHT[1], LEFT[1]}:  # a segment that may hold both kidneys
        labels, _ = sides.split_sides(together(labels, cysts=True), volume.hu)
    return volume, labels


def _centre(body: measure.Body) -> np.ndarray:
    """RAS mm, (3,)."""
    return np.asarray(body.local[:3, :3] @ np.argwhere(body.mask).mean(0) + body.local[:3, 3])


def _by_side(segmentation: Any, grid: Any) -> np.ndarray:
    """uint8 (k, j, i): values of labels.BY_SIDE, the sides as the segments say."""
    labels = labels_of(segmentation, grid)
    for key in (key for key, side in kidney_sides(segmentation).items() if side == LEFT[1]):
        left = mask_of(segmentation, key, grid)
        labels[left & (labels == KIDNEY)] = LEFT_KIDNEY
    return labels
