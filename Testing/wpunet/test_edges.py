"""A kidney is cut where the data end: at the array's border, in an oblique grid, at padding or a mask."""

import numpy as np
import pytest
from wpunet import edges, files, measure
from wpunet.boxes import bounding_box
from wpunet.volume import from_array

from Testing import phantom
from Testing.wpunet import patient
from Testing.wpunet.test_geometry import nifti, turned

AT = 25  # slice through both kidneys


def cut_names(report):
    return {f"{one['side']} {one['kind']}" for one in report["structures"] if one["touches_border"]}


def padded(number):
    hu = patient.hu()
    hu[AT:] = number
    return hu


def round_field(number):
    """A round field of view that runs through the left kidney."""
    hu = patient.hu()
    y, x = np.mgrid[: hu.shape[1], : hu.shape[2]]
    hu[:, np.hypot((y - 60) * 3, (x - 40) * 3) > 120] = number
    return hu


def masked(number):
    """A mask that leaves a box, which cuts the right kidney's outer half off."""
    hu = np.full_like(patient.hu(), number)
    hu[4:-4, 8:-8, 38:-20] = patient.hu()[4:-4, 8:-8, 38:-20]
    return hu


CUT = {
    "array": (patient.hu()[:AT], None, {"right kidney", "left kidney"}),
    "blank slices of -1024": (padded(-1024), None, {"right kidney", "left kidney"}),
    "blank slices of -2000": (padded(-2000), None, {"right kidney", "left kidney"}),
    "round field of view": (round_field(-1024), None, {"left kidney"}),
    "mask of -1024": (masked(-1024), None, {"right kidney"}),
    "oblique": (None, patient.affine_lps(turn=turned(15, (1, 0, 0))), {"right kidney", "left kidney"}),
    "sheared": (None, patient.affine_lps(step=(0, 1.8, 5), origin=(-175.5, -172.0, -107.5)), None),
}


@pytest.mark.parametrize("kind", CUT)
def test_a_cut_is_told(told, tmp_path, kind):
    hu, matrix, expected = CUT[kind]
    if hu is None:
        hu = patient.hu(matrix)[:AT]
        expected = {"right kidney", "left kidney"}
    report = told(nifti(tmp_path / "ct.nii", matrix, hu=hu))
    assert cut_names(report) >= expected
    assert {name for name in cut_names(report) if name.endswith("kidney")} == expected
    for name in expected:
        assert f"The {name} is cut by the edge of the scan; its volume is a lower bound." in report["warnings"]


@pytest.mark.parametrize("number", [-512, -1024, -2000])
def test_whole_kidneys_are_not(told, tmp_path, number):
    """Air that was cut off at one number, lungs in it, is no end of the data next to a kidney."""
    hu = patient.hu().clip(max(number, -1024))
    hu[-3:] = number
    assert cut_names(told(nifti(tmp_path / "ct.nii", hu=hu))) == set()
    matrix = patient.affine_lps(turn=turned(15, (1, 0, 0)))
    assert cut_names(told(nifti(tmp_path / "turned.nii", matrix, hu=patient.hu(matrix).clip(-512)))) == set()


def test_the_real_case_is_cut_nowhere(data):
    """Official masks of whole kidneys, in CT whose air was cut off at -512 HU."""
    for case in ("case_00166",):
        folder = data / "kits19" / "data" / case
        volume, truth = files.read(folder / "imaging.nii.gz"), files.read(folder / "segmentation.nii.gz").hu
        assert not edges.DataEnd(volume).cuts(truth > 0)
        volume.hu[: int(np.flatnonzero(truth.any((1, 2)))[10])] = -1024
        assert edges.DataEnd(volume).cuts((truth > 0) & (volume.hu > -1024))


@pytest.fixture(scope="module")
def made():
    return phantom.make(seed=5, shape=(60, 128, 128), spacing=(4.0, 3.0, 3.0))


def test_a_box_that_was_looked_at_cuts_what_reaches_its_sides(made):
    volume = from_array(made.hu, made.affine, "ct")
    kidney = made.labels == 1
    box = bounding_box(kidney)
    inside = tuple(slice(side.start - 2, side.stop + 2) for side in box)
    assert not edges.DataEnd(volume, inside).cuts(kidney)
    for axis in range(3):
        for cut in (slice(inside[axis].start, box[axis].stop - 3), slice(box[axis].start + 3, inside[axis].stop)):
            part = tuple(cut if at == axis else side for at, side in enumerate(inside))
            left = np.zeros_like(kidney)
            left[part] = kidney[part]
            assert edges.DataEnd(volume, part).cuts(left)
            assert not edges.DataEnd(volume).cuts(left)


@pytest.mark.parametrize(("from_voxel", "cut"), [(0, True), (0.5, False), (1, False)])
@pytest.mark.parametrize("from_the_end", [False, True])
def test_what_reaches_the_outermost_voxels_of_an_oblique_ct_is_cut(from_the_end, from_voxel, cut):
    """Beyond their middles the volume holds no data, so nothing is marked there; half way on the next ones begin."""
    matrix = np.diag([-1.0, -1, 1, 1]) @ patient.affine_lps(turn=turned(15, (1, 0, 0)))
    volume = from_array(patient.hu().T, matrix, "ct")
    to_input = np.linalg.inv(matrix) @ volume.affine
    theirs = np.moveaxis(np.indices(volume.hu.shape), 0, -1) @ to_input[:3, :3].T + to_input[:3, 3]
    depth = volume.grid.shape[2] - 1 - theirs[..., 2] if from_the_end else theirs[..., 2]
    inside = (np.abs(theirs[..., :2] - [59, 45]) < 2).all(-1)  # too little to be told by what it borders on
    mask = inside & (depth >= from_voxel) & (depth < 9)
    assert edges.DataEnd(volume).cuts(mask) == cut
    few = np.zeros_like(mask)
    for count, place in enumerate(np.argwhere(mask & (depth < 0.5)), 1):
        few[tuple(place)] = True
        assert edges.DataEnd(volume).cuts(few) == (count >= 5)


def test_a_few_blank_slices_within_a_kidney_cut_it(made):
    hu, kidney = made.hu.copy(), made.labels == 1
    levels = bounding_box(kidney)[0]
    middle = (levels.start + levels.stop) // 2
    hu[middle : middle + 2] = -1024
    volume = from_array(hu, made.affine, "ct")
    above, below = kidney.copy(), kidney.copy()
    above[middle:], below[: middle + 2] = False, False
    assert edges.DataEnd(volume).cuts(above)
    assert edges.DataEnd(volume).cuts(below)


@pytest.mark.parametrize("degrees", [0, 15])
def test_where_data_end_beside_a_tumor_there_is_no_gas_and_nothing_soft(degrees):
    """A ball of tumor in soft tissue, of which the outer third lies where no data were taken."""
    hu = np.random.default_rng(1).integers(40, 80, (40, 60, 80)).astype(np.int16)
    hu[:, :, :20] = -1024
    volume = from_array(hu.T, np.diag([-3.0, -3, 3, 1]) @ turned(degrees, (0, 0, 1)), "ct")
    ends = edges.DataEnd(volume)
    seen, middle = ends.seen(tuple(slice(0, n) for n in volume.hu.shape)), volume.hu.shape[1] // 2
    for end in np.flatnonzero(seen[20, middle])[[2, -3]]:  # at padding; at the border, beyond which it is when turned
        away = np.linalg.norm(np.moveaxis(np.indices(seen.shape), 0, -1) - [20, middle, end], axis=-1)
        labels = np.where((away < 6) & seen, 2, 0).astype(np.uint8)
        (tumor,) = measure.measure(labels, volume.hu, volume.affine, ends=ends)
        assert (tumor.gas_percent, tumor.soft_percent) == (0, 100)
    bowel = np.where(seen & (away > 7), -1000, volume.hu)
    assert measure.measure(labels, bowel, volume.affine, ends=ends)[0].gas_percent > 40


def block_in_noise():
    """HU of which none is common, in slices of 2 mm and pixels of 1 mm, and a block in their middle."""
    hu = np.random.default_rng(0).integers(-200, 200, (30, 80, 80)).astype(np.int16)
    block = np.zeros(hu.shape, bool)
    block[8:24, 20:56, 32:60] = True
    return hu, block, np.array([[0, 0, -1.0, 0], [0, -1.0, 0, 0], [-2.0, 0, 0, 0], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("slices", "rows", "cut"), [(slice(10, 22), slice(26, 50), False), (slice(30), slice(10, 70), True)]
)
def test_an_area_of_one_number_is_padding_where_it_fills_some_of_the_border(slices, rows, cut):
    """2 % of the volume's faces, and 22 %."""
    hu, block, affine = block_in_noise()
    hu[slices, rows, :30] = -1000
    volume = from_array(hu.T, affine[:, [2, 1, 0, 3]], "ct")
    assert volume.spacing == (2.0, 1.0, 1.0)
    assert edges.DataEnd(volume).cuts(block) == cut


def test_thin_slices_that_are_blank_cut_what_lies_beside_them():
    hu, block, affine = block_in_noise()
    assert not edges.DataEnd(from_array(hu.T, affine[:, [2, 1, 0, 3]], "ct")).cuts(block)
    hu[14:16] = -1024
    volume = from_array(hu.T, affine[:, [2, 1, 0, 3]], "ct")
    for part in (slice(14), slice(16, None)):
        left = np.zeros_like(block)
        left[part] = block[part]
        assert edges.DataEnd(volume).cuts(left)
