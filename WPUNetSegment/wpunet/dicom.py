"""A folder of DICOM files to a volume."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError

MODALITY, DESCRIPTION, POSITION, ORIENTATION = "0008|0060", "0008|103e", "0020|0032", "0020|0037"
SERIES_UID = "0020|000e"


@dataclass(frozen=True)
class Series:
    """One series of a folder: its files sorted along the body."""

    uid: str
    files: tuple[str, ...]
    modality: str
    description: str

    def __str__(self) -> str:
        return (
            f"{self.uid} ({self.modality or 'no modality'}, {len(self.files)} files, {self.description or 'no name'})"
        )


def holds_dicom(folder: Path) -> bool:
    """Whether a file directly in the folder is DICOM."""
    return any(_is_dicom(path) for path in sorted(folder.iterdir())[:50] if path.is_file())


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def list_series(folder: Path) -> list[Series]:
    """The series of a folder (not of the folders below)."""
    import SimpleITK as sitk

    found = []
    for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
        header = _header(names[0])
        found.append(Series(uid, tuple(names), header.get(MODALITY, ""), header.get(DESCRIPTION, "")))
    return found


def _header(name: str) -> dict[str, str]:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(name)
    reader.LoadPrivateTagsOn()
    reader.ReadImageInformation()
    keys = (MODALITY, DESCRIPTION, POSITION, ORIENTATION, SERIES_UID)
    return {key: reader.GetMetaData(key).strip() for key in keys if reader.HasMetaDataKey(key)}


def series_uid(name: str) -> str:
    """The UID of the series that a DICOM file belongs to; empty where it says none."""
    return _header(name).get(SERIES_UID, "")


def read_series(folder: Path, series: str | None = None) -> tuple[Any, tuple[str, ...], list[str]]:
    """The CT of a DICOM folder; of several series the one whose UID is ``series``.

    Returns a SimpleITK image, the file of each of its slices, and warnings.
    Raises InputError when there is no series, several, or one whose slices make no even stack.
    """
    import SimpleITK as sitk

    found = list_series(folder)
    chosen = _along_the_body(_choose(folder, found, series))
    warnings = _check_stack(folder, chosen) + _unreadable(folder, found)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(chosen.files)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        reason = " ".join(str(error).rsplit("ERROR:", 1)[-1].split())[:120]
        raise InputError(f"The DICOM series in {folder} cannot be read ({reason}); export it again.") from error
    return image, chosen.files, warnings


def _choose(folder: Path, found: list[Series], series: str | None) -> Series:
    if not found:
        raise InputError(f"{folder} holds no DICOM images; give the folder in which the slices lie.")
    if series is not None:
        for one in found:
            if one.uid == series or one.uid.startswith(series):
                return one
        raise InputError(f"{folder} has no series {series}; there are: {'; '.join(map(str, found))}.")
    images = [one for one in found if one.modality in ("CT", "") and len(one.files) >= 3] or found
    if len(images) > 1:
        raise InputError(f"{folder} holds several series; choose with --series: {'; '.join(map(str, images))}.")
    return images[0]


def _along_the_body(series: Series) -> Series:
    """The series with its files in the order of their positions; as it is where positions are missing."""
    headers = [_header(name) for name in series.files]
    if any(POSITION not in header or ORIENTATION not in header for header in headers):
        return series
    along = _positions(headers) @ _normal(headers[0])
    return replace(series, files=tuple(series.files[k] for k in np.argsort(along, kind="stable")))


def _positions(headers: list[dict[str, str]]) -> np.ndarray:
    """(n, 3): LPS mm of each slice's first pixel."""
    return np.array([[float(v) for v in header[POSITION].split("\\")] for header in headers])


def _normal(header: dict[str, str]) -> np.ndarray:
    across, down = np.array([float(v) for v in header[ORIENTATION].split("\\")]).reshape(2, 3)
    return np.cross(across, down)


def _unreadable(folder: Path, found: list[Series]) -> list[str]:
    """A warning where files call themselves DICOM but are in no series: a slice cut short would else vanish unseen."""
    known = {Path(name).name for series in found for name in series.files}
    others = (path for path in sorted(folder.iterdir()) if path.name not in known | {"DICOMDIR"})
    lost = [path.name for path in others if _is_dicom(path)]
    if not lost:
        return []
    return [f"{len(lost)} DICOM file(s) could not be read and were left out ({lost[0]}); copy them again."]


def _check_stack(folder: Path, series: Series) -> list[str]:
    """Slices at even distances along their normal, without tilt; raises InputError where they are not."""
    warnings: list[str] = []
    if series.modality not in ("CT", ""):
        raise InputError(f"{folder} holds {series.modality}, not CT; the network knows CT only.")
    headers = [_header(name) for name in series.files]
    if len(headers) < 3 or any(POSITION not in header or ORIENTATION not in header for header in headers):
        return warnings
    normal = _normal(headers[0])
    steps = np.diff(_positions(headers), axis=0)
    along = steps @ normal
    usual = float(np.median(np.abs(along)))
    if usual < 1e-3 or np.abs(along).min() < 0.01 * usual:
        raise InputError(f"{folder} holds slices at the same position twice; export one series only.")
    if np.abs(np.abs(along) - usual).max() > 0.1 * usual:
        raise InputError(
            f"{folder}: slices are missing or unevenly spaced "
            f"({np.abs(along).min():.2f} to {np.abs(along).max():.2f} mm); export the complete series or resample it."
        )
    tilt = float(np.degrees(np.arctan2(np.linalg.norm(steps[0] - along[0] * normal), abs(along[0]))))
    if tilt > 1.0:
        warnings.append(f"The gantry was tilted by {tilt:.0f} degrees; distances along the body are slightly off.")
    return warnings
