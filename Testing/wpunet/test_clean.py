"""Each clean-up rule does its work when on, nothing when off, and leaves unusual anatomy alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from wpunet.bodies import bodies
from wpunet.clean import CleanRules, clean
from wpunet.errors import InputError
from wpunet.labels import CYST

from Testing.wpunet.anatomy import LEFT, RIGHT, SPACING, empty, kidneys, ml, put

OFF = CleanRules().without(["all"])


def cleaned(labels, rules=None):
    return clean(labels, SPACING, rules or CleanRules())


def hole(labels):
    labels[LEFT[0] - 2 : LEFT[0] + 2, LEFT[1], LEFT[2]] = 0


def island(labels):
    put(labels, 1, (20, 20, 80), (4, 4, 4))


def flat_island(labels):
    put(labels, 1, (10, 30, 80), (3, 25, 25))


def third_kidney(labels):
    put(labels, 1, (45, 30, 80), (14, 9, 9))


def orphan(labels):
    put(labels, 2, (20, 30, 80), (14, 14, 14))


def speck(labels):
    labels[LEFT[0], LEFT[1], LEFT[2]] = 2


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("holes", hole),
        ("islands", island),
        ("islands", flat_island),
        ("pair", third_kidney),
        ("specks", speck),
    ],
)
def test_a_rule_mends_its_fault_and_only_when_on(rule, fault):
    good = kidneys()
    bad = good.copy()
    fault(bad)
    before = bad.copy()
    assert np.array_equal(cleaned(bad)[0], good)
    assert np.array_equal(cleaned(bad, replace(OFF, **{rule: True}))[0], good)
    assert np.array_equal(cleaned(bad, OFF)[0], bad)
    assert np.array_equal(bad, before)  # the input is left as it was


@pytest.mark.parametrize(("hu", "filled"), [(-95.0, False), (-45.0, False), (10.0, True), (-900.0, True)])
def test_fat_that_a_kidney_encloses_is_its_sinus(hu, filled):
    labels = kidneys()
    hole(labels)
    ct = np.full(labels.shape, -100.0, np.float32)
    ct[labels > 0] = 150.0
    ct[(labels == 0) & (kidneys() > 0)] = hu
    found = clean(labels, SPACING, replace(OFF, holes=True), ct)[0]
    assert np.array_equal(found, kidneys() if filled else labels)


def test_fat_that_a_tumor_encloses_is_tumor():
    whole = put(kidneys(), 2, LEFT, (8, 8, 8))
    labels = whole.copy()
    hole(labels)
    ct = np.full(labels.shape, -100.0, np.float32)
    assert np.array_equal(clean(labels, SPACING, replace(OFF, holes=True), ct)[0], whole)


def test_a_tumor_far_from_any_kidney_goes():
    labels = kidneys(left=False)
    orphan(labels)
    only_orphans = CleanRules(holes=False, islands=False, pair=False, specks=False)
    found, notes, _ = cleaned(labels, only_orphans)
    assert np.array_equal(found, kidneys(left=False))
    assert "far from any kidney" in notes[0]
    assert np.array_equal(cleaned(labels, CleanRules().without(["orphans", "pair"]))[0], labels)


@pytest.mark.parametrize(("axis", "voxels", "stays"), [(0, 1, True), (0, 2, False), (2, 6, True), (2, 7, False)])
def test_how_far_a_tumor_is_from_its_kidney_is_told_in_mm(axis, voxels, stays):
    """Within 5 mm: one slice of 4 mm or six columns of 0.8 mm from centre to centre."""
    labels = np.zeros((20, 20, 40), np.uint8)
    labels[4:8, 5:9, 5:9] = 1
    side = [slice(5, 8), slice(6, 8), slice(6, 8)]
    side[axis] = slice((8, 9, 9)[axis] - 1 + voxels, (8, 9, 9)[axis] + 2 + voxels)
    labels[tuple(side)] = 2
    found = clean(labels, (4.0, 0.8, 0.8), replace(OFF, orphans=True)).labels
    assert (found == 2).any() == stays


def test_what_a_tumor_encloses_keeps_what_it_is_but_for_holes():
    labels = put(kidneys(), 2, LEFT, (8, 8, 8))
    put(labels, CYST, LEFT, (4, 4, 4))
    assert np.array_equal(cleaned(labels, replace(OFF, holes=True))[0], labels)


@pytest.mark.parametrize("slice_mm", [5.0, 6.0, 10.0])
def test_a_tumor_on_the_pole_of_its_kidney_is_near_whatever_the_slices(slice_mm):
    labels = put(empty(), 1, RIGHT, (10, 12, 12))
    labels[: RIGHT[0]] = 0
    labels[RIGHT[0] - 4 : RIGHT[0], RIGHT[1] - 4 : RIGHT[1] + 4, RIGHT[2] - 4 : RIGHT[2] + 4] = 2
    found = clean(labels, (slice_mm, 2.0, 2.0), replace(OFF, orphans=True))
    assert np.array_equal(found.labels, labels)


def test_a_tumor_that_has_eaten_its_kidney_stays():
    labels = put(empty(), 2, RIGHT, (25, 20, 20))
    assert np.array_equal(cleaned(labels)[0], labels)


def test_a_kidney_in_two_pieces_keeps_both():
    labels = kidneys()
    put(labels, 2, (LEFT[0], LEFT[1] - 17, LEFT[2]), (4, 3, 4))  # 2 mm of fat between kidney and tumor
    assert (labels[LEFT[0], LEFT[1] - 14] == 0).any()
    assert np.array_equal(cleaned(labels)[0], labels)


@pytest.mark.parametrize(("gap", "stays"), [(2, True), (3, False)])  # centre to centre: 4 and 6 mm
def test_a_piece_too_small_for_a_kidney_stays_within_reach_of_one(gap, stays):
    labels = kidneys()
    first = LEFT[2] + 12 + gap  # the kidney's last column is 12 beside its middle
    assert not labels[:, :, LEFT[2] + 14 :].any()
    labels[43:47, 58:62, first + 1 : first + 5] = 1
    piece = np.s_[43:47, 58:62, first + 1 : first + 5]
    assert ml(labels[piece] > 0) < 1
    assert cleaned(labels)[0][piece].all() == stays


@pytest.mark.parametrize("single", [{"right": False}, {"left": False}])
def test_a_single_kidney_stays(single):
    assert np.array_equal(cleaned(kidneys(**single))[0], kidneys(**single))


def test_a_transplant_in_the_pelvis_stays():
    labels = put(kidneys(left=False), 1, (70, 30, 110), (18, 12, 12))
    assert np.array_equal(cleaned(labels)[0], labels)


def test_a_horseshoe_kidney_stays():
    labels = kidneys()
    labels[60:66, 55:62, RIGHT[2] : LEFT[2]] = 1
    assert np.array_equal(cleaned(labels)[0], labels)


@pytest.mark.parametrize("part", [slice(66, 90), slice(0, 25)])  # the poles of both kidneys
@pytest.mark.parametrize("looked_at", [False, True])
def test_a_kidney_cut_by_the_scan_or_by_what_was_looked_at_stays(part, looked_at):
    labels = kidneys()
    labels[: part.start], labels[part.stop :] = 0, 0
    assert 2 < ml(labels > 0) / 2 < 8
    assert not cleaned(labels)[0].any()  # whole they are too small
    if looked_at:
        found = clean(labels, SPACING, looked_at=(part, slice(0, 100), slice(0, 160))).labels
    else:
        labels = labels[part]
        found = cleaned(labels)[0]
    assert np.array_equal(found, labels)


def test_a_small_kidney_beside_the_spine_is_of_its_own_side():
    labels = put(kidneys(left=False), 1, (60, 60, 95), (8, 7, 7))
    assert np.array_equal(cleaned(labels)[0], labels)


def test_what_goes_is_told():
    labels = kidneys()
    island(labels)
    assert cleaned(labels)[1] == ("1 piece(s) away from the kidneys, 2.1 ml, were taken away.",)


def test_nothing_is_nothing():
    assert not cleaned(empty())[0].any()
    assert cleaned(empty())[1] == ()


def test_all_rules_off_change_nothing():
    labels = np.random.default_rng(0).integers(0, 3, (20, 30, 30)).astype(np.uint8)
    assert np.array_equal(clean(labels, SPACING, OFF)[0], labels)


def test_a_rule_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="no rule 'gravity'"):
        CleanRules().without(["holes", "gravity"])


def tumors():
    """Two tumors at the left kidney: the first in doubt (uncertainty 0.24), the other sure (0.05)."""
    labels = kidneys()
    first, second = labels.copy(), labels.copy()
    put(first, 2, (LEFT[0] - 5, LEFT[1], LEFT[2]), (3, 4, 4))
    put(second, 2, (LEFT[0] + 5, LEFT[1], LEFT[2]), (3, 4, 4))
    labels[(first == 2) | (second == 2)] = 2
    uncertainty = np.zeros(labels.shape, np.uint8)
    uncertainty[first == 2], uncertainty[second == 2] = 60, 13
    return labels, uncertainty, first == 2


def ct(labels, tissue):
    return np.where(labels == 1, tissue, -80).astype(np.int16)


def test_without_contrast_a_tumor_must_be_sure():
    labels, uncertainty, doubtful = tumors()
    found, notes, _ = clean(labels, SPACING, CleanRules(), ct(labels, 30), uncertainty)
    assert set(np.unique(found[doubtful])) == {1}
    assert np.array_equal(found[~doubtful], labels[~doubtful])
    assert any("doubtful tumor count as kidney" in note for note in notes)


def test_with_contrast_or_without_the_rule_doubt_changes_nothing():
    labels, uncertainty, _ = tumors()
    plain = ct(labels, 30)
    assert np.array_equal(clean(labels, SPACING, CleanRules(), ct(labels, 180), uncertainty)[0], labels)
    assert np.array_equal(clean(labels, SPACING, CleanRules())[0], labels)
    assert np.array_equal(clean(labels, SPACING, CleanRules().without(["doubtful"]), plain, uncertainty)[0], labels)
    uncertainty[:] = 20  # below 0.1 everywhere
    found, notes, _ = clean(labels, SPACING, CleanRules(), plain, uncertainty)
    assert np.array_equal(found, labels)
    assert not notes


@pytest.mark.parametrize(("sure_share", "stays"), [(0.0, False), (0.05, False), (0.2, True)])
def test_a_tumor_must_be_certain_somewhere(sure_share, stays):
    labels, uncertainty, first = tumors()
    uncertainty[first] = 180
    voxels = np.argwhere(first)
    uncertainty[tuple(voxels[: int(sure_share * len(voxels))].T)] = 60
    found, notes, _ = clean(labels, SPACING, CleanRules(), ct(labels, 180), uncertainty)
    assert set(np.unique(found[first])) == ({2} if stays else {1})
    assert np.array_equal(found[~first], labels[~first])
    assert any("certain nowhere" in note for note in notes) is not stays
    assert np.array_equal(
        clean(labels, SPACING, CleanRules().without(["faint"]), ct(labels, 180), uncertainty)[0], labels
    )


def test_contrast_is_judged_by_the_kidneys_that_are_left():
    """Much muscle far away that the network took for kidney must not make a CT one without contrast."""
    labels, uncertainty, doubtful = tumors()
    hu = ct(labels, 180)
    far = np.zeros_like(labels)
    for level in (8, 81):  # too flat for kidneys
        put(far, 1, (level, 22, 80), (4, 20, 75))
    hu[far > 0] = 50
    labels[far > 0] = 1
    assert np.count_nonzero(far) > np.count_nonzero(hu == 180)
    found, *_ = clean(labels, SPACING, CleanRules(), hu, uncertainty)
    assert not found[far > 0].any()
    assert set(np.unique(found[doubtful])) == {2}


def sureness(labels, sure):
    """Doubt of 0.05 where ``sure``, of 0.4 elsewhere, as ``predict.decide`` gives it."""
    return np.where(sure, 13, 102).astype(np.uint8)


def test_a_large_body_of_tumor_does_not_take_a_kidneys_place():
    good = kidneys()
    labels = good.copy()
    put(labels, 2, (20, 22, 115), (18, 18, 30))  # bowel and liver: twice a kidney's volume
    put(labels, 1, (20, 12, 115), (3, 5, 5))  # with a trace of kidney
    assert ml(labels == 2) > ml(good > 0)
    hu = ct(labels, 180)
    found, notes, removed = clean(labels, SPACING, CleanRules(), hu, sureness(labels, good > 0))
    assert np.array_equal(found, good)
    ((volume, centre),) = removed
    assert volume == pytest.approx(ml(labels > 0) - ml(good > 0))
    assert np.allclose(centre, (20, 22, 115), atol=1)
    assert "taken away" in notes[0]


def test_a_kidney_in_two_large_pieces_keeps_both_beside_a_larger_other_one():
    labels = kidneys()
    labels[43:47, :, LEFT[2] - 20 :] = 0  # 8 mm between the halves of the left kidney
    put(labels, 1, RIGHT, (32, 16, 16))
    found, _, removed = clean(labels, SPACING, CleanRules(), ct(labels, 180), sureness(labels, labels > 0))
    assert np.array_equal(found, labels)
    assert not removed


def test_two_kidneys_on_one_side_both_stay():
    labels = put(kidneys(left=False), 1, (45, 30, 60), (26, 9, 11))
    labels[:, 44:46] = 0
    assert len(bodies(labels > 0)) == 2
    found = clean(labels, SPACING, CleanRules(), ct(labels, 180), sureness(labels, labels > 0)).labels
    assert np.array_equal(found, labels)


def test_where_a_kidney_is_missing_bowel_in_the_pelvis_is_none():
    labels = kidneys(left=False)
    labels[:5] = 0
    bowel = put(empty(), 1, (84, 40, 115), (5, 8, 8)) > 0
    far = np.concatenate([labels, np.zeros_like(labels)])
    far[90:][bowel] = 1
    hu = np.where(far > 0, 180, -80).astype(np.int16)
    doubt = np.where(far > 0, 13, 0).astype(np.uint8)
    found = clean(far, SPACING, CleanRules(islands=False), hu, doubt).labels
    assert np.array_equal(found[:90], labels)
    assert not found[90:].any()


def test_a_speck_of_a_cyst_is_kidney():
    labels = kidneys()
    labels[LEFT[0], LEFT[1], LEFT[2]] = CYST
    put(labels, CYST, RIGHT, (5, 5, 5))
    found = cleaned(labels)[0]
    assert found[LEFT] == 1
    assert (found == CYST).sum() == (labels == CYST).sum() - 1


@pytest.mark.parametrize(("tissue", "lesion", "becomes"), [(180, 10, CYST), (180, 45, 2), (180, -60, 2), (35, 10, 2)])
def test_what_has_the_density_of_water_is_a_cyst_where_solid_tissue_would_be_brighter(tissue, lesion, becomes):
    labels = put(kidneys(), 2, LEFT, (6, 6, 6))
    hu = np.where(labels == 2, lesion, np.where(labels > 0, tissue, -80)).astype(np.float32)
    blurred = ndimage.gaussian_filter(hu, 1.0).astype(np.int16)  # its rim is brighter
    found, notes, _ = clean(labels, SPACING, CleanRules(), blurred)
    assert set(np.unique(found[labels == 2])) == {becomes}
    assert np.array_equal(found[labels != 2], labels[labels != 2])
    assert any("density of water" in note for note in notes) is (becomes == CYST)
    off = clean(labels, SPACING, CleanRules().without(["watery"]), blurred).labels
    assert np.array_equal(off, labels)


def test_the_inside_of_a_tumor_is_told_without_its_rim_where_it_fills_its_box():
    labels = kidneys()
    block, inside = np.s_[40:50, 55:65, 110:120], np.s_[41:49, 56:64, 111:119]
    labels[block] = 2
    put(labels, 2, RIGHT, (5, 5, 5))
    hu = np.where(labels == 1, 180, 60).astype(np.int16)
    hu[inside] = 10  # but for a rim of 2 mm, half of its volume
    found, notes, _ = clean(labels, SPACING, replace(OFF, watery=True), hu)
    assert set(np.unique(found[block])) == {CYST}
    assert (found == CYST).sum() == 1000
    assert notes == ("8.0 ml have the density of water and count as cyst, not as tumor.",)
