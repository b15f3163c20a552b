"""Files to volumes and results to files. Every file is written whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import unpack
from . import volume as geometry
from .errors import InputError
from .labels import Label
from .outputs import MARK, replacing
from .volume import Volume

NIFTI = (".nii.gz", ".nii")
ITK = (".seg.nrrd", ".nrrd", ".mha", ".nhdr", ".mhd")
ENDINGS = NIFTI + ITK
MOST_HEADER = 4 << 20  # bytes of a NIfTI header with its extensions


def read(path: Path | str, series: str | None = None) -> Volume:
    """A CT from a NIfTI, NRRD or MHA file or a DICOM folder (``series``: the UID of one of several series).

    Raises InputError with the file's name, what is wrong and what to do.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name.")
    if path.is_dir():
        from . import dicom

        image, names, warnings = dicom.read_series(path, series)
        volume = from_itk(image, path)
        slices = tuple((name, 0) for name in names)
        return replace(
            volume,
            grid=replace(volume.grid, slices=slices),
            warnings=(*volume.warnings, *warnings),
            path=str(path),
            series=dicom.series_uid(names[0]),
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy it again.")
    ending = ending_of(path)
    if ending in NIFTI:
        return replace(_read_nifti(path), path=str(path))
    if ending in ITK:
        return replace(_read_itk(path), path=str(path))
    raise InputError(f"{path} is of an unknown kind; give {', '.join(ENDINGS)} or a DICOM folder.")


def ending_of(path: Path) -> str:
    return next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), "")


def case_name(path: Path) -> str:
    """What a case is called: the file's name without its ending; in KiTS19's layout the folder's name."""
    path = Path(path)
    if path.is_dir():
        return path.resolve().name
    name = path.name[: len(path.name) - len(ending_of(path))] or path.name
    return path.resolve().parent.name if name == "imaging" else name


def _read_nifti(path: Path) -> Volume:
    import nibabel as nib

    content = _content(path)
    head = content[:MOST_HEADER].tobytes()
    pixdim = nib.Nifti1Header(head[:348], check=False)["pixdim"][1:4] if len(head) >= 348 else np.ones(3)
    if head[:2] in (b"\x5c\x01", b"\x01\x5c") and not (pixdim > 0).all():
        raise InputError(f"{path} has a spacing of {pixdim.tolist()} mm; export it again with its true spacing.")
    try:
        image = nib.Nifti1Image.from_bytes(head)
    except Exception as first:  # nibabel's errors for a broken header are of many classes
        try:
            image = nib.Nifti2Image.from_bytes(head)
        except Exception:
            raise InputError(f"{path} is not a NIfTI image ({_reason(first)}); export it again.") from first
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if image.get_data_dtype().fields:
        raise InputError(f"{path} holds colours, not HU; give the CT itself.")
    if len(shape) != 3:
        kind = "a time series or several channels" if len(shape) > 3 else "a flat picture"
        raise InputError(f"{path} is {kind} (shape {image.shape}); give a single 3D CT.")
    stored: Any = image.dataobj
    try:
        array = np.ndarray(shape, stored.dtype, content, stored.offset, order="F")  # a view: nothing is copied
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is cut short or damaged ({_reason(error)}); copy it again.") from error
    array = nib.volumeutils.apply_read_scaling(array, stored.slope, stored.inter)
    return _volume(array, image.affine, path, image.header)


def _content(path: Path) -> np.ndarray:
    """The file's bytes (n,), unpacked."""
    try:
        content = unpack.content(path)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} is cut short or damaged ({_reason(error)}); copy it again.") from error
    except Exception as error:  # isal has an error class of its own
        raise InputError(f"{path} is damaged ({_reason(error)}); copy it again.") from error
    if path.name.lower().endswith(".gz") and content[:4].tobytes() not in (
        b"\x5c\x01\0\0",
        b"\0\0\1\x5c",
        b"\x1c\2\0\0",
        b"\0\0\2\x1c",
    ):
        raise InputError(f"{path} is not a NIfTI image in spite of its name; export it again.")
    return content


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _read_itk(path: Path) -> Volume:
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = _reason(RuntimeError(str(error).rsplit("ITK ERROR:", 1)[-1]))
        raise InputError(f"{path} cannot be read ({reason}); copy or export it again.") from error
    return from_itk(image, path)


def from_itk(image: Any, path: Path) -> Volume:
    """A SimpleITK image as a volume; raises InputError when it is no single 3D image of numbers."""
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
    return _volume(np.array(array), affine, path)


def _volume(array: np.ndarray, affine: np.ndarray, path: Path, header: Any = None) -> Volume:
    """Any numbers -> int16 HU."""
    from .check import to_int16

    array, warnings = to_int16(array, str(path))
    found = geometry.from_array(array, affine, str(path), header)
    return Volume(found.hu, found.affine, found.grid, case_name(path), warnings)


def write_labels(path: Path, labels: np.ndarray, volume: Volume, table: Sequence[Label]) -> None:
    """A label map (slice, row, column) onto the input's own grid; ``table`` names the values.

    ``.seg.nrrd`` becomes a segmentation that 3D Slicer opens with names, colours and terminology.
    """
    values = geometry.to_source(labels, volume)
    if ending_of(path) in NIFTI:
        _write_nifti(path, values, volume, "labels")
    else:
        _write_nrrd(path, values, volume, table, "labels")


def write_map(path: Path, values: np.ndarray, volume: Volume) -> None:
    """A map (slice, row, column) of numbers onto the input's own grid, float32."""
    values = geometry.to_source(values, volume).astype(np.float32, copy=False)
    if ending_of(path) in NIFTI:
        _write_nifti(path, values, volume, "map")
    else:
        _write_nrrd(path, values, volume, (), "map")


def _write_nifti(path: Path, values: np.ndarray, volume: Volume, what: str) -> None:
    import nibabel as nib

    image = nib.Nifti1Image(values, volume.grid.affine)
    header = volume.grid.header
    if header is not None:  # the same codes and units, so that the label map lies on the CT in any program
        image.header.set_xyzt_units(*header.get_xyzt_units())
        for form, set_form in (("sform", image.set_sform), ("qform", image.set_qform)):
            matrix, code = getattr(header, f"get_{form}")(coded=True)
            set_form(volume.grid.affine if matrix is None else matrix, int(code))
    image.header["descrip"] = f"{MARK}: {what}"
    image.header.set_slope_inter(1.0, 0.0)
    image.update_header()
    head = io.BytesIO()
    image.header.write_to(head)
    head.write(bytes(image.header.get_data_offset() - head.tell()))
    parts = (head.getvalue(), _in_file_order(values))
    content = _packed(*parts) if path.name.endswith(".gz") else b"".join(parts)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _in_file_order(values: np.ndarray) -> memoryview:
    """The bytes of an array (i, j, k) as files have them, i running fastest; no copy where it lies so in memory."""
    return np.ascontiguousarray(values.T).reshape(-1).view(np.uint8).data


def _packed(*parts: bytes | memoryview) -> bytes:
    """Parts of a file as one gzip."""
    from isal import isal_zlib

    packer = isal_zlib.compressobj(2, wbits=31)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def _write_nrrd(path: Path, values: np.ndarray, volume: Volume, table: Sequence[Label], what: str) -> None:
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
    with replacing(path) as temporary:
        temporary.write_bytes("\n".join([*lines, "", ""]).encode() + content)


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
