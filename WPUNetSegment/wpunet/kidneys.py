"""Which of the bodies that the network marked are kidneys: told by their kidney tissue and side, not by volume.

Bowel with contrast, bone and liver can make bodies as large as a kidney, mostly of "tumor", or of kidney that the
network is not sure of. What it is sure to be kidney tissue decides here, so that no such body takes a kidney's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .bodies import Bodies, within
from .boxes import Box, grown
from .labels import KIDNEY

Spacing = tuple[float, float, float]

SURE = 0.25  # kidney tissue counts where the chance that it is none is below this
LEAST_TISSUE_ML = 5.0  # a body with less is no kidney, but a tumor that has eaten one may have none
PIECE_ML, PIECE_SHARE, PIECE_GAP_MM = 20.0, 0.6, 25.0  # of a kidney in pieces: tissue, its share, how far away
OWN_ML, OWN_SHARE = 60.0, 0.85  # tissue and its share of a kidney wherever it lies: a transplant, two on one side
EATEN_ML, EATEN_DOUBT = 30.0, 0.3  # a body of tumor alone, where a side has no kidney: volume, mean doubt at most
FAR_MM = 120.0  # along the body from the other kidney; a kidney of a few ml of tissue does not lie farther away
ACROSS = 0.2  # of a body on its lesser side of the spine: more, and it is both kidneys, or lies across


@dataclass(frozen=True)
class Candidate:
    """A body that may be a kidney.

    number:    in Bodies.numbers, from 1
    ml:        volume; tissue_ml: of kidney tissue that the network is sure of
    doubt:     the mean chance that its label is wrong, 0 to 1
    left:      the share of it on the patient's left of the spine
    levels_mm: first and last level along the body
    """

    number: int
    box: Box
    ml: float
    tissue_ml: float
    doubt: float
    left: float
    levels_mm: tuple[float, float]

    @property
    def share(self) -> float:
        return self.tissue_ml / self.ml

    @property
    def sides(self) -> set[str]:
        return ({"left"} if self.left > ACROSS else set()) | ({"right"} if self.left < 1 - ACROSS else set())


def describe(
    found: Bodies, which: Sequence[int], labels: np.ndarray, doubt: np.ndarray | None, middle: float, spacing: Spacing
) -> list[Candidate]:
    """The bodies of the indices ``which`` in ``found``.

    labels: uint8 (slice, row, column); doubt: likewise, of 255, None where it is not known: then all tissue is sure
    middle: the column of the spine
    """
    voxel_ml = float(np.prod(spacing)) / 1000.0
    told = []
    for k in which:
        box = found.boxes[k]
        body = found.numbers[box] == k + 1
        tissue = body & (labels[box] == KIDNEY)
        if doubt is not None:
            tissue &= doubt[box] < SURE * 255
        columns = np.arange(box[2].start, box[2].stop) + 0.5
        count = int(found.voxels[k])
        told.append(
            Candidate(
                number=k + 1,
                box=box,
                ml=count * voxel_ml,
                tissue_ml=float(tissue.sum()) * voxel_ml,
                doubt=0.0 if doubt is None else float(doubt[box][body].mean()) / 255,
                left=float(body[:, :, columns > middle].sum()) / count,
                levels_mm=(box[0].start * spacing[0], box[0].stop * spacing[0]),
            )
        )
    return told


def choose(bodies: Sequence[Candidate], found: Bodies, spacing: Spacing) -> set[int]:
    """The numbers of the bodies that are kidneys or pieces of one.

    Of each side the body with the most kidney tissue, its pieces, and whatever is a kidney by itself; a side without
    any keeps a body of tumor alone that the network is sure of: it may have eaten its kidney.
    """
    chosen: dict[str, Candidate] = {}
    for body in sorted(bodies, key=lambda one: -one.tissue_ml):
        if body.tissue_ml < LEAST_TISSUE_ML:
            continue
        free = body.sides - set(chosen)
        if free and not _strays(body, list(chosen.values())):
            chosen |= dict.fromkeys(free, body)
    for body in sorted(bodies, key=lambda one: -one.ml):
        free = body.sides - set(chosen)
        eaten = body.tissue_ml < LEAST_TISSUE_ML and body.ml >= EATEN_ML and body.doubt <= EATEN_DOUBT
        if free and eaten and len(body.sides) == 1:
            chosen |= dict.fromkeys(free, body)
    if not chosen and bodies:  # whatever there is: a cut kidney of a few ml, a tumor that nobody is sure of
        chosen["only"] = max(bodies, key=lambda one: (one.tissue_ml, one.ml))
    kept = {body.number for body in chosen.values()}
    for body in bodies:
        if (body.tissue_ml >= OWN_ML and body.share >= OWN_SHARE) or any(
            _is_piece(body, main, found, spacing) for side, main in chosen.items() if side in body.sides
        ):
            kept.add(body.number)
    return kept


def _strays(body: Candidate, chosen: list[Candidate]) -> bool:
    """Whether a body with little tissue lies far along the body from the other side's kidney, as pelvic bowel does."""
    if not chosen or body.tissue_ml >= OWN_ML:
        return False
    first, last = chosen[0].levels_mm
    return body.levels_mm[0] > last + FAR_MM or body.levels_mm[1] < first - FAR_MM


def _is_piece(body: Candidate, main: Candidate, found: Bodies, spacing: Spacing) -> bool:
    if body is main or body.tissue_ml < PIECE_ML or body.share < PIECE_SHARE:
        return False
    box = grown(body.box, PIECE_GAP_MM, spacing, found.numbers.shape)
    return within(PIECE_GAP_MM, found.numbers[box] == body.number, found.numbers[box] == main.number, spacing)
