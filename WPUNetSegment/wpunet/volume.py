"""A CT in one known orientation, and the way back to the grid it came on.

Inside the engine an array is (slice, row, column): slices run from head to feet, rows from front to back, columns from
the patient's right to the left. That is KiTS19's own order and the usual display.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np

from .boxes import Box, blank, bounding_box, bounding_box_across
from .errors import InputError
from .pixels import NO_DATA_HU, to_int16

# Rows: our axes (slice, row, column); columns: RAS. Head to feet is -S, front to back -A, right to left -R.
AXES_RAS = np.array([[0, 0, -1], [0, -1, 0], [-1, 0, 0]], float)
UPRIGHT_DEGREES = 8.0  # a grid more oblique than this is resampled to an upright one,
SKEW_DEGREES = 1.0  # and so is one whose axes are farther than this from right angles
SAME_VOXELS = 0.2  # that two statements of one grid may differ by: headers round
MOST_GROWTH = 30  # times the voxels that resampling may make: a grid turned by 45 degrees about two axes takes 5


@dataclass(frozen=True)
class SourceGrid:
    """The input's own grid and how its axes map to ours.

    shape, affine: of the input, as nibabel gives them: (i, j, k, 1) -> RAS mm
    order, flipped: our axis a is the input's axis ``order[a]``, reversed where ``flipped[a]``
    upright: False where the engine's volume was resampled, so that voxels do not correspond
    header: what a writer needs of the input's file header (NIfTI)
    slices: of a DICOM input, for each index along its last axis the file and the frame in it (0 in a file of one
            slice, else from 1): what a DICOM result refers to
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    upright: bool = True
    header: Any = None
    slices: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Volume:
    """A CT.

    hu:     int16 (slice, row, column), from a file slice after slice (``by_slices``); else a view in whatever order
            the array has its voxels, so a copy of a part of it should be made in blocks of rows (``contiguous``)
    affine: (4, 4), (slice, row, column, 1) -> RAS mm
    grid:   the input's own grid
    path, series: where it came from, and the UID of its DICOM series; empty where it came as an array
    """

    hu: np.ndarray
    affine: np.ndarray
    grid: SourceGrid
    name: str = ""
    warnings: tuple[str, ...] = field(default=())
    path: str = ""
    series: str = ""

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """mm between slices, rows, columns."""
        slices, rows, columns = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(slices), float(rows), float(columns)

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def with_data(self) -> Callable[[tuple[slice, ...]], np.ndarray] | None:
        """Of places (a slice of each axis), which hold data of the input; None where all do."""
        return None if self.grid.upright else self._with_data

    def _with_data(self, places: tuple[slice, ...]) -> np.ndarray:
        to_input = np.linalg.inv(self.grid.affine) @ self.affine
        ours = np.meshgrid(*(np.arange(n)[at] for n, at in zip(self.hu.shape, places, strict=True)), indexing="ij")
        theirs = np.tensordot(to_input[:3, :3], np.stack(ours), 1) + to_input[:3, 3].reshape(3, 1, 1, 1)
        last = np.reshape(self.grid.shape, (3, 1, 1, 1)) - 1
        return np.asarray(((theirs >= 0) & (theirs <= last)).all(0))

    def with_hu(self, hu: np.ndarray, *warnings: str) -> Volume:
        """The same geometry with other values."""
        return replace(self, hu=hu, warnings=(*self.warnings, *warnings))


@dataclass(frozen=True)
class Region:
    """A box of the volume, in its own indices."""

    slices: slice
    rows: slice
    columns: slice

    @property
    def box(self) -> tuple[slice, slice, slice]:
        return self.slices, self.rows, self.columns

    @property
    def shape(self) -> tuple[int, int, int]:
        slices, rows, columns = (side.stop - side.start for side in self.box)
        return slices, rows, columns


def from_array(array: np.ndarray, affine: np.ndarray, name: str = "", header: Any = None) -> Volume:
    """An array in any axis order, as nibabel gives it, with its affine (i, j, k, 1) -> RAS mm.

    Raises InputError when the array is no 3D image or the affine is no geometry.
    """
    name = name or "the image"
    affine = np.asarray(affine, float)
    if array.ndim != 3:
        raise InputError(f"{name} has {array.ndim} dimensions; give a single 3D CT.")
    if not np.isfinite(affine).all() or affine.shape != (4, 4):
        raise InputError(f"{name} has a broken affine (not 4 x 4 finite numbers); export it again with its geometry.")
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if steps.min() <= 0 or abs(np.linalg.det(affine[:3, :3] / np.where(steps > 0, steps, 1))) < 1e-3:
        raise InputError(f"{name} has a broken affine (its axes span no volume); export it again with its geometry.")
    order, flipped, _ = _closest_axes(affine)
    grid = SourceGrid(tuple(array.shape), affine, order, flipped, is_upright(affine), header)
    hu = _reorder(array, grid)
    turned = affine @ _index_map(grid)
    if grid.upright:
        return Volume(hu, turned, grid, name)
    if hu.dtype == np.uint8:  # labels
        return _resampled(hu, turned, grid, name)
    whole, told = to_int16(hu, name)  # numbers that wrapped cannot be interpolated
    return replace(_resampled(whole, turned, grid, name), warnings=told)


def is_upright(affine: np.ndarray) -> bool:
    """Whether the voxels of a grid, (i, j, k, 1) -> RAS mm, are the engine's; another one is resampled."""
    return _closest_axes(affine)[2] <= UPRIGHT_DEGREES and skew_degrees(affine) <= SKEW_DEGREES


def skew_degrees(affine: np.ndarray) -> float:
    """How far the axes of a grid are from right angles, at most; 0 for a right-angled one."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.abs(directions.T @ directions - np.eye(3))
    return float(np.degrees(np.arcsin(np.clip(cosines.max(), 0, 1))))


def to_source(values: np.ndarray, volume: Volume, within: Box | None = None) -> np.ndarray:
    """Labels (integer) or a map (float) on the volume's grid -> the input's own array order and shape.

    In memory as in files, i running fastest. Only the box of what is not 0 is moved, which lies in ``within``. Raises
    InputError for an array that is not on the volume's grid.
    """
    grid = volume.grid
    if values.shape != volume.hu.shape:
        given, ours = (" x ".join(map(str, shape)) for shape in (values.shape, volume.hu.shape))
        raise InputError(
            f"{volume.name} has {ours} slices, rows and columns; labels or a map of {given} are not on them."
        )
    if not grid.upright:
        values = _resampled_back(values, volume)
        within = None
    theirs = np.zeros(grid.shape, values.dtype, order="F")
    box = bounding_box(values, within)
    if box:
        _copy(values[box], _reorder(theirs, grid)[box])
    return theirs


def from_source(labels: np.ndarray, volume: Volume) -> np.ndarray:
    """Labels (uint8) in the input's own array order and shape -> the volume's grid: the inverse of ``to_source``."""
    grid = volume.grid
    theirs = _reorder(labels, grid)
    ours, box = blank(theirs.shape), bounding_box_across(theirs)
    if box:
        _copy(theirs[box], ours[box])
    if grid.upright:
        return ours
    slices, rows, columns = volume.hu.shape
    to_input = np.linalg.inv(grid.affine @ _index_map(grid)) @ volume.affine
    return _sampled(ours, to_input, (slices, rows, columns), 0.0)


def on_grid(array: np.ndarray, affine: np.ndarray, grid: SourceGrid) -> np.ndarray | None:
    """The array in the grid's order of axes, where its voxels are those of the grid; else None.

    affine: (i, j, k, 1) of ``array`` -> RAS mm
    """
    to_grid = np.linalg.inv(grid.affine) @ affine
    turn = np.rint(to_grid[:3, :3])
    if array.ndim != 3 or any((np.abs(turn).sum(axis) != 1).any() for axis in (0, 1)):
        return None
    order = np.abs(turn).argmax(1)  # the array's axis along each of the grid's
    flipped = turn.sum(1) < 0
    if tuple(array.shape[axis] for axis in order) != tuple(grid.shape):
        return None
    corners = np.array(np.meshgrid(*([0.0, n - 1.0] for n in array.shape), indexing="ij")).reshape(3, -1)
    exact = turn @ corners + np.where(flipped, np.array(grid.shape) - 1.0, 0.0)[:, None]
    if not np.abs(to_grid[:3, :3] @ corners + to_grid[:3, 3:] - exact).max() <= SAME_VOXELS:
        return None
    return array.transpose(order)[tuple(slice(None, None, -1) if flip else slice(None) for flip in flipped)]


def _closest_axes(affine: np.ndarray) -> tuple[tuple[int, int, int], tuple[bool, bool, bool], float]:
    """Which input axis runs along each of ours, whether backwards, and the largest angle in degrees."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    along = AXES_RAS @ directions  # (our axis, input axis)
    a, b, c = max(permutations(range(3)), key=lambda p: sum(abs(along[k, p[k]]) for k in range(3)))
    cosines = along[[0, 1, 2], [a, b, c]]
    flips = tuple(bool(cosine < 0) for cosine in cosines)
    degrees = float(np.degrees(np.arccos(np.clip(np.abs(cosines).min(), 0, 1))))
    return (a, b, c), (flips[0], flips[1], flips[2]), degrees


def _reorder(array: np.ndarray, grid: SourceGrid) -> np.ndarray:
    """A view of the array in our order."""
    axes = [slice(None, None, -1) if flip else slice(None) for flip in grid.flipped]
    return array.transpose(grid.order)[tuple(axes)]


def by_slices(array: np.ndarray) -> np.ndarray:
    """The array (slice, row, column) with each slice in one piece of memory: a copy where slices lie in each other."""
    slices, *within = (abs(stride) for stride in array.strides)
    return array if slices > max(within) else contiguous(array)


def contiguous(array: np.ndarray) -> np.ndarray:
    """The array (slice, row, column) in one piece."""
    if array.flags.c_contiguous:
        return array
    copy = np.empty(array.shape, array.dtype)
    _copy(array, copy)
    return copy


def _copy(values: np.ndarray, into: np.ndarray) -> None:
    """Between two orders of axes: in blocks of rows five times as fast as in one go."""
    for first in range(0, values.shape[1], 8):
        into[:, first : first + 8] = values[:, first : first + 8]


def _index_map(grid: SourceGrid) -> np.ndarray:
    """(4, 4): our index -> the input's index."""
    to_input = np.zeros((4, 4))
    to_input[3, 3] = 1
    for ours, (theirs, flip) in enumerate(zip(grid.order, grid.flipped, strict=True)):
        to_input[theirs, ours] = -1 if flip else 1
        to_input[theirs, 3] = grid.shape[theirs] - 1 if flip else 0
    return to_input


def _resampled(hu: np.ndarray, affine: np.ndarray, grid: SourceGrid, name: str) -> Volume:
    """An oblique or sheared volume on an upright, right-angled grid of like spacing that holds all of it.

    affine: (slice, row, column, 1) of ``hu`` -> RAS mm, of any kind that can be inverted.
    """
    steps = 1.0 / np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1)  # from plane to plane
    corners = np.array(np.meshgrid(*([-0.5, n - 0.5] for n in hu.shape), indexing="ij")).reshape(3, -1)
    positions = AXES_RAS @ (affine[:3, :3] @ corners + affine[:3, 3:])  # mm along our axes
    low, high = positions.min(1), positions.max(1)
    slices, rows, columns = (int(n) for n in np.ceil((high - low) / steps - 1e-6))
    if slices * rows * columns > MOST_GROWTH * hu.size + 1e6:
        raise InputError(f"{name} has axes far from right angles; export it again on a right-angled grid.")
    upright = np.eye(4)
    upright[:3, :3] = AXES_RAS.T * steps
    upright[:3, 3] = AXES_RAS.T @ (low + steps / 2)
    to_input = np.linalg.inv(affine) @ upright
    return Volume(_sampled(hu, to_input, (slices, rows, columns), NO_DATA_HU), upright, grid, name)


def _resampled_back(values: np.ndarray, volume: Volume) -> np.ndarray:
    """Labels or a map on the volume's grid -> the input's voxels, in our order of axes."""
    grid = volume.grid
    slices, rows, columns = (grid.shape[axis] for axis in grid.order)
    to_ours = np.linalg.inv(volume.affine) @ grid.affine @ _index_map(grid)
    return _sampled(values, to_ours, (slices, rows, columns), 0.0)


def _sampled(values: np.ndarray, matrix: np.ndarray, shape: tuple[int, int, int], outside: float) -> np.ndarray:
    """``values`` at the places ``matrix`` @ index of an array of ``shape``; in voxels, so that any affine will do.

    Numbers in between are interpolated, labels (unsigned) by the share of each; beyond the values there is ``outside``.
    """
    import SimpleITK as sitk

    x_first = matrix[np.ix_([2, 1, 0, 3], [2, 1, 0, 3])]  # ITK's indices run (column, row, slice)
    transform = sitk.AffineTransform(x_first[:3, :3].ravel().tolist(), x_first[:3, 3].tolist())
    labels = values.dtype.kind == "u"
    resample = sitk.ResampleImageFilter()
    resample.SetSize(shape[::-1])
    resample.SetTransform(transform)
    resample.SetInterpolator(sitk.sitkLabelLinear if labels else sitk.sitkLinear)
    if not labels:
        resample.SetOutputPixelType(sitk.sitkFloat32)  # ITK would cut whole numbers off, not round them
    resample.SetDefaultPixelValue(outside)
    sampled = sitk.GetArrayFromImage(resample.Execute(sitk.GetImageFromArray(np.ascontiguousarray(values))))
    return np.rint(sampled).astype(values.dtype) if values.dtype.kind in "iu" else sampled
