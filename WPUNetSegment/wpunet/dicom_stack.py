"""Slices of a series to one even stack: what is no part of the CT is left out by name, what is unclear is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from .dicom_slices import Slice, stored_frames
from .errors import InputError

CLEAR = 0.9  # share of the slices that makes it clear which ones are the CT
APART_MM = 1e-3  # less is a rounding of one place
SAME_PLACE = 0.01  # of the usual distance of slices; nearer is the same place
UNEVEN = 0.1  # of the usual distance
STRAIGHT_MM = 1.0  # how far a slice may lie beside the line through the first and the last
TILT_DEGREES = 1.0


def ordered(slices: Sequence[Slice], path: Path) -> tuple[list[Slice], np.ndarray, list[str]]:
    """The CT's slices along their normal, the affine (column, row, slice, 1) -> LPS mm, and warnings.

    Raises InputError where they make no even stack, or it is not clear which ones are the CT; what was left out before
    may be why.
    """
    warnings: list[str] = []
    try:
        return (*_stack(slices, path, warnings), warnings)
    except InputError as error:
        raise InputError(f"{error} ({' '.join(warnings)})" if warnings else str(error)) from error


def _stack(slices: Sequence[Slice], path: Path, warnings: list[str]) -> tuple[list[Slice], np.ndarray]:
    kept = _without(slices, lambda one: "LOCALIZER" in one.kind.upper(), "a localizer", warnings)
    kept = _without(kept, lambda one: one.is_colour, "in colours", warnings)
    if not kept:
        what = "localizers" if all("LOCALIZER" in one.kind.upper() for one in slices) else "pictures in colours"
        raise InputError(f"{path} holds {what} only, no CT; give the folder in which the slices lie.")
    kept = _with_geometry(kept, path, warnings)
    kept = _alike(kept, lambda one: "{1}x{0}".format(*one.stored.shape), "matrix sizes", path, warnings)
    kept = _alike(kept, lambda one: _rounded(one.orientation, 2), "orientations", path, warnings)
    kept = _alike(kept, lambda one: _rounded(one.spacing, 3), "pixel spacings", path, warnings)
    kept = _once(kept, path, warnings)
    kept = _one_after_the_other(kept, path, warnings)
    if len(kept) < 3:
        raise InputError(f"{path} has {len(kept)} slice(s); give the folder of the whole series, at least 3 slices.")
    along, places = _along(kept)
    order = np.argsort(along, kind="stable")
    kept, along, places = [kept[k] for k in order], along[order], places[order]
    _require_even(kept, along, places, path)
    lps = _affine(kept, places)
    warnings += _tilt(kept, lps)
    return kept, lps


def _without(slices: Sequence[Slice], unwanted: Callable[[Slice], bool], what: str, warnings: list[str]) -> list[Slice]:
    out = [one for one in slices if unwanted(one)]
    if out and len(out) < len(slices):
        warnings.append(f"Left out: {_names(out)}, {what}.")
    return [one for one in slices if not unwanted(one)]


def _names(slices: Sequence[Slice]) -> str:
    return slices[0].name + (f" and {len(slices) - 1} more" if len(slices) > 1 else "")


def _with_geometry(slices: Sequence[Slice], path: Path, warnings: list[str]) -> list[Slice]:
    """Those that state where they lie; raises InputError where many do not."""
    for name, words in (
        ("position", "Image Position (Patient)"),
        ("orientation", "Image Orientation (Patient)"),
        ("spacing", "Pixel Spacing"),
    ):
        missing = [one for one in slices if getattr(one, name) is None]
        if len(missing) > (1 - CLEAR) * len(slices):
            raise InputError(
                f"{path}: {_names(missing)} state(s) no valid {words}, so where the slices lie cannot be known;"
                " export the series with its geometry."
            )
        if missing:
            warnings.append(f"Left out: {_names(missing)}, without a valid {words}.")
        slices = [one for one in slices if getattr(one, name) is not None]
    return list(slices)


def _alike(
    slices: Sequence[Slice], key: Callable[[Slice], str], what: str, path: Path, warnings: list[str]
) -> list[Slice]:
    """The slices of one kind; raises InputError where it is not clear which kind is the CT."""
    counts = Counter(map(key, slices)).most_common()
    if len(counts) == 1:
        return list(slices)
    told = ", ".join(f"{value} ({count} slices)" for value, count in counts[:4])
    if counts[0][1] < CLEAR * len(slices):
        raise InputError(
            f"{path} holds slices of {len(counts)} {what}: {told}; give those of one a folder of their own."
        )
    out = [one for one in slices if key(one) != counts[0][0]]
    warnings.append(f"Left out: {_names(out)}, of other {what} than the rest ({told}).")
    return [one for one in slices if key(one) == counts[0][0]]


def _rounded(values: Sequence[float] | None, digits: int) -> str:
    return "\\".join(f"{round(value, digits) + 0.0:g}" for value in values or ())


def _along(slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray]:
    """mm along the normal of the first slice (n,), and positions (n, 3)."""
    across, down = np.array(slices[0].orientation).reshape(2, 3)
    places = np.array([one.position for one in slices])
    return places @ np.cross(across, down), places


def _once(slices: list[Slice], path: Path, warnings: list[str]) -> list[Slice]:
    """Each place once: copies go, of several acquisitions the one that is clearly the CT stays."""
    slices = _without_copies(slices, warnings)
    pairs = _same_place(slices)
    if not pairs:
        return slices
    _require_apart(slices, path)
    for what, key in (
        ("acquisitions", _acquisition),
        ("time points", lambda one: one.others[0] or "without number"),
        ("kinds of picture", lambda one: one.others[1] or "not stated"),
        ("reconstructions", lambda one: one.others[2] or "not stated"),
        ("stacks", lambda one: one.others[3] or "not stated"),
    ):
        if len({key(one) for one in slices}) > 1:
            return _alike(slices, key, what, path, warnings)
    one, other = (slices[k] for k in pairs[0])
    several = {k for pair in pairs for k in pair}
    remedy = "export one picture of each place" if one.frame else "remove all but one of each"
    raise InputError(
        f"{path}: {one.name} and {other.name} lie at the same position ({len(several)} slices do); {remedy}."
    )


def _require_apart(slices: Sequence[Slice], path: Path) -> None:
    if np.ptp(_along(slices)[0]) < APART_MM:
        raise InputError(
            f"{path}: all {len(slices)} slices lie at the same position; export the series with its geometry."
        )


def _one_after_the_other(slices: list[Slice], path: Path, warnings: list[str]) -> list[Slice]:
    """Of acquisitions whose slices lie between each other, the one that is clearly the CT: the patient has breathed."""
    along, _ = _along(slices)
    numbers = [slices[k].acquisition for k in np.argsort(along, kind="stable")]
    runs = [number for number, _ in groupby(number for number in numbers if number)]
    if len(runs) == len(set(runs)):
        return slices
    return _alike(slices, _acquisition, "acquisitions", path, warnings)


def _acquisition(one: Slice) -> str:
    return one.acquisition or "without number"


def _same_place(slices: Sequence[Slice]) -> list[tuple[int, int]]:
    """Pairs of slices at one place."""
    along, _ = _along(slices)
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    apart = steps[steps > APART_MM]
    near = max(APART_MM, SAME_PLACE * float(np.median(apart)) if len(apart) else APART_MM)
    return [(int(order[k]), int(order[k + 1])) for k in np.flatnonzero(steps < near)]


def _without_copies(slices: list[Slice], warnings: list[str]) -> list[Slice]:
    """One of each image: a copied file has the same UID, or the same bytes of pixels at the same place."""
    kept: dict[tuple[str, int], Slice] = {}
    copies = []
    for one in slices:
        key = one.uid or str(one.stored.path), one.frame
        if key in kept and kept[key].position == one.position:
            copies.append(one)
        else:
            kept[key if key not in kept else (str(one.stored.path), one.frame)] = one
    left = list(kept.values())
    if len(copies) < len(left):
        for first, second in _same_place(left):
            if left[first].acquisition == left[second].acquisition and _same_pixels(left[first], left[second]):
                copies.append(left[second])
    if copies:
        warnings.append(f"Left out: {_names(copies)}, copied from other slices of the series.")
    gone = {id(one) for one in copies}
    return [one for one in left if id(one) not in gone]


def _same_pixels(one: Slice, other: Slice) -> bool:
    if one.stored.at is None or other.stored.at is None or one.rescale != other.rescale:
        return False
    if one.stored.shape != other.stored.shape or one.stored.frames != 1 or other.stored.frames != 1:
        return False
    return bool(np.array_equal(stored_frames(one.stored), stored_frames(other.stored)))


def _require_even(slices: Sequence[Slice], along: np.ndarray, places: np.ndarray, path: Path) -> None:
    steps = np.diff(along)
    usual = float(np.median(steps))
    worst = int(np.argmax(np.abs(steps - usual)))
    if abs(steps[worst] - usual) > UNEVEN * usual:
        raise InputError(
            f"{path}: slices are missing or unevenly spaced ({steps.min():.2f} to {steps.max():.2f} mm, between"
            f" {slices[worst].name} and {slices[worst + 1].name}); export the complete series or resample it."
        )
    line = np.linspace(places[0], places[-1], len(places))
    away = np.linalg.norm(places - line, axis=1)
    if away.max() > max(STRAIGHT_MM, UNEVEN * usual):
        raise InputError(
            f"{path}: {slices[int(away.argmax())].name} lies {away.max():.1f} mm beside the line of the other slices;"
            " take it out, or export the series again."
        )


def _affine(slices: Sequence[Slice], places: np.ndarray) -> np.ndarray:
    across, down = np.array(slices[0].orientation).reshape(2, 3)
    between_rows, between_columns = slices[0].spacing or (0.0, 0.0)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = across * between_columns, down * between_rows
    lps[:3, 2] = (places[-1] - places[0]) / (len(places) - 1)
    lps[:3, 3] = places[0]
    return lps


def _tilt(slices: Sequence[Slice], lps: np.ndarray) -> list[str]:
    """What is to be told of a tilted gantry: that it is accounted for, or that the places do not show it."""
    normal = np.cross(lps[:3, 0], lps[:3, 1])
    step = lps[:3, 2]
    cosine = abs(step @ normal) / np.linalg.norm(step) / np.linalg.norm(normal)
    shown = float(np.degrees(np.arccos(np.clip(cosine, 0, 1))))
    if shown > TILT_DEGREES:
        return [f"The gantry was tilted by {shown:.0f} degrees; places, volumes and labels take that into account."]
    stated = max((abs(one.tilt) for one in slices), default=0.0)
    upright = abs(normal[2]) / np.linalg.norm(normal) > np.cos(np.radians(TILT_DEGREES))
    if TILT_DEGREES < stated <= 45 and upright:
        return [f"A gantry tilt of {stated:.0f} degrees is stated, but the slices' places do not show it."]
    return []
