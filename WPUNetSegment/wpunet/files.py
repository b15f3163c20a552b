"""Files to volumes and results to files. Every file is written whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import volume as geometry
from .boxes import Box
from .dicom_files import is_dicom
from .errors import InputError, OutputError
from .labels import BY_SIDE, PARENCHYMA, SIDES, Label, named_as_parenchyma
from .outputs import MARK, Replacing, can_be, replacing
from .pixels import to_int16
from .volume import Volume

NIFTI = (".nii.gz", ".nii")
ITK = (".seg.nrrd", ".nrrd", ".mha", ".nhdr", ".mhd")
ENDINGS = NIFTI + ITK
MAPS = (*NIFTI, ".nrrd")  # in which maps are written
LABEL_MAPS = (*MAPS, ".seg.nrrd")
ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".zst", ".xz", ".lz4", ".iso")
PATIENTS_MM = (10, 10_000)  # what the longest side of a CT is between


def read(path: Path | str, series: str | None = None) -> Volume:
    """A CT from a NIfTI, NRRD or MHA file or a DICOM folder (``series``: the UID of one of several series).

    Raises InputError with the file's name, what is wrong and what to do.
    """
    path = Path(path)
    _require_content(path)
    if path.is_dir() or (not ending_of(path) and is_dicom(path)):
        from . import dicom

        stack = dicom.read_series(path, series)
        volume = _volume(stack.hu.T, stack.affine, path, warnings=stack.warnings)
        grid = replace(volume.grid, slices=stack.slices)
        return replace(volume, grid=grid, path=str(path), series=stack.series)
    ending = ending_of(path)
    if series is not None:
        raise InputError(f"{path} is no DICOM, so it has no series; leave --series out.")
    if ending in NIFTI:
        from . import nifti

        array, affine, header, warnings = nifti.read(path)
        _require_unit(affine, array.shape, nifti.units(header), path)
        return replace(_volume(array, affine, path, header, (*warnings, *_never_placed(affine))), path=str(path))
    if ending in ITK:
        from . import itk_images

        image, factor, warnings = itk_images.read(path)
        volume = from_itk(image, path, factor)
        warnings = (*warnings, *volume.warnings, *_never_placed(volume.grid.affine))
        return replace(volume, warnings=warnings, path=str(path))
    if path.name.lower().endswith(ARCHIVES):
        raise InputError(f"{path} is an archive; unpack it first.")
    raise InputError(f"{path} is of an unknown kind; give {', '.join(ENDINGS)} or a DICOM folder.")


def read_array(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The numbers (i, j, k) of a NIfTI, NRRD or MHA file as they are, and its affine to RAS mm; raises InputError."""
    _require_content(path)
    if ending_of(path) in NIFTI:
        from . import nifti

        array, affine, _, _ = nifti.read(path)
        return array, affine
    from . import itk_images

    image, factor, _ = itk_images.read(path)
    return _array(image, path, factor)


def _require_content(path: Path) -> None:
    """Raises InputError where there is nothing to read."""
    if not can_be(path) or not path.exists():
        raise InputError(f"{path} does not exist; check the name.")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy it again.")


def _require_unit(affine: np.ndarray, shape: Sequence[int], mm: float, path: Path) -> None:
    """Raises InputError where a unit other than mm makes a picture of a size that none has."""
    longest = float((np.linalg.norm(affine[:3, :3], axis=0) * shape).max())
    if mm != 1.0 and not PATIENTS_MM[0] <= longest <= PATIENTS_MM[1]:
        raise InputError(
            f"{path} states its lengths in units of {mm:g} mm, which makes it {longest:.3g} mm long; export it again"
            " with its true unit."
        )


def _never_placed(affine: np.ndarray) -> tuple[str, ...]:
    """A warning where a grid is what programs write that were never told the geometry."""
    if np.array_equal(np.abs(affine), np.eye(4)):
        return ("Voxels of 1 mm at the origin: the file was hardly told its geometry; volumes and sides may be wrong.",)
    return ()


def ending_of(path: Path) -> str:
    return next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), "")


def case_name(path: Path) -> str:
    """What a case is called: the file's name without its ending; in KiTS19's layout the folder's name.

    A drive, as that of a disc on Windows, has no name.
    """
    path = Path(path)
    if path.is_dir():
        return path.resolve().name or "CT"
    name = path.name[: len(path.name) - len(ending_of(path))] or path.name
    return path.resolve().parent.name if name == "imaging" else name


def from_itk(image: Any, path: Path, mm: float = 1.0) -> Volume:
    """A SimpleITK image, ``mm`` in one unit of its lengths, as a volume.

    Raises InputError when it is no single 3D image of numbers.
    """
    return _volume(*_array(image, path, mm), path)


def _array(image: Any, path: Path, mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (i, j, k) of a SimpleITK image and its affine to RAS mm."""
    import SimpleITK as sitk

    size = image.GetSize()
    if image.GetDimension() == 4 and size[3] == 1:
        image = image[:, :, :, 0]
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{path} holds colours or several channels, not HU; give the CT itself.")
    if image.GetDimension() != 3:
        kind = "a time series" if image.GetDimension() > 3 else "a flat picture"
        raise InputError(f"{path} is {kind} (size {size}); give a single 3D CT.")
    array = sitk.GetArrayViewFromImage(image).T  # (i, j, k)
    lps = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1, -1, 1]) @ lps
    affine[:3, 3] = np.diag([-1, -1, 1]) @ image.GetOrigin()
    affine[:3] *= mm
    array = np.array(array)
    _require_unit(affine, array.shape, mm, path)
    return array, affine


def _volume(
    array: np.ndarray, affine: np.ndarray, path: Path, header: Any = None, warnings: Sequence[str] = ()
) -> Volume:
    """Any numbers -> int16 HU."""
    array, more = to_int16(array, str(path))
    found = geometry.from_array(array, affine, str(path), header)
    hu = geometry.by_slices(found.hu)
    return Volume(hu, found.affine, found.grid, case_name(path), (*warnings, *more, *found.warnings))


def write_labels(
    path: Path | str,
    labels: np.ndarray,
    volume: Volume,
    table: Sequence[Label],
    within: Box | None = None,
    *,
    parenchyma: bool = False,
) -> None:
    """A label map (slice, row, column) onto the input's own grid; ``table`` names the values, all in ``within``.

    ``.seg.nrrd`` becomes a segmentation that 3D Slicer opens with names, colours and terminology. parenchyma: kidneys
    are their parenchyma alone, which the file then says. Raises OutputError for a path of another ending than
    ``LABEL_MAPS``, InputError for an array that is not on the volume's grid.
    """
    path = Path(path)
    write(path, label_file(path, labels, volume, table, within, parenchyma=parenchyma))


def label_file(
    path: Path,
    labels: np.ndarray,
    volume: Volume,
    table: Sequence[Label],
    within: Box | None = None,
    *,
    parenchyma: bool = False,
) -> bytes:
    """What ``write_labels`` writes, by the ending of the path."""
    _require_ending(path, LABEL_MAPS)
    values = geometry.to_source(labels, volume, within)
    what = ", ".join(["labels", *([SIDES] if table == BY_SIDE else ()), *([PARENCHYMA] if parenchyma else ())])
    if ending_of(path) in NIFTI:
        return _nifti(path, values, volume, what)
    return _nrrd(path, values, volume, named_as_parenchyma(table) if parenchyma else table, what)


def write_map(path: Path | str, values: np.ndarray, volume: Volume, replacing: Replacing = replacing) -> None:
    """A map of shares of 255 (uint8; slice, row, column) onto the input's own grid, which reads as 0 to 1.

    NIfTI has the bytes and their scale, NRRD, which knows no scale, float32: four bytes a voxel. Raises OutputError
    for a path of another ending.
    """
    path = Path(path)
    _require_ending(path, MAPS)
    if not volume.grid.upright:  # resampled as numbers, not as labels
        values = values.astype(np.float32)
    values = geometry.to_source(values, volume)
    if ending_of(path) in NIFTI:
        shares = np.rint(values).astype(np.uint8) if values.dtype != np.uint8 else values
        write(path, _nifti(path, shares, volume, "map", slope=1 / 255), replacing)
    else:
        values = values.astype(np.float32, copy=False)
        values /= 255
        write(path, _nrrd(path, values, volume, (), "map"), replacing)


def _require_ending(path: Path, endings: Sequence[str]) -> None:
    if ending_of(path) not in endings:
        raise OutputError(f"{path} cannot be written: its name must end in {', '.join(endings)}.")


def write(path: Path, content: bytes, replacing: Replacing = replacing) -> None:
    """A file with this content, whole or not at all; replacing: that of ``outputs.together`` for one of several."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _nifti(path: Path, values: np.ndarray, volume: Volume, what: str, slope: float = 1.0) -> bytes:
    import nibabel as nib

    affine, header = volume.grid.affine, volume.grid.header
    if header is None:
        image = nib.Nifti1Image(values, affine)
    else:  # the same codes and units, so that the label map lies on the CT in any program
        from .nifti import units

        mm = units(header)
        image = nib.Nifti1Image(values, np.diag([1 / mm, 1 / mm, 1 / mm, 1.0]) @ affine)
        image.header["pixdim"][1:4] = header["pixdim"][1:4]
        image.header["xyzt_units"] = header["xyzt_units"]
        for form, set_form in (("sform", image.set_sform), ("qform", image.set_qform)):
            matrix, code = _form(header, form)
            set_form(image.affine if matrix is None else matrix, code)
    image.header["descrip"] = f"{MARK}: {what}"
    image.header.set_slope_inter(slope, 0.0)
    image.update_header()
    head = io.BytesIO()
    image.header.write_to(head)
    head.write(bytes(image.header.get_data_offset() - head.tell()))
    parts = (head.getvalue(), _in_file_order(values))
    return _packed(*parts) if path.name.lower().endswith(".gz") else b"".join(parts)


def _in_file_order(values: np.ndarray) -> memoryview:
    """The bytes of an array (i, j, k) as files have them, i running fastest; no copy where it lies so in memory."""
    return np.ascontiguousarray(values.T).reshape(-1).view(np.uint8).data


def _packed(*parts: bytes | memoryview) -> bytes:
    """Parts of a file as one gzip."""
    from isal import isal_zlib

    packer = isal_zlib.compressobj(2, wbits=31)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def _form(header: Any, form: str) -> tuple[np.ndarray | None, int]:
    """One of a header's two affines and its code; None where it is not stated or broken."""
    try:
        matrix, code = getattr(header, f"get_{form}")(coded=True)
    except Exception:  # a quaternion that is none
        return None, 0
    return matrix, int(code) if matrix is not None else 0


def _nrrd(path: Path, values: np.ndarray, volume: Volume, table: Sequence[Label], what: str) -> bytes:
    """NRRD by hand, which takes a dozen lines: ITK's writer does not notice a full disk."""
    kinds = {"uint8": "uchar", "float32": "float"}
    lps = np.diag([-1.0, -1.0, 1.0]) @ volume.grid.affine[:3]
    axes = [f"({','.join(repr(float(v)) for v in axis)})" for axis in lps.T]
    header = {
        "type": kinds[values.dtype.name],
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, values.shape)),
        "space directions": " ".join(axes[:3]),
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "gzip",
        "space origin": axes[3],
    }
    lines = ["NRRD0004", *(f"{key}: {value}" for key, value in header.items()), f"{MARK}:={what}"]
    if path.name.lower().endswith(".seg.nrrd"):
        lines += [f"{key}:={value}" for key, value in _segment_fields(values, table).items()]
    content = _packed(_in_file_order(values.astype(values.dtype.newbyteorder("<"), copy=False)))
    return "\n".join([*lines, "", ""]).encode() + content


def _segment_fields(values: np.ndarray, table: Sequence[Label]) -> dict[str, str]:
    """The header of a 3D Slicer segmentation file with all segments in one layer."""
    fields = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    extent = " ".join(f"0 {size - 1}" for size in values.shape)
    for number, label in enumerate(table):
        start = f"Segment{number}_"
        fields |= {
            f"{start}ID": label.key,
            f"{start}Name": label.name,
            f"{start}NameAutoGenerated": "0",
            f"{start}Color": " ".join(f"{part / 255:.6f}" for part in label.colour),
            f"{start}ColorAutoGenerated": "0",
            f"{start}LabelValue": str(label.value),
            f"{start}Layer": "0",
            f"{start}Extent": extent,
            f"{start}Tags": f"TerminologyEntry:{label.terminology}|",
        }
    return fields
