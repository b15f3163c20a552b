"""From logits to decisions: edges where they are, mirrored answers averaged, doubt where it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from wpunet import predict as network
from wpunet.labels import CYST, KIDNEY, TUMOR
from wpunet.locate import whole
from wpunet.predict import RIM_LOGIT, RIM_MM, SEEN_LOGIT, decide, drop_unseen, parenchyma_alone, predict, tumor_mask
from wpunet.volume import Region

from Testing.wpunet.oracle import TUMOR_HU, Oracle, Recorder, Telling, volume_with_ball


def run(volume, runtime=None, region=None, flips=False, temperature=1.0, pixel_mm=1.6):
    monitor = Recorder()
    maps = predict(volume, region or whole(volume), runtime or Oracle(), pixel_mm, temperature, flips, monitor)
    return (*decide(maps, volume.hu.shape, monitor), monitor)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((60, 80, 100), (2.0, 2.0, 2.0)),
        ((160, 150, 170), (0.7, 1.0, 0.9)),
        ((30, 200, 120), (5.0, 0.7, 1.3)),
        ((121, 60, 60), (1.0, 3.0, 3.0)),
    ],
)
def test_a_ball_is_found_where_it_is_on_any_grid(shape, spacing):
    centre = [n // 2 for n in shape]
    volume = volume_with_ball(shape, spacing, centre, 40 if spacing[0] < 4 else 50)
    labels, entropy, _ = run(volume)
    truth = volume.hu > 90
    assert dice(labels == KIDNEY, truth) > 0.97
    assert labels.shape == entropy.shape == volume.hu.shape
    assert (labels > 0).sum() == pytest.approx(truth.sum(), rel=0.03)


def test_tumor_and_kidney_are_told_apart():
    labels, _, _ = run(volume_with_ball(hu=TUMOR_HU))
    assert labels[30, 40, 50] == TUMOR
    assert (labels == TUMOR).sum() > 0.8 * (labels > 0).sum()  # the blurred rim passes through kidney's HU


def test_doubt_is_at_the_edge():
    volume = volume_with_ball()
    labels, entropy, _ = run(volume)
    assert entropy[30, 40, 50] < 30
    assert entropy[0, 0, 0] < 8
    edge = (labels[30] > 0) != np.roll(labels[30] > 0, 1, axis=0)
    assert entropy[30][edge].mean() > 3 * entropy[30][labels[30] > 0].mean()


def test_between_kidney_and_tumor_doubt_is_of_these_two():
    labels, doubt, _ = run(volume_with_ball(hu=225))  # as likely the one as the other, and surely no background
    assert labels[30, 40, 50] > 0
    assert doubt[30, 40, 50] == pytest.approx(127.5, abs=1)


def test_temperature_adds_doubt_and_changes_no_decision():
    cold, warm = (run(volume_with_ball(), temperature=t) for t in (1.0, 3.0))
    assert np.array_equal(cold[0], warm[0])  # a tumor's rim it may move: that is where doubt decides
    assert warm[1].sum(dtype=int) > 1.5 * cold[1].sum(dtype=int)


class OneSided(Oracle):
    """Believes more in the right of the picture."""

    def __call__(self, slices):
        logits = super().__call__(slices)
        logits[:, 0] -= np.linspace(-15, 15, slices.shape[-1])
        return logits


def test_mirrored_slices_take_a_lean_to_one_side_away():
    volume = volume_with_ball(shape=(60, 80, 101))
    exact = run(volume)[0]
    assert not np.array_equal(run(volume, OneSided())[0], exact)
    leaning = run(volume, OneSided(), flips=True)[0]
    assert dice(leaning > 0, exact > 0) > 0.99


@pytest.mark.parametrize("spacing", [0.7, 2.0, 5.0])
def test_looking_only_where_a_kidney_can_be_changes_nothing(monkeypatch, spacing):
    volume = volume_with_ball((int(160 / spacing), 80, 100), (spacing, 2.0, 2.0), (int(90 / spacing), 40, 50))
    sparing, thorough = Oracle(), Oracle()
    labels, doubt, _ = run(volume, sparing, flips=True)
    monkeypatch.setattr(network, "LOOK_MM", 0.0)
    monkeypatch.setattr(network, "TRACE_LOGIT", -99.0)
    every, every_doubt, _ = run(volume, thorough, flips=True)
    assert np.array_equal(labels, every)
    assert np.array_equal(doubt, every_doubt)
    slabs = -(-volume.hu.shape[0] // max(1, int(1.6 / spacing)))
    assert thorough.slices == 2 * slabs + 1  # mirrored, and one more look at the body
    assert sparing.slices < 1.5 * slabs


class Narrow(Oracle):
    """Takes what is bright for kidney, but at wider pixels only in the picture's left half."""

    def __call__(self, slices):
        logits = super().__call__(slices)
        if slices.shape[-1] < 128:  # 160 mm: 112 pixels, padded, instead of 128
            logits[:, :, :, slices.shape[-1] // 2 :] = -9.0
            logits[:, 0, :, slices.shape[-1] // 2 :] = 9.0
        return logits


class NarrowTelling(Narrow, Telling):
    """Tells parenchyma, too."""


def test_a_body_that_is_none_at_wider_pixels_is_taken_away():
    left, right = (volume_with_ball((60, 80, 100), centre=(30, 40, x), radius_mm=r) for x, r in ((25, 24), (75, 20)))
    both = left.with_hu(np.maximum(left.hu, right.hu))
    labels, doubt, _ = run(both, Narrow())
    alone, _, _ = run(left)
    assert np.array_equal(labels, alone)
    assert set(np.unique(run(both)[0][:, :, 50:])) == {0, KIDNEY}
    assert 50 < doubt[30, 40, 75] < 90  # a chance of a quarter: a place to look at


@pytest.mark.parametrize(("slices", "step"), [(60, 2.0), (240, 0.5)])  # thin ones go by three
def test_the_second_look_tells_what_it_took_away_and_can_be_left_out(slices, step):
    ball = volume_with_ball((slices, 80, 100), (step, 2.0, 2.0), (slices // 2, 40, 75), radius_mm=20)
    region = Region(slice(slices // 10, slices - 2), slice(4, 76), slice(0, 100))
    maps = predict(ball, region, NarrowTelling(), 1.6, 1.0, False, Recorder(), parenchyma=True)
    ((ml, centre),) = maps.unseen
    assert ml == pytest.approx(4 / 3 * np.pi * 2**3, rel=0.1)
    assert centre == pytest.approx((slices // 2, 40, 75), abs=0.4)
    assert not (maps.foreground > 0).any()
    assert not (maps.tissue > 0).any()
    every = predict(ball, region, Narrow(), 1.6, 1.0, False, Recorder(), second_look=False)
    assert every.unseen == ()
    assert (every.foreground > 0).any()


class Faint(Oracle):
    """At wider pixels it gives kidney a logit of -2 everywhere."""

    def __call__(self, slices):
        logits = super().__call__(slices)
        if slices.shape[-1] < 128:
            logits[:] = np.array([2.0, 0.0, -30.0])[:, None, None]
        return logits


@pytest.mark.parametrize(("temperature", "stays"), [(1.0, False), (2.5, True)])
def test_the_second_looks_doubt_is_calibrated_too(temperature, stays):
    found = run(volume_with_ball(), Faint(), temperature=temperature)[0]
    assert found.any() == stays


@pytest.mark.parametrize(("step", "together"), [(2.0, True), (13.0, False)])
def test_specks_are_told_by_their_mm2_and_slabs_far_apart_are_pictures(monkeypatch, step, together):
    asked = []
    monkeypatch.setattr(network, "drop_unseen", lambda *_, **limits: asked.append(limits) or [])
    volume = volume_with_ball((8, 40, 40), (step, 2.0, 2.0), (4, 20, 20), 15)
    predict(volume, whole(volume), Oracle(), 2.0, 1.0, False, Recorder())
    assert asked == [{"together": together, "least": 10.0}]  # 40 mm2


def logits_of(*boxes):
    """Logits of six slabs: 5 in the boxes, -5 elsewhere."""
    foreground = np.full((6, 40, 40), -5.0, np.float16)
    for box in boxes:
        foreground[box] = 5.0
    return foreground


def test_bodies_are_judged_by_their_largest_slab():
    first, second = np.s_[:, 2:8, 2:8], np.s_[2:5, 20:30, 20:30]
    foreground, asked = logits_of(first, second, np.s_[4, 20:34, 20:34]), []
    before = foreground.copy()

    def around(slab):
        asked.append(slab)
        seen = np.full((40, 40), -5.0)
        seen[:20, :20] = SEEN_LOGIT + 0.1
        return seen

    ((pixels, centre),) = drop_unseen(foreground, around, together=True, least=20)
    assert pixels == (before[:, 20:, 20:] > 0).sum()
    assert centre == pytest.approx(np.argwhere(before[:, 20:, 20:] > 0).mean(0) + np.array([0, 20, 20]))
    assert asked == [0, 4]
    assert np.array_equal(foreground[first], before[first])
    assert (foreground[:, 20:, 20:] <= SEEN_LOGIT).all()
    assert np.array_equal(foreground > 0, logits_of(first) > 0)


def test_a_tenth_of_a_body_is_enough_and_specks_are_left_alone():
    body, speck = np.s_[0, 10:20, 10:20], np.s_[0, 30:33, 30:33]
    for columns, stays in ((1, True), (0, False)):
        foreground = logits_of(body, speck)
        seen = np.full((40, 40), -5.0)
        seen[:, 10 : 10 + columns] = 0.0
        drop_unseen(foreground, lambda slab, seen=seen: seen, together=True, least=10)
        assert (foreground[body] > 0).all() == stays
        assert (foreground[speck] > 0).all()


def test_single_pictures_have_bodies_of_their_own():
    column = np.s_[1:4, 10:20, 10:20]
    for together, left in ((True, 3), (False, 1)):
        foreground = logits_of(column)
        drop_unseen(foreground, lambda slab: np.full((40, 40), 5.0 if slab == 1 else -5.0), together=together, least=10)
        assert int((foreground > 0).any((1, 2)).sum()) == left


def test_only_the_region_is_looked_at():
    volume = volume_with_ball()
    region = Region(slice(10, 50), slice(8, 60), slice(20, 90))
    labels, _, _ = run(volume, region=region)
    assert np.array_equal(labels[region.box], run(volume)[0][region.box])
    labels[region.box] = 0
    assert not labels.any()


def test_a_slab_at_the_regions_end_holds_no_slice_beyond_it():
    volume = volume_with_ball((60, 60, 60), (0.5, 2.0, 2.0), (30, 30, 30), 10)
    region = Region(slice(10, 35), slice(0, 60), slice(0, 60))  # eight slabs of three, one slice more
    hu = volume.hu.copy()
    hu[35:] = -1000
    assert np.array_equal(run(volume.with_hu(hu), region=region)[1], run(volume, region=region)[1])


def test_thin_slices_are_averaged_before_the_network(monkeypatch):
    monkeypatch.setattr(network, "LOOK_MM", 0.0)
    volume = volume_with_ball((100, 60, 60), (0.5, 2.0, 2.0), (50, 30, 30), 15)
    runtime = Oracle()
    run(volume, runtime)
    assert runtime.slices == 34 + 1  # 3 slices of 0.5 mm each, the last slab holds one; one more look at the body


def test_the_last_slab_is_the_mean_of_the_slices_that_are_left():
    hu = np.array([0, 3, 9, 10, 20, 30, 7, 8], np.int16)[:, None, None]
    assert network.mean_slabs(hu, 3).ravel().tolist() == [4.0, 20.0, 7.5]


@pytest.mark.parametrize(("step", "slices"), [(0.8, 2), (0.8002, 2), (0.81, 1), (1.6, 1), (5.0, 1)])
def test_a_spacing_that_was_rounded_makes_the_slabs_of_the_exact_one(step, slices):
    volume = volume_with_ball((8, 40, 40), (step, 2.0, 2.0), (4, 20, 20), 15)
    assert predict(volume, whole(volume), Oracle(), 1.6, 1.0, False, Recorder()).step == slices


def test_a_kidney_of_which_the_scan_shows_the_last_slice_alone_is_seen():
    volume = volume_with_ball((27, 60, 60), centre=(36, 30, 30), radius_mm=21.9)
    assert np.flatnonzero((volume.hu > 90).any((1, 2))).tolist() == [26]
    assert np.flatnonzero((run(volume)[0] > 0).any((1, 2))).tolist() == [26]


def test_progress_rises():
    told = [(done, total) for stage, done, total in run(volume_with_ball())[2].told if stage == "predict"]
    assert told == sorted(told)
    assert {total for _, total in told} == {60}


def slice_of(core_mm, rim_logit, spacing=(1.0, 1.0), seats=((60, 60),)):
    """Logits of a slice full of kidney: tumor (+3) round each seat, ``rim_logit`` to its right, kidney elsewhere."""
    y, x = np.mgrid[:120, :120]
    tumor = np.full((120, 120), -9.0)
    for row, column in seats:
        tumor[(abs(y - row) < 4) & (x > column) & (x - column < 40)] = rim_logit
        tumor[((y - row) * spacing[0]) ** 2 + ((x - column) * spacing[1]) ** 2 <= (core_mm / 2) ** 2] = 3.0
    return np.full((120, 120), 20.0), tumor


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5)])
def test_a_tumors_rim_reaches_some_mm_from_its_core(spacing):
    foreground, logit = slice_of(12, RIM_LOGIT + 0.1, spacing)
    found = tumor_mask(foreground, logit, spacing)
    assert found[logit > 0].all()
    right = np.flatnonzero(found[60])[-1]
    assert (right - 60) * spacing[1] == pytest.approx(6 + RIM_MM, abs=1.01)
    assert not found[logit < RIM_LOGIT].any()


def test_no_rim_without_a_core_nor_around_a_speck_nor_below_the_limit():
    for core_mm, rim in ((0, -1.0), (5, -1.0), (12, RIM_LOGIT - 0.1)):
        foreground, logit = slice_of(core_mm, rim)
        if not core_mm:
            logit = np.minimum(logit, rim)
        assert np.array_equal(tumor_mask(foreground, logit, (1.0, 1.0)), logit > 0)


@pytest.mark.parametrize(("core_mm", "spacing", "rim"), [(9, (1.5, 1.5), True), (7, (0.5, 0.5), False)])
def test_how_large_a_core_is_is_told_in_mm2(core_mm, spacing, rim):
    """50 mm2, 8 mm across: fewer than 50 pixels of 1.5 mm, more than 50 of 0.5 mm."""
    foreground, logit = slice_of(core_mm, -1.0, spacing)
    assert (tumor_mask(foreground, logit, spacing).sum() > (logit > 0).sum()) == rim


def test_a_rim_does_not_jump_nor_leave_the_kidney():
    foreground, logit = slice_of(12, -9.0)
    logit[55:65, 69:71] = -1.0  # within 5 mm of the core, but kidney lies between
    assert np.array_equal(tumor_mask(foreground, logit, (1.0, 1.0)), logit > 0)
    foreground, logit = slice_of(12, -1.0)
    foreground[:, 68:] = -5.0
    assert not tumor_mask(foreground, logit, (1.0, 1.0))[:, 68:].any()


def test_a_core_keeps_its_rim_beside_a_speck():
    foreground, logit = slice_of(12, -1.0)
    alone = tumor_mask(foreground, logit, (1.0, 1.0))
    logit[100:102, 20:22] = 3.0
    logit[98:104, 22:30] = -1.0
    both = tumor_mask(foreground, logit, (1.0, 1.0))
    assert np.array_equal(both & ~alone, (logit > 0) & ~alone)
    assert both.sum() == alone.sum() + 4


def test_at_the_edge_of_a_slice():
    foreground, logit = slice_of(20, -1.0, seats=((1, 1), (118, 118)))
    assert tumor_mask(foreground, logit, (1.0, 1.0)).sum() > (logit > 0).sum()


@pytest.mark.parametrize(("slices", "spacing", "stays"), [(1, 2.0, False), (6, 2.0, True), (1, 10.0, True)])
def test_neighbouring_slices_vote_on_tumor_but_not_on_kidney(slices, spacing, stays):
    """What one thin slice alone takes for tumor is none; a slice of 1 cm stands alone."""
    volume = volume_with_ball(spacing=(spacing, 2.0, 2.0), radius_mm=40)
    hu = volume.hu.copy()
    hu[30 : 30 + slices, 36:44, 46:54] = TUMOR_HU - 40  # just over the limit
    labels = run(volume.with_hu(hu))[0]
    assert (labels[30 + slices // 2, 38:42, 48:52] == TUMOR).all() == stays
    assert np.array_equal(labels > 0, run(volume)[0] > 0)


class Cystic(Oracle):
    """A network of four classes: what is bright is kidney, but in the left half of the picture cyst."""

    def __call__(self, slices):
        logits = super().__call__(slices)
        side = np.where(np.arange(slices.shape[-1]) < slices.shape[-1] / 2, 4.0, -4.0)
        kidney, cyst = (logits[:, 1] - np.logaddexp(0, way * side) for way in (1, -1))  # together as likely as before
        return np.stack([logits[:, 0], kidney, logits[:, 2], cyst], axis=1)


def test_a_cyst_is_told_from_kidney_and_changes_nothing_else():
    volume = volume_with_ball(shape=(60, 80, 101))
    plain, doubt, _ = run(volume)
    labels, same_doubt, _ = run(volume, Cystic())
    assert np.array_equal(labels > 0, plain > 0)
    assert np.array_equal(doubt, same_doubt)
    assert set(np.unique(labels)) == {0, KIDNEY, CYST}
    columns = np.flatnonzero((labels == CYST).any((0, 1)))
    assert columns.max() < 51 <= np.flatnonzero((labels == KIDNEY).any((0, 1))).min() + 2
    tumor = run(volume_with_ball(hu=TUMOR_HU), Cystic())[0]
    assert tumor[30, 40, 50] == TUMOR


def test_parenchyma_is_told_beside_the_whole_kidney():
    volume = volume_with_ball(radius_mm=40.0)
    inner = volume_with_ball(radius_mm=20.0).hu > 90
    volume.hu[inner] = TUMOR_HU
    maps = predict(volume, whole(volume), Telling(), 1.6, 1.3, True, Recorder(), parenchyma=True)
    kidney = decide(maps, volume.hu.shape, Recorder())[0] > 0
    tissue = decide(replace(maps, foreground=maps.tissue), volume.hu.shape, Recorder())[0] > 0
    assert dice(kidney, volume.hu > 90) > 0.97
    assert dice(kidney & ~tissue, inner) > 0.9
    assert not (tissue & ~kidney).any()


@pytest.mark.parametrize("put", [np.asarray, torch.as_tensor])
def test_what_is_not_parenchyma_is_background_and_lesions_keep_their_chance(put):
    g = np.random.default_rng(0)
    logits, parenchyma = g.normal(0, 3, (2, 4, 8, 8)), g.normal(0, 3, (2, 1, 8, 8))
    alone = parenchyma_alone(put(logits), put(parenchyma))
    before, after = (torch.as_tensor(one).softmax(1).numpy() for one in (logits, alone))
    share = 1 / (1 + np.exp(-parenchyma[:, 0]))
    assert np.allclose(after[:, 1], before[:, 1] * share)
    assert np.allclose(after[:, 0], before[:, 0] + before[:, 1] * (1 - share))
    assert np.allclose(after[:, 2:], before[:, 2:])
    extreme = parenchyma_alone(put(logits), put(np.full_like(parenchyma, -200.0)))
    assert bool((abs(extreme) < 300).all())
    assert bool((extreme[:, 1] < -100).all())
