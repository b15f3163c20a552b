"""What is told of one kidney, tumor or cyst: the record that report, tables, panel and page share.

Places are RAS mm in memory. On the way into a report each also gets its LPS mm and its voxel in the input's own axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

Point = tuple[float, float, float]
Place = dict[str, list[float]]
DIGITS = 3  # after the point, in a report: mm, ml and HU carry no more


@dataclass(frozen=True)
class Line:
    """A length as one draws it: ``mm`` from the first of ``ends_ras_mm`` to the second."""

    mm: float
    ends_ras_mm: tuple[Point, Point]


@dataclass(frozen=True)
class Part:
    """One letter of a score: its points or its letter, and the number that decided it (None where there is none)."""

    points: int | str
    value: float | None
    unit: str


@dataclass(frozen=True)
class Nephrometry:
    """R.E.N.A.L. score and C-index of a tumor, computed from the segments: to be checked by a reader.

    radius:    mm, the largest diameter: up to 40 one point, below 70 two, else three
    exophytic: percent of the tumor outside the kidney's own contour: 50 or more one point, less two, none three
    nearness:  mm to the sinus: 7 or more one point, more than 4 two, else three
    face:      "a" before, "p" behind the kidney's middle, "x" neither; mm in front of it
    location:  percent of the tumor between the polar lines: none one point, up to 50 two, else (or across the midline,
               or all between them) three
    hilar:     "h" where the tumor reaches the hilum, else ""; mm from it
    c_index:   distance of the tumor's centre from the kidney's centre over the tumor's radius
    missing:   why there is no score; parts that can be told all the same are there
    """

    radius: Part | None = None
    exophytic: Part | None = None
    nearness: Part | None = None
    face: Part | None = None
    location: Part | None = None
    hilar: Part | None = None
    c_index: float | None = None
    missing: str = ""

    @property
    def total(self) -> int | None:
        """4 to 12."""
        scored = (self.radius, self.exophytic, self.nearness, self.location)
        return None if any(part is None for part in scored) else sum(int(part.points) for part in scored if part)

    @property
    def text(self) -> str:
        """As it is written: "8a", "10ph"; empty without a score."""
        letters = "".join(str(part.points) for part in (self.face, self.hilar) if part)
        return "" if self.total is None else f"{self.total}{letters}"


@dataclass(frozen=True)
class Structure:
    """One kidney, one tumor or one cyst.

    name:            no two of a result have the same: "right kidney", "left tumor 2"
    kind, side:      "kidney", "tumor" or "cyst"; "right", "left" or "" where there is no kidney beside it
    voxels, fingerprint: how many, and a checksum of which: equal only for the same voxels
    volume_ml:       of what is marked as it; of a kidney that is its tissue alone
    mean_hu, sd_hu:  over the same voxels
    centre_ras_mm:   the centre of mass
    touches_border:  reaches the edge of the scan, so that volume and lengths are lower bounds
    certainty:       the calibrated chance, 0 to 1, that it is what it is called: of a tumor, that one is there at all;
                     None for what a person drew or changed, and for weights without calibration
    doubts:          codes of what speaks against it (doubts.CODES)

    A kidney has
    length:          from pole to pole: the longest distance in its tissue
    width, thickness: of the widest section across the length: its longest distance and what is perpendicular to it
    with_lesions_ml: its tissue with its tumors and cysts
    split_percent:   its share of both kidneys' tissue
    cortex_hu, medulla_hu: median HU 1 to 5 and 8 to 14 mm below its surface
    excreted_percent: of it, contrast in the collecting system

    A tumor or cyst has
    diameter:        the longest distance in any direction
    axial_diameter, axial_perpendicular: the longest distance in an axial slice, and across it in that slice
    craniocaudal:    from its highest to its lowest level
    hu_against_kidney: mean HU less that of the kidney's tissue
    core_hu:         mean HU of its inside, 2 mm and a voxel from its edge, where nothing else mixes in
    soft_percent:    of what lies 2 to 4 mm around it, how much is soft tissue other than kidney, tumor or cyst
    gas_percent:     of what lies up to 8 mm around it, how much is gas
    contact_cm2:     surface shared with kidney tissue
    outside_percent: of its volume, outside the kidney's own contour
    to_sinus, to_surface: the shortest way to the renal sinus and to the kidney's surface (0 mm where it reaches them)
    nephrometry:     of a tumor
    """

    name: str
    kind: str
    side: str
    voxels: int
    fingerprint: str
    volume_ml: float
    mean_hu: float
    sd_hu: float
    centre_ras_mm: Point
    touches_border: bool
    certainty: float | None = None
    doubts: tuple[str, ...] = ()
    length: Line | None = None
    width: Line | None = None
    thickness: Line | None = None
    with_lesions_ml: float | None = None
    split_percent: float | None = None
    cortex_hu: float | None = None
    medulla_hu: float | None = None
    excreted_percent: float | None = None
    diameter: Line | None = None
    axial_diameter: Line | None = None
    axial_perpendicular: Line | None = None
    craniocaudal: Line | None = None
    hu_against_kidney: float | None = None
    core_hu: float | None = None
    soft_percent: float | None = None
    gas_percent: float | None = None
    contact_cm2: float | None = None
    outside_percent: float | None = None
    to_sinus: Line | None = None
    to_surface: Line | None = None
    nephrometry: Nephrometry | None = None

    @property
    def size(self) -> Line:
        """The one length of a table with room for one: a kidney's length, a lesion's largest diameter."""
        line = self.length or self.diameter
        assert line is not None
        return line


LINES = ("length", "width", "thickness", "diameter", "axial_diameter", "axial_perpendicular", "craniocaudal")
WAYS = ("to_sinus", "to_surface")
PARTS = ("radius", "exophytic", "nearness", "face", "location", "hilar")
OF_KIDNEY = (
    *("length", "width", "thickness", "with_lesions_ml", "split_percent"),
    *("cortex_hu", "medulla_hu", "excreted_percent"),
)
OF_LESION = tuple(
    one.name for one in fields(Structure)[12:] if one.name not in (*OF_KIDNEY, "nephrometry")
)  # what only tumors and cysts have


@dataclass(frozen=True)
class Caution:
    """A warning.

    code:  what it is about, for programs (doubts.CODES; "input" for what was seen while reading, "run" for the device,
           "parenchyma" where kidneys are that alone)
    text:  a sentence for a person
    about: the name of the structure that it is about; empty where it is about the whole
    """

    code: str
    text: str
    about: str = ""

    def __str__(self) -> str:
        return self.text


def plain(one: Structure, place: Callable[[Point], Place]) -> dict[str, Any]:
    """A structure for JSON; ``place`` tells of RAS mm what a report says of a place."""
    common = {key.name: _rounded(getattr(one, key.name)) for key in fields(Structure)[:12]}
    common["doubts"] = list(one.doubts)
    del common["centre_ras_mm"]
    common["centre"] = place(one.centre_ras_mm)
    own = OF_KIDNEY if one.kind == "kidney" else OF_LESION
    measures = {key: _plain_measure(getattr(one, key), place) for key in own}
    if one.kind == "tumor":
        measures["nephrometry"] = _plain_score(one.nephrometry) if one.nephrometry else None
    return common | measures


def from_plain(values: dict[str, Any]) -> Structure:
    """A structure out of a report as ``plain`` wrote it."""
    known = {key.name for key in fields(Structure)}
    kept = {key: value for key, value in values.items() if key in known}
    kept["centre_ras_mm"] = _point(values["centre"])
    kept["doubts"] = tuple(values["doubts"])
    for key in (*LINES, *WAYS):
        if kept.get(key):
            first, second = (_point(end) for end in kept[key]["ends"])
            kept[key] = Line(kept[key]["mm"], (first, second))
    score = kept.get("nephrometry")
    if score:
        parts = {key: Part(**score[key]) if score[key] else None for key in PARTS}
        kept["nephrometry"] = Nephrometry(**parts, c_index=score["c_index"], missing=score["missing"])
    return Structure(**kept)


def moved(one: Structure, matrix: np.ndarray) -> Structure:
    """The same elsewhere; matrix (4, 4): RAS mm there from RAS mm here."""

    def at(point: Point) -> Point:
        x, y, z = (matrix @ [*point, 1.0])[:3].tolist()
        return x, y, z

    lines = {key: getattr(one, key) for key in (*LINES, *WAYS)}
    there: dict[str, Any] = {
        key: Line(line.mm, (at(line.ends_ras_mm[0]), at(line.ends_ras_mm[1]))) for key, line in lines.items() if line
    }
    return replace(one, centre_ras_mm=at(one.centre_ras_mm), **there)


def _point(place: Place) -> Point:
    x, y, z = place["ras_mm"]
    return x, y, z


def _rounded(value: Any) -> Any:
    return round(value, DIGITS) if isinstance(value, float) else value


def _plain_measure(value: Any, place: Callable[[Point], Place]) -> Any:
    if isinstance(value, Line):
        return {"mm": round(value.mm, DIGITS), "ends": [place(end) for end in value.ends_ras_mm]}
    return _rounded(value)


def _plain_score(score: Nephrometry) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for key in PARTS:
        part: Part | None = getattr(score, key)
        parts[key] = part and {"points": part.points, "value": _rounded(part.value), "unit": part.unit}
    return {
        "score": score.text,
        "total": score.total,
        **parts,
        "c_index": _rounded(score.c_index),
        "missing": score.missing,
        "note": CHECK,
    }


CHECK = "computed, to be checked"


def numbered(structures: Sequence[Structure]) -> tuple[Structure, ...]:
    """The same with names of their own: tumors are numbered over both sides where there are several, so are cysts."""
    named, count = [], dict.fromkeys(("tumor", "cyst"), 0)
    for one in structures:
        name = f"{one.side} {one.kind}".strip()
        if one.kind in count and sum(other.kind == one.kind for other in structures) > 1:
            count[one.kind] += 1
            name += f" {count[one.kind]}"
        named.append(replace(one, name=name))
    return tuple(named)
