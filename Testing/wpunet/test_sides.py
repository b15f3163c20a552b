"""Left and right are told by the spine, wherever the patient lies and whatever the kidneys are like."""

import numpy as np
import pytest
from wpunet.labels import KIDNEY, LEFT_KIDNEY, TUMOR
from wpunet.sides import body_middle, midline, split_sides

from Testing.wpunet.anatomy import LEFT, RIGHT, SHAPE, body, empty, kidneys, put


def at(labels, centre):
    return labels[centre]


def test_both_kidneys_get_their_side():
    labels, notes = split_sides(kidneys(), body())
    assert at(labels, RIGHT) == KIDNEY
    assert at(labels, LEFT) == LEFT_KIDNEY
    assert set(np.unique(labels)) == {0, KIDNEY, LEFT_KIDNEY}
    assert notes == ()


@pytest.mark.parametrize(("spine", "side"), [(100, KIDNEY), (30, LEFT_KIDNEY)])
def test_the_spine_decides_and_not_the_middle_of_the_picture(spine, side):
    labels = put(empty(), 1, (45, 60, 65), (28, 13, 13))
    found, _ = split_sides(labels, body(spine_column=spine))
    assert at(found, (45, 60, 65)) == side


def test_a_spine_that_bends_is_looked_for_at_the_level_of_the_body():
    hu = body(spine_column=60)
    hu[45:] = body(spine_column=100)[45:]
    labels = put(empty(), 1, (68, 60, 80), (20, 13, 13))
    assert at(split_sides(labels, hu)[0], (68, 60, 80)) == KIDNEY


def test_the_tumor_keeps_its_label():
    labels = put(kidneys(), TUMOR, (45, 60, 125), (8, 8, 8))
    found, _ = split_sides(labels, body())
    assert np.array_equal(found == TUMOR, labels == TUMOR)
    assert at(found, (45, 60, 105)) == LEFT_KIDNEY


def test_a_horseshoe_kidney_is_divided_at_the_spine_and_told():
    labels = kidneys()
    labels[60:66, 55:62, RIGHT[2] : LEFT[2]] = 1
    found, notes = split_sides(labels, body())
    assert at(found, RIGHT) == KIDNEY
    assert at(found, LEFT) == LEFT_KIDNEY
    assert np.array_equal(found > 0, labels > 0)
    assert "horseshoe" in notes[0]


def test_crossed_ectopia_both_on_one_side():
    labels = put(put(empty(), 1, (25, 60, 40), (18, 12, 12)), 1, (68, 55, 44), (18, 12, 12))
    found, _ = split_sides(labels, body())
    assert set(np.unique(found)) == {0, KIDNEY}


def test_without_bone_the_outline_of_the_body_decides():
    hu = body()
    hu[hu == 400] = 40
    assert abs(midline(hu, slice(0, 90)) - 79.5) < 1
    assert body_middle(hu) == (79.5, 140.0)
    assert midline(np.full(SHAPE, -1000, np.int16), slice(0, 90)) == SHAPE[2] / 2


def test_a_small_piece_is_told_by_the_spine_beside_the_kidneys_not_by_that_of_its_own_level():
    hu, labels = body(), kidneys()
    level = LEFT[0]
    hu[level][hu[level] == 400] = 90  # a disc; the brightest and most varied at this level is the left kidney
    left = put(empty(), 1, LEFT, (28, 13, 13))[level] == 1
    hu[level][left] = np.random.default_rng(1).integers(160, 500, np.count_nonzero(left))
    piece = (level, LEFT[1], LEFT[2] - 6)
    labels = put(labels, 0, LEFT, (4, 8, 8))  # its sinus
    labels[piece] = 1
    assert midline(hu, slice(level, level + 1)) > piece[2]
    found, _ = split_sides(labels, hu)
    assert at(found, piece) == LEFT_KIDNEY


def test_nothing_has_no_side():
    labels, notes = split_sides(empty(), body())
    assert not labels.any()
    assert notes == ()


def test_sides_of_real_patients(data):
    """Official masks: bodies of cases 0 and 166, and a machine's left and right on a third CT."""
    from wpunet import files

    for case in ("case_00000", "case_00166"):
        folder = data / "kits19" / "data" / case
        hu, truth = (files.read(folder / name).hu for name in ("imaging.nii.gz", "segmentation.nii.gz"))
        found, notes = split_sides(truth.astype(np.uint8), hu)
        columns = [np.nonzero(found == value)[2].mean() for value in (KIDNEY, LEFT_KIDNEY)]
        assert columns[0] < columns[1]
        assert notes == ()
    hu = files.read(data / "ct_3mm" / "imaging.nii.gz").hu
    machine = files.read(data / "ct_3mm" / "machine_segmentation.nii.gz").hu  # 2 right, 3 left
    found, _ = split_sides(np.isin(machine, (2, 3)).astype(np.uint8), hu)
    assert np.array_equal(found == KIDNEY, machine == 2)
    assert np.array_equal(found == LEFT_KIDNEY, machine == 3)


def tube(hu, column, value, row=66, radius=10):
    """Something bright that runs along the body."""
    rows, columns = np.ogrid[: hu.shape[1], : hu.shape[2]]
    hu[:, (rows - row) ** 2 + (columns - column) ** 2 < radius**2] = value
    return hu


@pytest.mark.parametrize("column", [20, 35, 125, 140])
@pytest.mark.parametrize("value", [300, 400, 1200, 20000])
def test_a_bowel_full_of_contrast_is_no_spine(column, value):
    """Nor is padding, which is no tissue at all."""
    hu = body()
    random = np.random.default_rng(0)
    hu[hu == 400] += random.integers(-200, 200, (hu == 400).sum()).astype(np.int16)  # bone varies within
    assert abs(midline(tube(hu, column, value), slice(20, 70)) - 80) < 6


@pytest.mark.parametrize(
    ("column", "row", "radius", "value", "noise"),
    [(55, 66, 14, 400, 0), (20, 66, 10, 400, 200), (55, 66, 14, 3000, 200), (60, 30, 14, 400, 200)],
    ids=["bowel with contrast near the middle", "bone far from it", "metal", "bone in front"],
)
def test_a_spine_is_no_larger_thing_beside_it(column, row, radius, value, noise):
    hu, random = body(), np.random.default_rng(0)
    hu[hu == 400] += random.integers(-200, 200, np.count_nonzero(hu == 400)).astype(np.int16)
    there = tube(np.zeros_like(hu), column, 1, row, radius) > 0
    hu[there] = value + random.integers(-noise, noise + 1, np.count_nonzero(there))
    assert abs(midline(hu, slice(20, 70)) - 80) < 6


def test_a_spine_goes_on_from_slice_to_slice():
    hu = body()
    hu[:, 76:82, 72:88] = 40  # a thinner one
    hu[:45, 52:88, 50:66] = 400
    assert abs(midline(hu, slice(0, 90)) - 80) < 6


def test_a_kidney_that_reaches_a_little_across_the_spine_is_not_divided():
    labels = put(empty(), 1, (45, 60, 72), (28, 13, 13))
    found, notes = split_sides(labels, body())
    assert 0.05 < (labels[:, :, 80:] > 0).sum() / (labels > 0).sum() < 0.2
    assert np.array_equal(found, labels)
    assert notes == ()


def test_padding_around_a_round_field_of_view_is_no_spine():
    hu = body()
    rows, columns = np.ogrid[: hu.shape[1], : hu.shape[2]]
    hu[:, (rows - 50) ** 2 + (columns - 80) ** 2 > 62**2] = 32767
    labels, notes = split_sides(kidneys(), hu)
    assert at(labels, RIGHT) == KIDNEY
    assert at(labels, LEFT) == LEFT_KIDNEY
    assert notes == ()


def test_two_kidneys_of_like_size_on_one_side_are_told():
    labels = put(put(empty(), 1, (25, 60, 40), (18, 12, 12)), 1, (68, 55, 44), (18, 12, 12))
    _, notes = split_sides(labels, body())
    assert "Two kidneys of like size lie on the right side" in notes[0]


def test_two_kidneys_beside_the_bodys_middle_do_not_say_that_the_spine_was_missed():
    labels = put(put(empty(), 1, (22, 50, 72), (18, 12, 10)), 1, (68, 50, 87), (18, 12, 10))
    found, notes = split_sides(labels, body(spine_column=130))
    assert set(np.unique(found)) == {0, KIDNEY}
    assert "Two kidneys of like size lie on the right side" in notes[0]


def test_where_the_spine_seems_beside_both_kidneys_the_middle_of_the_body_decides():
    hu = body()
    hu[hu == 400] = 40
    labels, notes = split_sides(kidneys(), tube(hu, 140, 400, radius=8))
    assert at(labels, RIGHT) == KIDNEY
    assert at(labels, LEFT) == LEFT_KIDNEY
    assert "No spine was found between the kidneys" in notes[0]


def test_a_third_kidney_is_told():
    labels = put(kidneys(), 1, (75, 30, 40), (10, 13, 13))
    labels = put(labels, 1, (75, 30, 40), (14, 16, 16))
    _, notes = split_sides(labels, body())
    assert "3 bodies of a kidney's size were found (a transplant?)" in notes[0]
