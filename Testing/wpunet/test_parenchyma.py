"""Parenchyma is taken out of finished kidneys: none is lost, lesions stay, and what was left out far away is told."""

from dataclasses import replace

import numpy as np
import pytest
from wpunet import doubts, edges, measure, parenchyma
from wpunet.labels import LEFT_KIDNEY, RIGHT_KIDNEY, TUMOR
from wpunet.locate import whole
from wpunet.monitor import Monitor
from wpunet.predict import Maps
from wpunet.preprocess import InPlaneGrid
from wpunet.volume import from_array

SHAPE, MM = (40, 64, 128), 3.0
RIGHT, LEFT = (slice(8, 32), slice(20, 40), slice(16, 36)), (slice(8, 32), slice(20, 40), slice(90, 110))
SINUS = (slice(16, 24), slice(26, 34), slice(96, 104))
MASS = (slice(14, 22), slice(24, 32), slice(106, 114))  # at the left kidney's edge, and in it


@pytest.fixture
def ct():
    return from_array(np.full(SHAPE, 120, np.int16), np.diag([-MM, -MM, -MM, 1.0])[[2, 1, 0, 3]], "ct")


@pytest.fixture
def labels():
    labels = np.zeros(SHAPE, np.uint8)
    labels[RIGHT], labels[LEFT], labels[MASS] = RIGHT_KIDNEY, LEFT_KIDNEY, TUMOR
    return labels


def maps_of(ct, tissue):
    """As if the network told tissue there, on the CT's own grid."""
    grid = InPlaneGrid(SHAPE[1:], (MM, MM), MM)
    logit = np.where(tissue, 6.0, -6.0).astype(np.float16)
    kidney = np.full(SHAPE, 6.0, np.float16)
    return Maps(whole(ct), grid, 1, MM, kidney, np.full(SHAPE, -6.0, np.float16), None, logit)


def result(ct, labels, tissue, ends=None):
    maps, box = maps_of(ct, tissue), tuple(slice(0, n) for n in SHAPE)
    before = measure.measure(labels, ct.hu, ct.affine, ends=ends)
    given = labels.copy()
    now, doubt, cautions = parenchyma.alone(labels, np.full(SHAPE, 7, np.uint8), maps, ct, box, Monitor())
    assert np.array_equal(labels, given)  # left as it was
    return now, doubt, cautions, before, parenchyma.measured(before, now, ct, maps, box)


def test_the_sinus_goes_and_lesions_stay(ct, labels):
    tissue = labels > 0
    tissue[SINUS] = tissue[MASS] = False
    now, doubt, cautions, before, after = result(ct, labels, tissue)
    expected = labels.copy()
    expected[SINUS] = np.where(labels[SINUS] == TUMOR, TUMOR, 0)
    assert np.array_equal(now, expected)
    assert (doubt[MASS] == 7).all()
    assert cautions == ()
    assert [one.name for one in after] == [one.name for one in before] == ["right kidney", "left kidney", "left tumor"]
    assert (after[0].voxels, after[2]) == (before[0].voxels, before[2])
    assert after[1].voxels == (now == LEFT_KIDNEY).sum() < before[1].voxels
    lesion_ml = before[1].with_lesions_ml - before[1].volume_ml
    assert after[1].with_lesions_ml == pytest.approx(after[1].volume_ml + lesion_ml)
    assert lesion_ml == pytest.approx(before[2].volume_ml)


def test_what_is_cut_is_known_of_whole_kidneys(ct, labels):
    ct.hu[:] = np.random.default_rng(1).integers(60, 180, SHAPE)  # one number throughout would be padding
    looked_at = (*(slice(0, n) for n in SHAPE[:2]), slice(RIGHT[2].start, SHAPE[2]))
    after = result(ct, labels, labels > 0, edges.DataEnd(ct, looked_at))[-1]
    assert [one.touches_border for one in after] == [True, False, False]


def test_a_kidney_without_parenchyma_stays_whole_and_that_is_told(ct, labels):
    tissue = labels == RIGHT_KIDNEY
    tissue[8:10, 20:40, 90:110] = True  # a tenth of the left one
    now, _, cautions, before, after = result(ct, labels, tissue)
    assert np.array_equal(now, labels)
    assert [one.voxels for one in after] == [one.voxels for one in before]
    assert [(one.code, one.about) for one in cautions] == [("parenchyma", "left kidney")]
    assert "Next to no parenchyma" in cautions[0].text


def test_a_large_piece_apart_is_left_out_and_told_and_a_small_one_only_left_out(ct, labels):
    labels[8:16, 20:40, 36:60] = RIGHT_KIDNEY  # bowel that the kidney grew into
    tissue = labels > 0
    tissue[:, :, 36:48] = False
    now, _, cautions, _, _ = result(ct, labels, tissue)
    assert np.array_equal(now == RIGHT_KIDNEY, (labels == RIGHT_KIDNEY) & (np.arange(SHAPE[2]) < 36))
    (told,) = cautions
    assert "apart from the parenchyma of the right kidney were left out" in told.text
    tissue[:, :, 50:] &= labels[:, :, 50:] != RIGHT_KIDNEY
    tissue[10:, :, 48:50] = False
    now, _, cautions, _, _ = result(ct, labels, tissue)
    assert not (now[:, :, 36:60] == RIGHT_KIDNEY).any()
    assert cautions == ()


def test_pieces_that_a_tumor_joins_or_that_are_close_are_of_the_kidney(ct, labels):
    labels[18:22, 20:40, 90:110] = TUMOR  # between the poles
    tissue = labels == LEFT_KIDNEY
    tissue[RIGHT] = True
    tissue[10, 20:40, 16:36] = False  # a gap of one slice in the other
    now, _, cautions, _, _ = result(ct, labels, tissue)
    assert np.array_equal(now == LEFT_KIDNEY, labels == LEFT_KIDNEY)
    assert (now == RIGHT_KIDNEY).sum() == (labels == RIGHT_KIDNEY).sum() - 20 * 20
    assert cautions == ()
    tissue[14:26, 20:40, 16:36] = False  # far apart, but poles of like size
    now, _, cautions, _, _ = result(ct, labels, tissue)
    assert (now[8:14] == RIGHT_KIDNEY).any()
    assert (now[26:32] == RIGHT_KIDNEY).any()
    assert cautions == ()


def test_its_warning_stays_when_somebody_corrects_the_labels():
    assert parenchyma.ALONE.code in doubts.OF_RUN
    assert replace(parenchyma.ALONE, text="").about == ""


def test_measured_again_what_only_whole_kidneys_tell_stays_with_what_nobody_changed(ct, labels):
    whole_kidneys = measure.measure(labels, ct.hu, ct.affine)
    labels[SINUS] = 0
    now = measure.measure(labels, ct.hu, ct.affine)
    before = (replace(whole_kidneys[0], cortex_hu=7.0), *whole_kidneys[1:])
    names = {one.name for one in now}
    right, left, mass = parenchyma.again(now, before)
    assert {right.name, left.name, mass.name} == names
    assert right.cortex_hu == 7.0
    assert left.cortex_hu is None  # it lacks its sinus now
    assert left.volume_ml == now[1].volume_ml
    assert mass == replace(whole_kidneys[2], name=mass.name, certainty=None)
    labels[MASS][:1] = LEFT_KIDNEY
    changed = measure.measure(labels, ct.hu, ct.affine)
    _, _, mass = parenchyma.again(changed, before)
    assert mass.volume_ml == changed[2].volume_ml
    assert mass.nephrometry.missing == "kidneys are their parenchyma alone"
    assert (mass.outside_percent, mass.to_sinus, mass.to_surface) == (None, None, None)
