"""Lesions put into labelled kidneys: synthetic tumors and cysts, other patients' tumors; and decoys beside them.

The material is short of small tumors, of cysts that are none, and of masses in liver, spleen and bowel that are not the
kidney's.

Synthetic ones in the spirit of label-free tumor synthesis (Hu et al., "Label-free liver tumor segmentation", CVPR
2023): a blob with a wavy outline, plausible HU and grain, partly outside the kidney as most are. Other patients' tumors
as in TumorCP (Yang et al., "TumorCP: a simple but effective object-level data augmentation for tumor segmentation",
MICCAI 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from wpunet.labels import CYST, KIDNEY, TUMOR

LEAST_KIDNEY_MM2 = 150.0  # in the slice; less is a pole that a lesion would swallow
SOLID_HU, FLUID_HU = (25.0, 150.0), (-5.0, 22.0)
SOFT_HU, DECOY_SIZE = (0.0, 250.0), 1.5  # where decoys may lie; they are larger than lesions
GRAFT_SCALE = (0.75, 3.0)  # donor mm for a mm of the sample: enlarged a little, made much smaller
APART = 5  # pixels between a kidney and a graft that is a decoy
CONTRAST_HU = 12.0  # a tumor as bright as its kidney could not be learned


@dataclass(frozen=True)
class Lesion:
    """What is drawn of one lesion; numbers from 0 to 1 are places and phases yet to be scaled."""

    tumor: bool
    place: float
    shift: tuple[float, float]
    diameter_mm: float
    stretch: float
    waves: tuple[float, ...]
    phases: tuple[float, ...]
    hu: float
    core_hu: float
    grain_hu: float
    seed: int

    @classmethod
    def draw(cls, g: np.random.Generator) -> Lesion:
        tumor = bool(g.random() < 0.6)
        low, high = SOLID_HU if tumor else FLUID_HU
        return cls(
            tumor=tumor,
            place=float(g.random()),
            shift=(float(g.uniform(-1, 1)), float(g.uniform(-1, 1))),
            diameter_mm=float(math.exp(g.uniform(math.log(8), math.log(38)))),
            stretch=float(g.uniform(0.75, 1.0)),
            waves=tuple(float(v) for v in g.uniform(0, (0.10, 0.07, 0.05) if tumor else (0.04, 0.02, 0.0))),
            phases=tuple(float(v) for v in g.uniform(0, 2 * math.pi, 4)),
            hu=float(g.uniform(low, high)),
            core_hu=-float(g.uniform(10, 60)) * (tumor and g.random() < 0.4),
            grain_hu=float(g.uniform(3, 20)) if tumor else float(g.uniform(2, 8)),
            seed=int(g.integers(2**31)),
        )


def add_lesion(hu: Tensor, labels: Tensor, lesion: Lesion, pixel_mm: float) -> tuple[Tensor, Tensor]:
    """A slice and its labels (h, w) with a lesion at a kidney, as new tensors; as they were where none fits."""
    kidney = torch.nonzero(labels == KIDNEY)
    if len(kidney) * pixel_mm**2 < LEAST_KIDNEY_MM2:
        return hu, labels
    radius = lesion.diameter_mm / 2 / pixel_mm
    seat = kidney[int(lesion.place * len(kidney))]
    depth = _depth(labels.shape, seat, radius, lesion, hu.device)
    inside = (depth > 0) & (hu > -250) & (hu < 300) & (labels != TUMOR)
    count = int(inside.sum())
    if count < 6 or int((inside & (labels == KIDNEY)).sum()) < 0.3 * count:
        return hu, labels
    value = lesion.hu
    around = float(hu[labels == KIDNEY].median())
    if lesion.tumor and abs(value - around) < CONTRAST_HU:
        value = around - 3 * CONTRAST_HU
    cover = (depth * radius + 0.5).clamp(0, 1) * ((hu > -250) & (hu < 300))
    if not lesion.tumor:
        cover = cover * (labels != TUMOR)  # what stays labelled tumor must not become water
    return (
        _painted(hu, cover, depth, value, lesion),
        torch.where(inside, TUMOR if lesion.tumor else CYST, labels).to(labels.dtype),
    )


@dataclass(frozen=True)
class Graft:
    """What is drawn of a tumor of another patient; numbers from 0 to 1 are places yet to be scaled."""

    donor: int
    level: float
    mark: float
    place: float
    diameter_mm: float
    turn: float
    mirror: bool
    follow: float

    @classmethod
    def draw(cls, g: np.random.Generator, donors: np.ndarray) -> Graft:
        """``donors``: how probable each patient is."""
        return cls(
            donor=int(g.choice(len(donors), p=donors)),
            level=float(g.random()),
            mark=float(g.random()),
            place=float(g.random()),
            diameter_mm=float(math.exp(g.uniform(math.log(10), math.log(70)))),
            turn=float(g.uniform(0, 2 * math.pi)),
            mirror=bool(g.random() < 0.5),
            follow=float(g.uniform(0, 0.8)),
        )

    def matrix(self, tumor: np.ndarray, pixel_mm: float, seat_mm: np.ndarray) -> np.ndarray:
        """(2, 3): takes the sample's mm to the donor slice's, so that a pixel of ``tumor`` (h, w) lies at the seat."""
        marked = np.flatnonzero(tumor)
        row, column = divmod(int(marked[int(self.mark * len(marked))]), tumor.shape[1])
        anchor = (np.array([column, row]) + 0.5 - np.array(tumor.shape[::-1]) / 2) * pixel_mm
        has_mm = 2 * math.sqrt(len(marked) / math.pi) * pixel_mm
        scale = min(max(has_mm / self.diameter_mm, GRAFT_SCALE[0]), GRAFT_SCALE[1])
        c, s, m = math.cos(self.turn), math.sin(self.turn), -1.0 if self.mirror else 1.0
        turn = scale * np.array([[c * m, -s], [s * m, c]])
        return np.column_stack([turn, anchor - turn @ seat_mm])


def seats(hu: Tensor, labels: Tensor, *, decoy: bool) -> Tensor:
    """Where a graft can be put, (n, 2) rows and columns: on kidneys, or in soft tissue that is none."""
    soft = (labels == 0) & (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])
    return torch.nonzero(soft if decoy else labels == KIDNEY)


def add_graft(
    hu: Tensor, labels: Tensor, donor_hu: Tensor, donor_labels: Tensor, follow: float, *, decoy: bool = False
) -> tuple[Tensor, Tensor]:
    """A slice and its labels (h, w) with the tumor of a donor slice on the same pixels, as new tensors.

    ``follow`` (0 to 1): how far the tumor's HU go with those around it from the donor's contrast phase to the slice's.
    As a ``decoy`` it lies in soft tissue some pixels from any kidney, and the labels stay. As they were where the tumor
    would lie mostly outside the kidneys, or would not show.
    """
    tumor = (donor_labels == TUMOR) & (hu > -250) & (hu < 300)
    if decoy:
        tumor &= ~grown(labels > 0, APART) & (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])
    count, donor_kidney = int(tumor.sum()), donor_labels == KIDNEY
    if count < 6 or (not decoy and int((tumor & (labels > 0)).sum()) < 0.3 * count):
        return hu, labels
    around = float(hu[tumor if decoy else labels == KIDNEY].median())
    if bool(donor_kidney.any()):
        donor_hu = donor_hu + follow * (around - float(donor_hu[donor_kidney].median()))
    if abs(float(donor_hu[tumor].median()) - around) < CONTRAST_HU:
        return hu, labels
    cover = F.avg_pool2d(tumor.float()[None, None], 3, 1, 1)[0, 0] * ((hu > -250) & (hu < 300))
    marked = labels if decoy else torch.where(tumor, TUMOR, labels).to(labels.dtype)
    return hu + cover * (donor_hu - hu), marked


def grown(mask: Tensor, pixels: int) -> Tensor:
    """A mask (h, w) grown by so many pixels to each side, also across; one axis after the other, as that is faster."""
    across = F.max_pool2d(mask.float()[None, None], (1, 2 * pixels + 1), 1, (0, pixels))
    return F.max_pool2d(across, (2 * pixels + 1, 1), 1, (pixels, 0))[0, 0] > 0


def add_decoy(hu: Tensor, labels: Tensor, lesion: Lesion, pixel_mm: float) -> Tensor:
    """A slice (h, w) with the lesion in soft tissue that is no kidney, as a new tensor; its labels stay.

    Liver metastases, lymph nodes and bowel beside a kidney look like its tumors. Where there is no such tissue, the
    slice comes back as it was.
    """
    soft = torch.nonzero((labels == 0) & (hu > SOFT_HU[0]) & (hu < SOFT_HU[1]))
    if not len(soft):
        return hu
    radius = DECOY_SIZE * lesion.diameter_mm / 2 / pixel_mm
    depth = _depth(labels.shape, soft[int(lesion.place * len(soft))], radius, lesion, hu.device)
    cover = (depth * radius + 0.5).clamp(0, 1) * ((hu > SOFT_HU[0]) & (hu < SOFT_HU[1]) & (labels == 0))
    return _painted(hu, cover, depth, lesion.hu, lesion)


def _painted(hu: Tensor, cover: Tensor, depth: Tensor, value: float, lesion: Lesion) -> Tensor:
    """``hu`` with the lesion's HU, core and grain where ``cover`` (0 to 1) says."""
    core = lesion.core_hu * ((depth - 0.4) / 0.2).clamp(0, 1)
    generator = torch.Generator(hu.device).manual_seed(lesion.seed)
    grain = lesion.grain_hu * torch.randn(hu.shape, generator=generator, device=hu.device)
    return hu + cover * (value + core + grain - hu)


def _depth(shape: torch.Size, seat: Tensor, radius: float, lesion: Lesion, device: torch.device) -> Tensor:
    """How deep each pixel lies in the blob: 1 at its centre, 0 on its outline, negative outside."""
    y = torch.arange(shape[0], device=device)[:, None] - float(seat[0]) - lesion.shift[0] * 0.5 * radius
    x = torch.arange(shape[1], device=device)[None, :] - float(seat[1]) - lesion.shift[1] * 0.5 * radius
    turn, *phases = lesion.phases
    across = x * math.cos(turn) + y * math.sin(turn)
    along = (y * math.cos(turn) - x * math.sin(turn)) / lesion.stretch
    angle = torch.atan2(along, across)
    outline = 1 + sum(
        a * torch.cos((k + 2) * angle + p) for k, (a, p) in enumerate(zip(lesion.waves, phases, strict=True))
    )
    return 1 - torch.sqrt(across**2 + along**2) / (radius * outline)
