"""Kidneys as their parenchyma alone: what is left of whole ones without their sinus and a rim that is drawn too wide.

The answer for whole kidneys is worked out to its end before. So tumors and cysts stay as they are, judged and measured
against whole kidneys, and no kidney is found or lost here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import measure
from .bodies import bodies, within
from .boxes import Box
from .certainty import Certain
from .labels import BACKGROUND
from .monitor import Monitor
from .predict import Maps, decide
from .structure import Caution, Nephrometry, Structure
from .volume import Volume

NEAR_MM = 5.0  # a piece farther from the kidney's largest one, by more than a slice left out between them,
PART = 1 / 3  # and smaller than this part of it is what the whole kidney reached into, such as bowel;
PIECE_ML = 8.0  # where that is as large as this, it is told
LEAST = 0.2  # of a whole kidney must be parenchyma: less is a network that does not know it
OF_WHOLE = {  # what is told against whole kidneys
    "kidney": ("cortex_hu", "medulla_hu", "excreted_percent"),
    "tumor": ("outside_percent", "to_sinus", "to_surface", "nephrometry"),
    "cyst": ("outside_percent", "to_sinus", "to_surface"),
}
NO_SCORE = Nephrometry(missing="kidneys are their parenchyma alone")
# A warning, since it goes where volumes go: they are not to be taken for those of whole kidneys
ALONE = Caution(
    "parenchyma", "Kidneys are their parenchyma alone: without the renal sinus, and smaller than whole kidneys."
)


def alone(
    labels: np.ndarray, uncertainty: np.ndarray, maps: Maps, volume: Volume, box: Box, monitor: Monitor
) -> tuple[np.ndarray, np.ndarray, tuple[Caution, ...]]:
    """Labels whose kidneys are their parenchyma alone, their uncertainty, as new arrays, and warnings.

    A kidney of which next to nothing would be left stays whole. labels: values of labels.BY_SIDE, uncertainty: uint8 of
    255, both (slice, row, column); maps: with ``tissue``; box: outside of it nothing is marked
    """
    assert maps.tissue is not None
    tissue, doubt = decide(replace(maps, foreground=maps.tissue), labels.shape, monitor)
    labels = labels.copy()
    view, told = labels[box], tissue[box] != BACKGROUND
    lesion = np.isin(view, list(measure.LESIONS))
    doubt[box][lesion] = uncertainty[box][lesion]
    voxel_ml, cautions = volume.voxel_ml, []
    for value, side in measure.KIDNEYS.items():
        kidney = view == value
        kept, apart = _of_one(kidney & told, lesion, volume.spacing)
        if np.count_nonzero(kept) < LEAST * np.count_nonzero(kidney):
            text = f"Next to no parenchyma was told in the {side} kidney; it is marked as a whole."
            cautions.append(Caution("parenchyma", text, f"{side} kidney"))
            continue
        view[kidney & ~kept] = BACKGROUND
        if apart * voxel_ml >= PIECE_ML:
            text = (
                f"{apart * voxel_ml:.0f} ml apart from the parenchyma of the {side} kidney were left out; look there."
            )
            cautions.append(Caution("parenchyma", text, f"{side} kidney"))
    return labels, doubt, tuple(cautions)


def _of_one(tissue: np.ndarray, lesion: np.ndarray, spacing: tuple[float, float, float]) -> tuple[np.ndarray, int]:
    """What of the tissue (slice, row, column) of one kidney hangs together, by itself, by lesions or nearly.

    And how many voxels do not.
    """
    if not tissue.any():
        return tissue, 0
    found = bodies(tissue | lesion)
    voxels = np.bincount(found.numbers[tissue], minlength=len(found) + 1)
    largest = int(voxels.argmax())
    main = found.numbers == largest
    near = max(NEAR_MM, 2 * max(spacing))
    small = [number for number in np.flatnonzero(voxels) if voxels[number] < PART * voxels[largest]]
    gone = [number for number in small if not within(near, found.numbers == number, main, spacing)]
    return tissue & ~np.isin(found.numbers, gone), int(voxels[gone].sum())


def measured(
    whole: tuple[Structure, ...], labels: np.ndarray, volume: Volume, maps: Maps, box: Box
) -> tuple[Structure, ...]:
    """The structures of ``alone``'s labels; whole: those of whole kidneys.

    What is cut, the phase of contrast and the ml of lesions are known of whole kidneys.
    """
    assert maps.tissue is not None
    certain = Certain(replace(maps, foreground=maps.tissue), None)
    before = {one.side: one for one in whole if one.kind == "kidney"}
    own = []
    for one in measure.kidneys(measure.parts(labels, volume.affine, box), volume.hu, certain):
        same = before[one.side]
        own.append(
            replace(
                one,
                name=same.name,
                touches_border=same.touches_border,
                with_lesions_ml=one.volume_ml + (same.with_lesions_ml or 0.0) - same.volume_ml,
                cortex_hu=same.cortex_hu,
                medulla_hu=same.medulla_hu,
                excreted_percent=same.excreted_percent,
            )
        )
    return (*own, *(one for one in whole if one.kind != "kidney"))


def again(now: Sequence[Structure], before: Sequence[Structure]) -> tuple[Structure, ...]:
    """Structures of parenchyma alone that were measured anew, after a correction say.

    What is told against whole kidneys is as before where a structure is the very same voxels, and else not known.
    """
    known = {(one.kind, one.fingerprint): one for one in before}
    return tuple(_of_whole(one, known.get((one.kind, one.fingerprint))) for one in now)


def _of_whole(one: Structure, before: Structure | None) -> Structure:
    told: dict[str, Any] = {name: before and getattr(before, name) for name in OF_WHOLE[one.kind]}
    if "nephrometry" in told and told["nephrometry"] is None:
        told["nephrometry"] = NO_SCORE
    if before is not None and one.kind != "kidney":
        told["contact_cm2"] = before.contact_cm2
    return replace(one, **told)
