"""NIfTI files: what the header states, and no spacing or orientation that it does not state."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import unpack
from .errors import InputError, reason

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

MOST_HEADER = 4 << 20  # bytes, with extensions
SIZES = {348: "Nifti1Image", 540: "Nifti2Image"}
MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # by the header's code: not stated (mm by custom), meter, mm, micron
MOST_PADDING = 16  # bytes after the voxels
SAME_PLACE_MM = 5.0  # that sform and qform of one code may differ
SAME = 0.01  # share by which two statements of a spacing may differ


def read(path: Path) -> tuple[np.ndarray, np.ndarray, Nifti1Header, tuple[str, ...]]:
    """Numbers (i, j, k), affine to RAS mm, header, warnings; raises InputError with what is wrong."""
    content, head, kind, warnings = _content(path)
    import nibabel as nib  # unpacking goes on beside other imports, this one would wait for them

    with _silent(nib.imageglobals.logger):
        try:
            image = getattr(nib, kind).from_bytes(head)
            shape, dtype = image.shape, image.get_data_dtype()
        except Exception as error:  # nibabel's errors for a broken header are of many classes
            raise InputError(f"{path} is not a NIfTI image ({reason(error)}); export it again.") from error
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if dtype.fields or dtype.kind not in "iuf":
            raise InputError(f"{path} holds colours or complex numbers, not HU; give the CT itself.")
        if len(shape) != 3:
            what = "a time series or several channels" if len(shape) > 3 else "a flat picture"
            raise InputError(f"{path} is {what} (shape {image.shape}); give a single 3D CT.")
        need, start = int(np.prod(shape, dtype=float)) * dtype.itemsize, float(image.dataobj.offset)
        if min(shape) < 1 or not start + need <= len(content):
            raise InputError(f"{path} is cut short or damaged (fewer voxels than its header says); copy it again.")
        if len(content) > start + need + MOST_PADDING:
            warnings = (*warnings, "The file holds more voxels than its header says; the header may be damaged.")
        stored: Any = image.dataobj
        array = np.ndarray(shape, stored.dtype, content, stored.offset, order="F")  # a view: nothing is copied
        array = nib.volumeutils.apply_read_scaling(array, stored.slope, stored.inter)
        affine, told = _geometry(image.header, path)
    return array, affine, image.header, (*warnings, *told)


@contextmanager
def _silent(logger: Logger) -> Iterator[None]:
    """Without the lines of nibabel's logger, which go to stderr where a program sets up no logging."""
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _content(path: Path) -> tuple[np.ndarray, bytes, str, tuple[str, ...]]:
    """The file's bytes (n,), unpacked, its header, the kind of NIfTI, and what was put right in the header."""
    try:
        content = unpack.content(path)
    except PermissionError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its rights.") from error
    except Exception as error:  # isal has an error class of its own
        raise InputError(f"{path} is cut short or damaged ({reason(error)}); copy it again.") from error
    head = content[:MOST_HEADER].tobytes()
    for order in "<>":
        size = struct.unpack_from(f"{order}i", head)[0] if len(head) >= 4 else 0
        if size in SIZES and len(head) >= size:
            return content, *_checked(head, size, order, path)
    raise InputError(f"{path} is not a NIfTI image in spite of its name; export it again.")


def _checked(content: bytes, size: int, order: str, path: Path) -> tuple[bytes, str, tuple[str, ...]]:
    """The content, with an intercept that is no number as 0, as other programs read it.

    Raises InputError without spacing, and where the voxels begin within the header: nibabel and ITK then disagree.
    """
    magic = content[344:348] if size == 348 else content[4:8]
    if magic[:2] == b"ni":
        raise InputError(f"{path} is the header of a pair whose voxels lie in an .img file; convert it to .nii.gz.")
    if magic[:2] != b"n+":
        raise InputError(f"{path} is an Analyze image, which states no orientation; export it as NIfTI.")
    layout, at, least = (f"{order}f", 108, 352) if size == 348 else (f"{order}q", 168, 544)
    (offset,) = struct.unpack_from(layout, content, at)
    if not least <= offset < np.inf:
        raise InputError(
            f"{path} has its voxels at byte {offset:g}, no place behind its header (vox_offset); export it again."
        )
    pixdim = (
        struct.unpack_from(f"{order}3f", content, 80) if size == 348 else struct.unpack_from(f"{order}3d", content, 112)
    )
    if not all(np.isfinite(step) and step > 0 for step in pixdim):
        raise InputError(f"{path} has a spacing of {_text(pixdim)} mm; export it again with its true spacing.")
    layout, at = (f"{order}ff", 112) if size == 348 else (f"{order}dd", 176)
    slope, intercept = struct.unpack_from(layout, content, at)
    if not np.isfinite(slope) or slope == 0 or np.isfinite(intercept):
        return content, SIZES[size], ()
    changed = bytearray(content)
    struct.pack_into(layout, changed, at, slope, 0.0)
    return bytes(changed), SIZES[size], ("The header's intercept (scl_inter) is not a number; 0 was taken.",)


def units(header: Nifti1Header) -> float:
    """mm in one unit of the header's lengths."""
    return MM.get(int(header["xyzt_units"]) & 7, 1.0)


def _geometry(header: Any, path: Path) -> tuple[np.ndarray, list[str]]:
    """Affine to RAS mm from what the header states, and warnings; raises InputError where it contradicts itself."""
    pixdim = np.asarray(header["pixdim"][1:4], float)
    sform = header.get_sform() if header["sform_code"] > 0 else None
    try:
        qform = header.get_qform() if header["qform_code"] > 0 else None
    except Exception as error:  # a quaternion that is none
        if sform is None:
            raise InputError(f"{path} has a broken qform ({reason(error)}); export it again.") from error
        qform = None
    affine, warnings = _stated(sform, qform, pixdim, header, path)
    factor = units(header)
    if int(header["xyzt_units"]) & 7 not in MM:
        warnings.append("The unit of length is unknown (xyzt_units); mm were taken.")
    return np.diag([factor, factor, factor, 1.0]) @ affine, warnings


def _stated(
    sform: np.ndarray | None, qform: np.ndarray | None, pixdim: np.ndarray, header: Any, path: Path
) -> tuple[np.ndarray, list[str]]:
    if sform is None and qform is None:
        if (pixdim == 1).all():
            raise InputError(
                f"{path} states neither spacing nor orientation (voxels of 1, qform and sform codes 0);"
                " export it again with its geometry."
            )
        return header.get_base_affine(), [
            "The file states no orientation (qform and sform codes 0): right and left, head and feet may be swapped."
        ]
    if sform is None:
        assert qform is not None
        return qform, []
    if not np.isfinite(sform).all():
        raise InputError(f"{path} has a broken affine (not finite); export it again with its geometry.")
    steps = np.linalg.norm(sform[:3, :3], axis=0)
    if (np.abs(steps - pixdim) <= SAME * pixdim).all() or (pixdim == 1).all():
        return sform, _agreeing(sform, qform, header)
    told = f"voxels of {_text(steps)} in its sform but of {_text(pixdim)} in its pixdim"
    if not np.allclose(steps, 1, atol=1e-3):
        raise InputError(f"{path} states {told}; export it again with its true spacing.")
    if qform is not None:
        return qform, [f"The file states {told}; its qform, which agrees with the pixdim, was taken."]
    scaled = sform.copy()
    scaled[:3, :3] *= pixdim / steps
    return scaled, [
        f"The file states {told}; the pixdim was taken: the place in the patient may be off, right and left,"
        " head and feet may be swapped."
    ]


def _agreeing(sform: np.ndarray, qform: np.ndarray | None, header: Any) -> list[str]:
    """A warning where the two statements name other directions, or with one code other places."""
    from nibabel import aff2axcodes

    if qform is None or not np.isfinite(qform).all():
        return []
    if aff2axcodes(qform) == aff2axcodes(sform):
        shape = np.asarray(header["dim"][1:4], float)
        corners = np.array(np.meshgrid(*([0.0, n - 1] for n in shape), indexing="ij")).reshape(3, -1)
        away = (sform - qform)[:3, :3] @ corners + (sform - qform)[:3, 3:]
        if header["sform_code"] != header["qform_code"] or np.linalg.norm(away, axis=0).max() <= SAME_PLACE_MM:
            return []
        return ["sform and qform disagree on where the CT lies; the sform was taken: places may be off."]
    return [
        f"sform and qform disagree on the orientation ({''.join(map(str, aff2axcodes(sform)))} and"
        f" {''.join(map(str, aff2axcodes(qform)))}); the sform was taken: right and left may be swapped."
    ]


def _text(steps: Iterable[float]) -> str:
    return " x ".join(f"{step:.4g}" for step in steps)
