"""R.E.N.A.L. scores of kidneys and tumors built for each of them, whose parts are known from how they are built."""

from dataclasses import replace

import numpy as np
import pytest
from wpunet.contour import contour
from wpunet.extent import to_ras
from wpunet.labels import CYST, LEFT_KIDNEY, RIGHT_KIDNEY, TUMOR
from wpunet.measure import measure
from wpunet.nephrometry import score
from wpunet.structure import Line, Nephrometry, Part

STEP = 1.5
SHAPE = (100, 76, 150)  # slices to the feet, rows to the back, columns to the patient's left
MIDDLE = np.array([49.5, 37.5, 109.5])
AFFINE = np.array([[0, 0, -STEP, 60], [0, -STEP, 0, 50], [-STEP, 0, 0, 80], [0, 0, 0, 1.0]])
FAT, TISSUE_HU, TUMOR_HU = -100, 160, 80
KIDNEY_MM = (55.0, 27.0, 30.0)  # half axes along slices, rows, columns
SINUS = ((0.0, 0.0, 14.0), (22.0, 8.0, 18.0))  # opens to the patient's left: a right kidney; levels -22 to 22 mm


def ball(centre_mm, radius_mm):
    return ellipsoid(centre_mm, (radius_mm,) * 3)


def ellipsoid(centre_mm, half_axes_mm):
    """Centre in mm from the kidney's own: to the feet, to the back, to the patient's left."""
    grids = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    return (
        sum(
            (((grid - m) * STEP - c) / h) ** 2
            for grid, m, c, h in zip(grids, MIDDLE, centre_mm, half_axes_mm, strict=True)
        )
        <= 1
    )


def scan(tumor, *, kidney=None, sinus=True, value=RIGHT_KIDNEY, lesion=TUMOR):
    """The measures of a tumor (or another lesion) in or at a kidney with a sinus of fat."""
    tissue = ellipsoid((0, 0, 0), KIDNEY_MM) if kidney is None else kidney
    if sinus:
        tissue = tissue & ~ellipsoid(*SINUS)
    labels, hu = np.zeros(SHAPE, np.uint8), np.full(SHAPE, FAT, np.int16)
    labels[tissue], hu[tissue] = value, TISSUE_HU
    labels[tumor], hu[tumor] = lesion, TUMOR_HU
    return measure(labels, hu, AFFINE)[-1]


def at(score, name):
    part = getattr(score.nephrometry, name)
    return part.points, part.value


@pytest.mark.parametrize(("radius_mm", "points"), [(12.0, 1), (19.0, 1), (21.5, 2), (34.0, 2), (36.5, 3)])
def test_radius(radius_mm, points):
    found = scan(ball((0, 0, -30.0 - 0.6 * radius_mm), radius_mm))
    assert at(found, "radius") == (points, pytest.approx(2 * radius_mm, abs=STEP))


@pytest.mark.parametrize(("depth_mm", "points"), [(-12.0, 1), (-4.0, 1), (6.0, 2), (12.5, 3)])
def test_exophytic(depth_mm, points):
    """A ball of 12 mm whose centre lies so deep below the lateral surface.

    The truth is what lies outside the ellipsoid of the kidney. The hull of the tissue that is left goes straight across
    the tumor's bed, so that some more is outside.
    """
    tumor = ball((0, 0, -30.0 + depth_mm), 12.0)
    percent = 100 * np.count_nonzero(tumor & ~ellipsoid((0, 0, 0), KIDNEY_MM)) / np.count_nonzero(tumor)
    found = scan(tumor)
    assert at(found, "exophytic") == (points, pytest.approx(percent + 6, abs=8))
    assert found.outside_percent == found.nephrometry.exophytic.value
    assert found.to_surface.mm == pytest.approx(max(0.0, depth_mm - 12.0), abs=STEP)


@pytest.mark.parametrize(("gap_mm", "points"), [(9.0, 1), (5.5, 2), (2.0, 3), (-2.0, 3)])
def test_nearness(gap_mm, points):
    """The sinus reaches from 4 mm lateral of the middle to the medial side."""
    found = scan(ball((0, 0, -4.0 - gap_mm - 9.0), 9.0))
    assert at(found, "nearness") == (points, pytest.approx(max(0.0, gap_mm), abs=STEP))
    line = found.to_sinus
    assert line.mm == pytest.approx(np.linalg.norm(np.subtract(*line.ends_ras_mm)))


@pytest.mark.parametrize("step", [1.4, 1.5, 1.6, 1.8])
def test_fat_in_the_rim_of_a_kidney_is_no_sinus(step):
    """Kidneys are marked a little wide: their outermost pixels hold the fat around them, whatever a pixel's size."""
    tumor, tissue = ball((0, 0, -22.0), 9.0), ellipsoid((0, 0, 0), KIDNEY_MM) & ~ellipsoid(*SINUS)
    labels, hu = np.zeros(SHAPE, np.uint8), np.full(SHAPE, FAT, np.int16)
    labels[tissue], hu[tissue & ellipsoid((0, 0, 0), np.subtract(KIDNEY_MM, STEP))] = RIGHT_KIDNEY, TISSUE_HU
    labels[tumor], hu[tumor] = TUMOR, TUMOR_HU
    found = measure(labels, hu, AFFINE * [step / STEP, step / STEP, step / STEP, 1])[-1]
    assert found.to_sinus.mm == pytest.approx(9.0 * step / STEP, abs=step)
    assert at(found, "hilar")[0] == ""


@pytest.mark.parametrize(("back_mm", "letter"), [(-18.0, "a"), (0.0, "x"), (18.0, "p")])
def test_face(back_mm, letter):
    found = scan(ball((0, back_mm, -8.0), 8.0))
    letter_found, mm = at(found, "face")
    assert (letter_found, mm) == (letter, pytest.approx(-back_mm, abs=2 * STEP))


def test_face_is_told_against_the_kidney_with_its_lesions():
    tumor = ball((0, 22.0, -8.0), 20.0)
    organ = tumor | ellipsoid((0, 0, 0), KIDNEY_MM) & ~ellipsoid(*SINUS)
    back = (np.argwhere(tumor) - np.argwhere(organ).mean(0)).mean(0)[1]
    assert at(scan(tumor), "face") == ("p", pytest.approx(-back * STEP))


@pytest.mark.parametrize(
    ("level_mm", "radius_mm", "points", "percent"),
    [
        (40.0, 9.0, 1, 0.0),
        (-40.0, 9.0, 1, 0.0),
        (23.5, 9.0, 2, 24.0),  # less than half within the line
        (16.0, 9.0, 3, 80.0),  # more than half
        (-12.0, 6.0, 3, 100.0),  # all between the lines
        (22.0, 24.0, 3, 45.0),  # less than half, but across the midline
    ],
)
def test_location(level_mm, radius_mm, points, percent):
    found = scan(ball((level_mm, 0, -22.0), radius_mm))
    assert at(found, "location") == (points, pytest.approx(percent, abs=12))


@pytest.mark.parametrize(("place_mm", "letter"), [((0, -15.0, 27.0), "h"), ((0, 0, -30.0), ""), ((40.0, 0, 0), "")])
def test_hilar(place_mm, letter):
    assert scan(ball(place_mm, 8.0)).nephrometry.hilar.points == letter


def test_the_parts_make_the_score():
    found = scan(ball((38.0, 12.0, -8.0), 8.0)).nephrometry
    parts = (found.radius, found.exophytic, found.nearness, found.location)
    assert [part.points for part in parts] == [1, 2, 1, 1]
    assert (found.total, found.text, found.missing) == (5, "5p", "")
    assert replace(found, hilar=Part("h", 0.0, "mm")).text == "5ph"
    assert Nephrometry().text == ""
    assert Nephrometry().total is None


def test_c_index():
    """Simmons: from the kidney's centre to the tumor's, over the tumor's radius."""
    found = scan(ball((40.0, 0, -10.0), 10.0))
    assert found.nephrometry.c_index == pytest.approx(np.hypot(40.0, 10.0) / 10.0, rel=0.08)


def test_the_c_index_counts_lesions_to_the_kidney():
    tumor, level = ball((0, 0, -34.0), 16.0), 49
    organ = (ellipsoid((0, 0, 0), KIDNEY_MM) & ~ellipsoid(*SINUS)) | tumor
    ways = [np.argwhere(one[level]).mean(0) for one in (organ, tumor)]
    found = scan(tumor)
    radius_mm = found.axial_diameter.mm / 2
    assert found.nephrometry.c_index == pytest.approx(np.linalg.norm(ways[0] - ways[1]) * STEP / radius_mm, rel=0.02)


def test_the_kidneys_surface_is_that_of_a_lesion_where_one_lies_before_it():
    tumor, cyst = ball((0, 0, -20.0), 5.0), ellipsoid((0, 0, -33.0), (40.0, 34.0, 25.0))
    labels, hu = np.zeros(SHAPE, np.uint8), np.full(SHAPE, FAT, np.int16)
    for mask, value in ((ellipsoid((0, 0, 0), KIDNEY_MM), RIGHT_KIDNEY), (cyst, CYST), (tumor, TUMOR)):
        labels[mask], hu[mask] = value, TISSUE_HU
    found = {one.kind: one for one in measure(labels, hu, AFFINE)}
    assert found["cyst"].to_surface.mm == 0
    assert found["tumor"].to_surface.mm > 15  # it is 5 mm to where the kidney alone would end


def test_the_c_index_goes_by_the_axial_radius():
    found = scan(ellipsoid((32.0, 0, -10.0), (20.0, 10.0, 10.0)))
    assert found.diameter.mm > 1.7 * found.axial_diameter.mm
    assert found.nephrometry.c_index == pytest.approx(np.hypot(32.0, 10.0) / 10.0, rel=0.08)


LIMITS = {
    "radius": [(40.0, 1), (40.1, 2), (69.9, 2), (70.0, 3)],
    "exophytic": [(50.0, 1), (49.9, 2), (1.0, 2), (0.9, 3)],
    "nearness": [(7.0, 1), (6.9, 2), (4.1, 2), (4.0, 3)],
}


@pytest.mark.parametrize(("part", "value", "points"), [(part, *one) for part in LIMITS for one in LIMITS[part]])
def test_points_change_where_the_authors_say(part, value, points):
    """Kutikov and Uzzo: up to 40, below 70; half and more; 7 and more, more than 4."""
    given = {"radius": 20.0, "exophytic": 60.0, "nearness": 10.0} | {part: value}
    tissue = ellipsoid((0, 0, 0), KIDNEY_MM) & ~ellipsoid(*SINUS)
    tumor = ball((40.0, 0, -10.0), 8.0)
    hu = np.where(tissue, TISSUE_HU, FAT).astype(np.int16)
    kidney = contour(tuple(slice(0, n) for n in SHAPE), tissue & ~tumor, tumor, hu, AFFINE)
    way = Line(given["nearness"], ((0, 0, 0), (0, 0, given["nearness"])))
    found = score(kidney, kidney.lesions, given["radius"], 20.0, given["exophytic"], way)
    assert (getattr(found, part).points, getattr(found, part).value) == (points, value)


def test_a_left_kidney_and_a_turned_body_score_alike():
    tumor = ball((20.0, 15.0, -15.0), 12.0)
    right = scan(tumor).nephrometry
    assert scan(tumor, value=LEFT_KIDNEY).nephrometry == right


def test_without_a_sinus_there_is_no_score():
    found = scan(ball((0, 0, -25.0), 10.0), sinus=False)
    assert found.to_sinus is None
    assert found.nephrometry.text == ""
    assert found.nephrometry.total is None
    assert "sinus" in found.nephrometry.missing
    assert found.nephrometry.radius.points == 1


def test_where_the_scan_cuts_the_kidney_there_is_no_score():
    tissue = ellipsoid((0, 0, 0), (200.0, 27.0, 30.0))
    found = scan(ball((0, 0, -25.0), 10.0), kidney=tissue)
    assert found.nephrometry == Nephrometry(missing="the scan cuts the kidney or the tumor")
    assert scan(ball((0, 0, -25.0), 10.0), kidney=tissue, lesion=CYST).nephrometry is None


@pytest.mark.parametrize("urine_hu", [5, 600])  # the latter with contrast that the kidney has excreted
def test_a_sinus_without_fat_is_told_by_its_urine(urine_hu):
    tissue = ellipsoid((0, 0, 0), KIDNEY_MM)
    labels, hu = np.zeros(SHAPE, np.uint8), np.full(SHAPE, FAT, np.int16)
    labels[tissue], hu[tissue] = RIGHT_KIDNEY, TISSUE_HU
    hu[ellipsoid(*SINUS) & tissue] = urine_hu
    tumor = ball((0, 0, -4.0 - 5.5 - 9.0), 9.0)
    labels[tumor], hu[tumor] = TUMOR, TUMOR_HU
    assert at(measure(labels, hu, AFFINE)[-1], "nearness") == (2, pytest.approx(5.5, abs=STEP))


def block(shape, *sides):
    """A box of an array of ``shape``: first and one past the last along each axis."""
    made = np.zeros(shape, bool)
    made[tuple(slice(*side) for side in sides)] = True
    return made


def middle(mask, affine, start=(0, 0, 0)):
    return to_ras(np.argwhere(mask).mean(0)[None] + start, affine)[0]


def test_the_coarse_grid_lies_where_the_ct_lies():
    """Voxels of 0.5 mm, of which every third one is kept; all parts are even about their middle."""
    shape, start, affine = (90, 90, 90), (7, 11, 20), AFFINE @ np.diag([1 / 3, 1 / 3, 1 / 3, 1])
    kidney, fat = block(shape, (6, 84), (9, 81), (9, 81)), block(shape, (30, 60), (36, 54), (27, 45))
    hu = np.where(fat, FAT, TISSUE_HU).astype(np.int16)
    box = tuple(slice(first, first + n) for first, n in zip(start, shape, strict=True))
    found = contour(box, kidney, np.zeros(shape, bool), hu, affine)
    assert found.steps == (3, 3, 3)
    for mask, truth in ((found.tissue, kidney), (found.sinus, fat), (found.thinned(kidney, box), kidney)):
        assert middle(mask, found.affine) == pytest.approx(middle(truth, affine, start), abs=1e-6)


def whole(shape, kidney, affine=AFFINE):
    """The contour of tissue alone that fills a CT of ``shape`` but for fat."""
    hu = np.where(kidney, TISSUE_HU, FAT).astype(np.int16)
    return contour(tuple(slice(0, n) for n in shape), kidney, np.zeros(shape, bool), hu, affine)


@pytest.mark.parametrize(("last", "opens"), [(15, False), (16, True)])
def test_the_sinus_opens_where_less_than_6_mm_of_tissue_are_before_it(last, opens):
    """Pixels of 3 mm: from the middle of that in column 16 it is 6 mm to the first outside, in column 18."""
    shape = (20, 20, 20)
    kidney = block(shape, (2, 18), (2, 18), (2, 18)) & ~block(shape, (8, 12), (6, 14), (8, last + 1))
    found = whole(shape, kidney, AFFINE @ np.diag([2, 2, 2, 1]))
    assert found.steps == (1, 1, 1)
    assert found.has_sinus
    assert found.hilum.any() == opens


@pytest.mark.parametrize(("side", "is_sinus"), [(2, False), (3, True)])  # 27 and 91 mm3
def test_a_speck_of_fat_is_no_sinus(side, is_sinus):
    shape = (20, 20, 20)
    kidney = block(shape, (2, 18), (2, 18), (2, 18)) & ~block(shape, *[(8, 8 + side)] * 3)
    assert whole(shape, kidney).sinus.any() == is_sinus


@pytest.mark.parametrize(
    ("slice_mm", "between", "one"),
    [
        *((1.0, 5, True), (1.0, 6, False), (1.5, 3, True), (1.5, 4, False), (2.5, 2, True)),
        *((3.0, 1, True), (3.0, 2, False), (5.0, 1, True), (5.0, 2, False), (6.0, 1, True)),
    ],
)
def test_fat_no_farther_apart_than_5_mm_or_a_slice_is_one_sinus(slice_mm, between, one):
    """Whatever the slices: from edge to edge, so that a renal column does not halve the sinus of a CT of 3 mm."""
    shape = (40, 40, 40)
    kidney, above = block(shape, (2, 38), (2, 38), (2, 38)), block(shape, (5, 15), (15, 25), (15, 25))
    below = block(shape, (15 + between, 21 + between), (15, 25), (15, 25))
    hu = np.where(above | below, FAT, TISSUE_HU).astype(np.int16)
    affine = AFFINE @ np.diag([slice_mm / STEP, 1, 1, 1])
    found = contour(tuple(slice(0, n) for n in shape), kidney, np.zeros(shape, bool), hu, affine)
    assert (found.sinus & above).any()
    assert (found.sinus & below).any() == one


@pytest.mark.parametrize(("levels", "is_sinus"), [(7, False), (28, True)])
def test_what_looks_like_urine_counts_a_quarter_of_fat(levels, is_sinus):
    """A cyst that is not marked looks so. One and a half times as much as fat, and seven times."""
    shape = (60, 40, 40)
    kidney, fat, urine = (
        block(shape, (2, 58), (2, 38), (2, 38)),
        block(shape, (5, 9), (15, 25), (15, 25)),
        block(shape, (25, 25 + levels), (15, 25), (15, 25)),
    )
    hu = np.where(fat, FAT, np.where(urine, 0, TISSUE_HU)).astype(np.int16)
    found = contour(tuple(slice(0, n) for n in shape), kidney, np.zeros(shape, bool), hu, AFFINE)
    assert (found.sinus & urine).any() == is_sinus
    assert (found.sinus & fat).any() != is_sinus


def test_a_tumor_away_from_its_kidney_has_no_score():
    found = scan(ball((0, 0, -60.0), 10.0))
    assert found.nephrometry == Nephrometry(missing="the tumor does not touch the kidney")
    assert found.outside_percent == 100


def test_where_a_tumor_fills_the_sinus_opening_its_location_is_not_told():
    """It was scored as polar: no slice was seen in which the sinus opens."""
    found = scan(ball((0, 0, 26.0), 26.0)).nephrometry
    assert found.missing == "the sinus has no opening"
    assert found.location is None
    assert found.hilar is None
    assert found.radius.points == 2
    assert found.nearness.points == 3
