"""What a reader of the scan wants to know of each kidney, each tumor and each cyst, measured as it is by hand."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import ndimage

from . import contrast, extent, nephrometry
from .bodies import bodies, gap_mm
from .boxes import Box, around, bounding_box, grown, placed, shifted
from .contour import Contour, contour
from .edges import DataEnd
from .labels import BACKGROUND, CYST, LEFT_KIDNEY, RIGHT_KIDNEY, TUMOR
from .structure import Nephrometry, Structure, numbered

AROUND_MM = 4.0  # of a kidney and its lesions is looked at, too
SMOOTH_MM = 1.5  # a surface's direction is told from this far around, or one voxel
CORE_MM = 2.0
SHELL_MM, GAS_MM = (2.0, 4.0), 8.0  # where a lesion's neighbours are looked for
SOFT_HU, GAS_HU = (-20, 300), -300
KIDNEYS = {RIGHT_KIDNEY: "right", LEFT_KIDNEY: "left"}
LESIONS = {TUMOR: "tumor", CYST: "cyst"}


@dataclass(frozen=True)
class Body:
    """The voxels of one structure.

    mask:   bool (slice, row, column), the part of the CT that ``box`` names
    affine: (4, 4), (slice, row, column, 1) of the whole CT -> RAS mm
    """

    kind: str
    side: str
    mask: np.ndarray
    box: Box
    affine: np.ndarray

    @cached_property
    def local(self) -> np.ndarray:
        """The affine of ``mask`` itself."""
        local = self.affine.copy()
        local[:3, 3] += self.affine[:3, :3] @ [side.start for side in self.box]
        return local

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """mm between slices, rows, columns."""
        slices, rows, columns = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(slices), float(rows), float(columns)

    @cached_property
    def outline(self) -> np.ndarray:
        """The middles of its outer faces, (n, 3) RAS mm."""
        return extent.to_ras(extent.faces(self.mask), self.local)

    @cached_property
    def voxels(self) -> int:
        return int(np.count_nonzero(self.mask))

    @cached_property
    def ml(self) -> float:
        return self.voxels * float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def fingerprint(self) -> str:
        """A checksum of which voxels these are."""
        place = np.array([(side.start, side.stop) for side in self.box], np.int64)
        return f"{zlib.crc32(np.packbits(self.mask).tobytes(), zlib.crc32(place.tobytes())):08x}"


Certainty = Callable[[Body], float | None]


def measure(
    labels: np.ndarray,
    hu: np.ndarray,
    affine: np.ndarray,
    certainty: Certainty | None = None,
    within: Box | None = None,
    ends: DataEnd | None = None,
) -> tuple[Structure, ...]:
    """Kidneys, right before left, then tumors, then cysts, largest first.

    labels (values of labels.BY_SIDE), hu: (slice, row, column); affine: (4, 4), (slice, row, column, 1) -> RAS mm
    certainty: what the network knows of a body; without it nothing is certain (``certainty`` is None)
    within: a box outside of which nothing is marked
    ends: where the data end; without it, where the array ends
    """
    found = parts(labels, affine, within)
    of_side = {body.side: body for body in found if body.kind == "kidney"}
    tissue_hu = {side: float(hu[body.box][body.mask].mean()) for side, body in of_side.items()}
    contours = {side: _contour(body, _lesions_of(body, found), labels, hu) for side, body in of_side.items()}
    structures = list(kidneys(found, hu, certainty, ends))
    cut_sides = {one.side for one in structures if one.touches_border}
    for body in found[len(structures) :]:
        one = _lesion(_common(body, hu, certainty, ends), body, labels, hu, tissue_hu.get(body.side), ends)
        kidney = contours.get(body.side)
        if kidney is not None:
            one = _within(one, body, kidney, cut=one.touches_border or body.side in cut_sides)
        structures.append(one)
    return numbered(structures)


def parts(labels: np.ndarray, affine: np.ndarray, within: Box | None = None) -> tuple[Body, ...]:
    """The kidneys and the connected bodies of tumor and of cyst, in the order of ``measure``."""
    marked = bounding_box(labels, within)
    if marked is None:
        return ()
    view, found = labels[marked], []
    for value, side in KIDNEYS.items():
        box = bounding_box(view == value)
        if box:
            found.append(Body("kidney", side, view[box] == value, shifted(box, marked), affine))
    for value, kind in LESIONS.items():
        marks = view == value
        if not marks.any():
            continue
        lesions = bodies(marks)
        of_kind = [
            Body(
                kind,
                _side(view, lesions.numbers == number, box, affine),
                lesions.numbers[box] == number,
                shifted(box, marked),
                affine,
            )
            for number, box in enumerate(lesions.boxes, 1)
        ]
        found += sorted(of_kind, key=lambda body: -body.voxels)
    return tuple(found)


def _side(labels: np.ndarray, lesion: np.ndarray, box: Box, affine: np.ndarray) -> str:
    """The side of the kidney that a lesion touches most, else of the nearer one; empty without any."""
    beside = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
    touched = labels[beside][ndimage.binary_dilation(lesion[beside])]
    nearness = {side: float(np.count_nonzero(touched == value)) for value, side in KIDNEYS.items()}
    if not any(nearness.values()):
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        nearness = {side: -gap_mm(lesion, labels == value, spacing) for value, side in KIDNEYS.items()}
    side = max(nearness, key=lambda one: nearness[one])
    return side if np.isfinite(nearness[side]) else ""


def _lesions_of(kidney: Body, found: Sequence[Body]) -> list[Body]:
    return [body for body in found if body.kind != "kidney" and body.side == kidney.side]


def _contour(kidney: Body, lesions: list[Body], labels: np.ndarray, hu: np.ndarray) -> Contour | None:
    """None for a kidney without lesions: nothing is measured against it."""
    if not lesions:
        return None
    box = around([kidney.box, *(one.box for one in lesions)])
    box = grown(box, AROUND_MM, kidney.spacing, labels.shape)
    value = next(value for value, side in KIDNEYS.items() if side == kidney.side)
    marked = np.logical_or.reduce([placed(one.mask, one.box, box) for one in lesions])
    return contour(box, labels[box] == value, marked, hu[box], kidney.affine)


def _touches(body: Body, shape: tuple[int, ...]) -> bool:
    """Whether a body reaches the edge of the scan."""
    return any(part.start == 0 or part.stop == size for part, size in zip(body.box, shape, strict=True))


def _within(one: Structure, body: Body, kidney: Contour, *, cut: bool) -> Structure:
    """What a lesion is to its kidney's contour and sinus; cut: the scan ends in one of them."""
    mask = kidney.thinned(body.mask, body.box)
    if not mask.any():  # smaller than the coarse grid's voxels
        return one
    one = replace(
        one,
        outside_percent=_percent(mask & ~kidney.inside, mask),
        to_sinus=nephrometry.to_sinus(kidney, mask),
        to_surface=nephrometry.to_surface(kidney, mask),
    )
    return replace(one, nephrometry=_score(one, mask, kidney, cut=cut)) if one.kind == "tumor" else one


def _score(one: Structure, mask: np.ndarray, kidney: Contour, *, cut: bool) -> Nephrometry:
    """The score of a tumor, or why there is none; mask: the tumor on the grid of its kidney's contour."""
    if cut:
        return Nephrometry(missing="the scan cuts the kidney or the tumor")
    if not one.contact_cm2 and (one.to_sinus is None or one.to_sinus.mm > 0):
        return Nephrometry(missing="the tumor does not touch the kidney")
    assert one.diameter
    assert one.axial_diameter
    assert one.outside_percent is not None
    return nephrometry.score(kidney, mask, one.diameter.mm, one.axial_diameter.mm, one.outside_percent, one.to_sinus)


def _common(body: Body, hu: np.ndarray, certainty: Certainty | None, ends: DataEnd | None) -> Structure:
    values = hu[body.box][body.mask].astype(np.float64)
    x, y, z = (float(v) for v in extent.to_ras(np.array([ndimage.center_of_mass(body.mask)]), body.local)[0])
    return Structure(
        name="",
        kind=body.kind,
        side=body.side,
        voxels=body.voxels,
        fingerprint=body.fingerprint,
        volume_ml=body.ml,
        mean_hu=float(values.mean()),
        sd_hu=float(values.std()),
        centre_ras_mm=(x, y, z),
        touches_border=ends.cuts(body.mask, body.box) if ends else _touches(body, hu.shape),
        certainty=certainty(body) if certainty else None,
    )


def kidneys(
    found: Sequence[Body], hu: np.ndarray, certainty: Certainty | None, ends: DataEnd | None = None
) -> Iterator[Structure]:
    """The kidneys among what ``parts`` found, measured as ``measure`` does, without a name."""
    of_kidneys = [body for body in found if body.kind == "kidney"]
    tissue_ml = sum(body.ml for body in of_kidneys)
    for body in of_kidneys:
        lesions_ml = sum(lesion.ml for lesion in _lesions_of(body, found))
        yield _kidney(_common(body, hu, certainty, ends), body, hu, lesions_ml, tissue_ml)


def _kidney(one: Structure, body: Body, hu: np.ndarray, lesions_ml: float, tissue_ml: float) -> Structure:
    cortex, medulla, excreted = contrast.layers(body.mask, hu[body.box], body.spacing)
    length, width, thickness = extent.kidney(body.outline)
    return replace(
        one,
        length=length,
        width=width,
        thickness=thickness,
        with_lesions_ml=body.ml + lesions_ml,
        split_percent=100.0 * body.ml / tissue_ml,
        cortex_hu=cortex,
        medulla_hu=medulla,
        excreted_percent=excreted,
    )


def _lesion(
    one: Structure, body: Body, labels: np.ndarray, hu: np.ndarray, tissue_hu: float | None, ends: DataEnd | None
) -> Structure:
    axial, across = extent.axial(body.mask, body.local)
    soft, gas = _neighbours(body, labels, hu, ends)
    return replace(
        one,
        diameter=extent.longest(body.outline),
        axial_diameter=axial,
        axial_perpendicular=across,
        craniocaudal=extent.craniocaudal(body.outline),
        hu_against_kidney=None if tissue_hu is None else one.mean_hu - tissue_hu,
        core_hu=_core_hu(body, hu),
        contact_cm2=contact_cm2(body, labels),
        soft_percent=soft,
        gas_percent=gas,
    )


def _core_hu(body: Body, hu: np.ndarray) -> float:
    """Of a lesion without an inside, of its deepest voxels; the outermost ones, however thick, are a mixture."""
    depth = ndimage.distance_transform_edt(np.pad(body.mask, 1), body.spacing)[1:-1, 1:-1, 1:-1]
    core = depth > min(CORE_MM, float(depth.max()) / 2)
    inner = core & ndimage.binary_erosion(body.mask)
    return float(hu[body.box][inner if inner.any() else core].mean())


def _neighbours(body: Body, labels: np.ndarray, hu: np.ndarray, ends: DataEnd | None) -> tuple[float, float]:
    """How much of what lies around a lesion is other soft tissue, and how much is gas, in percent of what was seen."""
    box, inside = _grown(body, GAS_MM, labels.shape)
    away = ndimage.distance_transform_edt(~inside, body.spacing)
    if ends:
        away[~ends.seen(box)] = np.inf
    near, shell = (away > 0) & (away <= GAS_MM), (away > SHELL_MM[0]) & (away <= SHELL_MM[1])
    soft = (labels[box] == BACKGROUND) & (hu[box] > SOFT_HU[0]) & (hu[box] < SOFT_HU[1])
    return _percent(soft & shell, shell), _percent((hu[box] < GAS_HU) & near, near)


def _percent(part: np.ndarray, whole: np.ndarray) -> float:
    return 100.0 * float(np.count_nonzero(part)) / max(1, int(np.count_nonzero(whole)))


def _grown(body: Body, margin_mm: float, shape: tuple[int, ...]) -> tuple[Box, np.ndarray]:
    """The box of a body with a margin, and the body's mask in it."""
    box = grown(body.box, margin_mm, body.spacing, shape)
    return box, placed(body.mask, body.box, box)


def contact_cm2(body: Body, labels: np.ndarray) -> float:
    """The surface that a lesion shares with kidney tissue.

    A plane cut into voxels has more faces than it has surface. So each face counts with the cosine between it and the
    surface there, whose direction is that of the blurred mask's slope; for a plane of any direction that is exact.
    """
    box, inside = _grown(body, 4 * max(SMOOTH_MM, *body.spacing), labels.shape)
    tissue = np.isin(labels[box], tuple(KIDNEYS))
    blurred = ndimage.gaussian_filter(inside.astype(np.float32), [max(1.0, SMOOTH_MM / mm) for mm in body.spacing])
    to_slope = np.linalg.inv(body.affine[:3, :3])  # of a slope per voxel: the slope per mm
    mm2 = 0.0
    for axis in range(3):
        low, high = (np.moveaxis(one, axis, 0) for one in (inside, tissue))
        shared = (low[:-1] & high[1:]) | (high[:-1] & low[1:])
        at = np.argwhere(shared).astype(np.float64)
        if not len(at):
            continue
        at[:, 0] += 0.5
        at = at[:, [*range(1, axis + 1), 0, *range(axis + 1, 3)]]
        slope = _slope(blurred, at) @ to_slope
        slope /= np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-9)
        others = [k for k in range(3) if k != axis]
        area = np.cross(body.affine[:3, others[0]], body.affine[:3, others[1]])
        mm2 += float(np.abs(slope @ area).sum())
    return mm2 / 100.0


def _slope(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """How much ``values`` rise per voxel along each axis, at places (n, 3) in voxels."""
    found = np.empty_like(at)
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 0.5
        low, high = (ndimage.map_coordinates(values, (at + by).T, order=1, mode="nearest") for by in (-step, step))
        found[:, axis] = high - low
    return found
