"""Samples: labels stay on their organs, a sample depends on nothing but its number, and the shares are as asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from wpunet.errors import InputError
from wpunet.labels import CYST
from wpunet.preprocess import InPlaneGrid, normalise

from training.augment import Sampler, blur, halved, mirror_healthy_half, take_contrast_away
from training.data import Case, read_prepared, to_grey
from training.lesions import Graft
from training.losses import CYST_CLASS, EITHER
from training.mixture import PLAIN, Mixture
from training.vary import bent, curved, draw_bend, draw_curve

MOVED = replace(PLAIN, zoom=1.25, turn_degrees=15.0, shift_mm=40.0)  # geometry alone, and no frame


def case_of(labels, hu, pixel_mm=2.0, name="drawn", group="labelled"):
    return Case(name, group, pixel_mm, to_grey(hu), labels.astype(np.uint8))


@pytest.fixture
def drawn():
    """A slice whose HU tell its labels: fat 0, kidney 100, tumor 200."""
    y, x = np.mgrid[:128, :128]
    labels = np.zeros((1, 128, 128))
    labels[0][(x - 40) ** 2 / 900 + (y - 70) ** 2 / 500 < 1] = 1
    labels[0][(x - 52) ** 2 + (y - 78) ** 2 < 80] = 2
    return case_of(labels, labels * 100.0)


@pytest.fixture
def shelves(prepared):
    groups = {group: read_prepared(prepared, group) for group in ("labelled", "kidney_free")}
    return groups | {"generated": [replace(groups["labelled"][0], group="generated")]}


@pytest.mark.parametrize("more", [{}, {"stretch": 0.3}, {"bend_mm": 4.0}])
def test_labels_move_with_the_picture(drawn, more):
    sampler = Sampler({"labelled": [drawn]}, replace(MOVED, **more), 2.0, 128, seed=3)
    x, labels = sampler.batch(0, 0, 24)
    hu = x[:, 0] * 250 + 90
    seen = (hu > 50).long() + (hu > 150).long()
    for k in range(24):
        overlap = 2 * ((seen[k] == labels[k]) & (labels[k] > 0)).sum() / ((seen[k] > 0).sum() + (labels[k] > 0).sum())
        assert overlap > 0.97, k
    assert len({int(one.sum()) for one in labels}) > 12  # and they do move


def test_bodies_are_stretched_and_bent():
    y, x = np.mgrid[:128, :128]
    disc = case_of((np.hypot(x - 63.5, y - 63.5) < 30)[None], np.zeros((1, 128, 128)))

    def shapes(**more):
        labels = Sampler({"labelled": [disc]}, replace(PLAIN, **more), 2.0, 128, seed=1).batch(0, 0, 20)[1].numpy()
        for one in labels:
            values = np.linalg.eigvalsh(np.cov(np.argwhere(one).T))
            yield np.sqrt(values[1] / values[0]), one.sum()

    round_, stretched = list(shapes()), list(shapes(stretch=0.4))
    assert max(ratio for ratio, _ in round_) < 1.01
    assert 1.2 < max(ratio for ratio, _ in stretched) < np.exp(0.4) + 0.02
    assert all(area == pytest.approx(round_[0][1], rel=0.02) for _, area in stretched)  # sizes are the zoom's
    assert len({area for _, area in shapes(bend_mm=4.0)}) > 10


def test_what_is_computed_in_a_faster_way_is_what_pytorch_computes():
    g = np.random.default_rng(0)
    grid = torch.from_numpy(g.uniform(-1, 1, (48, 64, 2)).astype(np.float32))
    theta, bend = g.normal(size=(2, 3)), draw_bend(g, 5.0)
    smooth = F.interpolate(torch.from_numpy(bend / 60)[None], size=(48, 64), mode="bicubic", align_corners=False)[0]
    moved = torch.einsum("kc,chw->hwk", torch.from_numpy(theta[:, :2]).float(), smooth)
    assert torch.allclose(bent(grid, bend, theta, 60.0), grid + moved, atol=1e-5)
    assert torch.allclose(halved(grid[:, :, 0]), F.avg_pool2d(grid[None, None, :, :, 0], 2)[0, 0], atol=1e-6)


def test_contrast_follows_a_curve_and_what_has_none_stays():
    g, hu = np.random.default_rng(0), torch.linspace(-200, 400, 601)
    moved = [curved(hu, draw_curve(g, 0.5)) for _ in range(50)]
    for one in moved:
        assert torch.equal(one[hu <= 40], hu[hu <= 40])
        assert (one.diff() > 0).all()  # brighter stays brighter
        assert torch.allclose(one[hu >= 300].diff(), torch.ones(100), atol=1e-3)
    at_200 = [float(one[400]) for one in moved]
    assert min(at_200) < 150
    assert max(at_200) > 260
    assert draw_curve(g, 0.0) is None


def test_plain_samples_are_what_the_engine_shows_the_network(drawn):
    smooth = torch.from_numpy(drawn.hu)
    smooth = blur(smooth, [4.0]).numpy()
    case = case_of(drawn.labels, smooth)
    x, labels = Sampler({"labelled": [case]}, PLAIN, 2.0, 128, seed=0).batch(0, 0, 1)
    inner = (..., slice(2, -2), slice(2, -2))  # at the edge a sample fades into the air around
    shown = InPlaneGrid((128, 128), (2.0, 2.0), 2.0).to_network(case.hu)
    assert np.abs(x.numpy() - shown)[inner].max() < 0.02
    assert np.array_equal(labels[0].numpy(), case.labels[0])
    coarse, _ = Sampler({"labelled": [case]}, PLAIN, 4.0, 64, seed=0).batch(0, 0, 1)
    shown = InPlaneGrid((128, 128), (2.0, 2.0), 4.0).to_network(case.hu)
    assert np.abs(coarse.numpy() - shown)[inner].max() < 0.04


def test_a_sample_depends_on_nothing_but_its_number(shelves):
    sampler = Sampler(shelves, Mixture(), 4.0, 64, seed=5)
    x, labels = sampler.batch(7, 0, 6)
    again = Sampler(shelves, Mixture(), 4.0, 64, seed=5)
    again.batch(3, 0, 2)  # as a resumed run would not have
    parts = [again.batch(7, first, first + 2) for first in (4, 0, 2)]
    for first, (part, part_labels) in zip((4, 0, 2), parts, strict=True):
        assert torch.allclose(part, x[first : first + 2], atol=1e-6)
        assert torch.equal(part_labels, labels[first : first + 2])
    assert not torch.equal(again.batch(8, 0, 6)[0], x)
    assert not torch.equal(Sampler(shelves, Mixture(), 4.0, 64, seed=6).batch(7, 0, 6)[0], x)


def test_samples_are_finite_normalised_and_of_three_labels(shelves):
    sampler = Sampler(shelves, Mixture(), 4.0, 64, seed=5)
    for step in range(12):
        x, labels = sampler.batch(step, 0, 4)
        assert x.shape == (4, 1, 64, 64)
        assert labels.shape == (4, 64, 64)
        assert (x.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert -1 <= x.min() <= x.max() <= 1
        assert set(labels.unique().tolist()) <= {0, 1, 2}


def test_the_shares_of_the_mixture_are_kept(shelves):
    sampler = Sampler(shelves, Mixture(kidney_free=0.3, generated=0.2), 4.0, 64, seed=5)
    plans = [sampler._plan(np.random.default_rng([5, step, 0])) for step in range(1500)]
    shares = {shelf: np.mean([plan.shelf == shelf for plan in plans]) for shelf in sampler.shelves}
    assert shares["kidney_free"] == pytest.approx(0.3, abs=0.04)
    assert shares["generated"] == pytest.approx(0.2, abs=0.04)
    labelled = [plan for plan in plans if plan.shelf == "labelled"]
    assert np.mean([plan.squeeze < 1 for plan in labelled]) == pytest.approx(Mixture().no_contrast, abs=0.04)
    assert np.mean([plan.frame is not None for plan in labelled]) == pytest.approx(Mixture().composite, abs=0.05)
    assert all(plan.squeeze == 1 and plan.lesion is None for plan in plans if plan.shelf == "kidney_free")
    none = Sampler(shelves, PLAIN, 4.0, 64, seed=5)
    assert all(none._plan(np.random.default_rng([5, step, 0])).shelf == "labelled" for step in range(200))


def test_patients_with_small_tumors_are_drawn_more_often():
    def patient(radius):
        y, x = np.mgrid[:64, :64]
        return case_of(np.where((x - 32) ** 2 + (y - 32) ** 2 < radius**2, 2, 0)[None], np.zeros((1, 64, 64)))

    patients = [patient(radius) for radius in (5, 8, 20, 0)]
    sampler = Sampler({"labelled": patients}, Mixture(small_tumors=3.0), 2.0, 64, seed=1)
    plans = [sampler._plan(np.random.default_rng([1, k, 0])) for k in range(3000)]
    drawn = np.bincount([plan.case for plan in plans])
    counts = drawn / drawn[2]
    assert counts[0] == pytest.approx(3.0, rel=0.15)
    assert counts[1] == pytest.approx(2.0, rel=0.15)
    assert counts[3] == pytest.approx(1.0, rel=0.15)  # whose tumor is none, not a small one
    donors = [plan.graft.donor for plan in plans if plan.graft]
    assert set(donors) == {0, 1, 2}
    assert np.mean(np.array(donors) == 0) == pytest.approx(0.5, abs=0.05)


def test_a_composite_keeps_the_organs_and_fills_only_the_frame(drawn):
    y, x = np.mgrid[:128, :128]
    free = case_of(np.zeros((1, 128, 128)), np.where(x + y > 0, 300.0, 0)[None], 4.0, "free", "kidney_free")
    drawn.labels[0, 60:80, 100:] = 1  # a kidney that the crop cuts
    drawn.grey[:] = to_grey(drawn.labels * 100.0)
    shelves = {"labelled": [drawn], "kidney_free": [free]}
    x, labels = Sampler(shelves, replace(PLAIN, composite=1.0), 4.0, 128, seed=1).batch(0, 0, 1)
    hu = (x[0, 0] * 250 + 90).numpy()
    assert hu[2, 2] == pytest.approx(300, abs=5)  # beyond the crop of 256 mm
    assert hu[labels[0].numpy() == 2].mean() == pytest.approx(200, abs=25)
    assert hu[56, 64] == pytest.approx(0, abs=5)
    assert (labels == 1).any(1)[0, 90]
    assert hu[labels[0].numpy() == 1].max() < 210  # where the frame covers it, it is none


def test_the_frame_lies_around_an_oblong_crop():
    crop = case_of(np.zeros((1, 64, 128)), np.zeros((1, 64, 128)))  # 128 mm high, 256 mm wide
    free = case_of(np.zeros((1, 128, 128)), np.full((1, 128, 128), 300.0), 4.0, "free", "kidney_free")
    shelves = {"labelled": [crop], "kidney_free": [free]}
    x, _ = Sampler(shelves, replace(PLAIN, composite=1.0), 4.0, 128, seed=1).batch(0, 0, 1)
    hu = (x[0, 0] * 250 + 90).numpy()  # 4 mm: the crop has rows 48 to 79, columns 32 to 95
    assert hu[[64, 64, 54, 73], [38, 89, 64, 64]] == pytest.approx(0, abs=20)
    assert hu[[64, 64, 42, 85], [26, 101, 64, 64]] == pytest.approx(300, abs=20)


def test_a_sample_in_focus_has_a_marked_pixel_in_its_middle():
    labels = np.zeros((1, 40, 60))
    labels[0, 8, 47] = 1
    sampler = Sampler({"labelled": [case_of(labels, labels, 4.0)]}, replace(PLAIN, focus=1.0), 1.0, 32, seed=0)
    marked = torch.zeros(32, 32, dtype=torch.long)
    marked[14:18, 14:18] = 1  # one pixel of 4 mm
    assert torch.equal(sampler.batch(0, 0, 1)[1][0], marked)


def test_levels_with_a_kidney_or_with_a_cyst_are_drawn_as_often_as_asked_for():
    labels = np.zeros((50, 8, 8))
    labels[10:20, 3, 3], labels[12:14, 4, 4] = 1, CYST
    plain, cystic = case_of(np.where(labels == CYST, 1, labels), labels), case_of(labels, labels)

    def levels(share, *cases):
        sampler = Sampler({"labelled": list(cases)}, replace(PLAIN, cysts=share), 2.0, 8, seed=0)
        plans = [sampler._plan(np.random.default_rng([0, k])) for k in range(1000)]
        return np.array([plan.level for plan in plans]), np.array([plan.case for plan in plans])

    some, _ = levels(0.0, plain)
    assert np.mean((some >= 10) & (some < 20)) == pytest.approx(0.9 + 0.1 * 10 / 50, abs=0.03)
    some, _ = levels(0.7, cystic)
    by_chance = (0.9 / 10 + 0.1 / 50) * 2
    assert np.mean((some == 12) | (some == 13)) == pytest.approx(0.7 + 0.3 * by_chance, abs=0.04)
    assert np.mean(levels(0.7, plain, cystic)[1]) == pytest.approx(2 / 3, abs=0.04)  # twice as often as the other


def test_the_healthy_half_takes_the_tumors_place():
    labels = torch.zeros(60, 80, dtype=torch.uint8)
    labels[20:40, 10:26], labels[20:40, 50:70], labels[30:36, 55:60] = 1, 1, 2
    grey = torch.arange(60 * 80).reshape(60, 80).remainder(250).to(torch.uint8)
    mirrored, clean = mirror_healthy_half(grey, labels)
    assert not (clean == 2).any()
    assert torch.equal(clean, clean.flip(1))
    assert torch.equal(clean[:, :40], labels[:, :40])
    assert torch.equal(mirrored[:, 40:], grey[:, :40].flip(1))
    assert (labels == 2).any()  # the case itself stays as it was
    both = labels.clone()
    both[25:30, 15:20] = 2
    assert torch.equal(mirror_healthy_half(grey, both)[1], both)
    pole = labels.clone()
    pole[:, :40] = 0
    pole[20:40, 10:20] = 1  # 200 pixels of a kidney are a pole of it
    assert torch.equal(mirror_healthy_half(grey, pole)[1], pole)


def test_without_contrast_kidneys_look_like_muscle_and_bone_like_bone():
    hu = torch.full((60, 60), 50.0)
    labels = torch.zeros(60, 60, dtype=torch.uint8)
    hu[10:30, 10:30], labels[10:30, 10:30] = 190.0, 1
    hu[40:50, 40:50] = 260.0  # a vessel
    hu[50:58, 5:15] = 900.0  # bone
    plain = take_contrast_away(hu, labels, squeeze=0.15, kidney_hu=30.0)
    assert float(plain[labels > 0].median()) == pytest.approx(30, abs=3)
    assert float(plain[45, 45]) < 220
    assert float(plain[54, 10]) == 900
    assert float(plain[2, 2]) == pytest.approx(46, abs=2)
    hu[15:25, 15:25], labels[15:25, 15:25] = 8.0, CYST
    plain = take_contrast_away(hu, labels, squeeze=0.15, kidney_hu=30.0)
    assert float(plain[labels == 1].median()) == pytest.approx(30, abs=3)
    assert float(plain[20, 20]) == pytest.approx(8, abs=2)  # water stays water
    for before, target, after in ((215.0, 22.0, 27.5), (30.0, 42.0, 40.0)):  # by 60 HU down or 10 up at most
        hu[:] = before  # with contrast a quarter of what is above 45 HU is left: 87.5
        plain = take_contrast_away(hu, torch.ones_like(labels), squeeze=0.25, kidney_hu=target)
        assert float(plain[30, 30]) == pytest.approx(after, abs=1e-3)
    air = torch.full((60, 60), -1000.0)
    assert torch.equal(take_contrast_away(air, torch.zeros_like(labels), 0.15, 30.0), air)


@pytest.mark.parametrize("seed", range(6))
def test_a_graft_lies_on_the_kidney_pixel_that_was_drawn_and_has_the_size_that_was_drawn(seed):
    y, x = np.mgrid[:128, :128]
    labels = np.zeros((1, 128, 128))
    labels[0][4:124, 4:124] = 1
    patient = case_of(labels, np.where(labels > 0, 150.0, -80.0), name="patient")
    labels = np.where((x - 90) ** 2 + (y - 50) ** 2 < 15**2, 2, 0)[None]
    donor = case_of(labels, np.where(labels > 0, 40.0, -80.0), name="donor")
    sampler = Sampler({"labelled": [patient, donor]}, PLAIN, 1.6, 160, seed=0)  # as wide as the slices
    graft = replace(Graft.draw(np.random.default_rng(seed), np.array([0.0, 1.0])), diameter_mm=30.0)
    plan = replace(sampler._plan(np.random.default_rng(0)), case=0, graft=graft)
    before = sampler._place(replace(plan, graft=None))[1]
    hu, after = sampler._place(plan)
    row, column = torch.nonzero(before == 1)[int(graft.place * int((before == 1).sum()))].tolist()
    assert int(after[row, column]) == 2
    if 12 < row < 148 and 12 < column < 148:  # the whole tumor is inside the sample
        assert 2 * float((after == 2).sum() / np.pi) ** 0.5 * 1.6 == pytest.approx(30, rel=0.05)
    assert float(hu[after == 2].median()) == pytest.approx(40, abs=6)


def test_grafts_come_only_to_labelled_samples(shelves):
    sampler = Sampler(shelves, Mixture(grafts=0.5, kidney_free=0.3, generated=0.2), 4.0, 64, seed=5)
    plans = [sampler._plan(np.random.default_rng([5, 0, k])) for k in range(600)]
    assert all(plan.graft is None for plan in plans if plan.shelf != "labelled")
    labelled = [plan.graft is not None for plan in plans if plan.shelf == "labelled"]
    assert np.mean(labelled) == pytest.approx(0.5, abs=0.08)
    assert all(plan.foreign is None for plan in plans if plan.shelf == "generated")
    assert any(plan.foreign is not None for plan in plans if plan.shelf == "kidney_free")


def test_what_is_generated_gets_no_decoy_and_only_real_kidneys_lose_their_contrast(shelves):
    some = {**shelves, "tumor_free": [replace(shelves["labelled"][0], group="tumor_free")]}
    mixture = Mixture(kidney_free=0.25, generated=0.25, tumor_free=0.25, decoys=0.5, no_contrast=0.5)
    sampler = Sampler(some, mixture, 4.0, 64, seed=5)
    plans = [sampler._plan(np.random.default_rng([5, 0, k])) for k in range(200)]
    assert {plan.shelf for plan in plans if plan.decoy} == {"labelled", "tumor_free", "kidney_free"}
    assert {plan.shelf for plan in plans if plan.squeeze < 1} == {"labelled", "tumor_free"}


def test_kidney_and_tumor_each_get_their_own_change_of_contrast():
    labels = torch.zeros(1, 40, 40)
    labels[0, :20, :20], labels[0, :20, 20:] = 1, 2
    sampler = Sampler({"labelled": [case_of(labels.numpy(), labels.numpy())]}, PLAIN, 2.0, 40, seed=0)
    plan = replace(sampler._plan(np.random.default_rng(0)), kidney_hu=50.0, tumor_hu=-20.0)
    changed = sampler._tissue(torch.full((1, 40, 40), 100.0), labels, [plan])[0]
    assert changed[[10, 10, 30], [10, 30, 10]].tolist() == pytest.approx([150, 80, 100], abs=1e-3)


def test_contrast_stays_where_a_small_tumor_would_vanish():
    def drawn(tumor_mm):
        y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
        labels = ((x - 48) ** 2 + (y - 48) ** 2 < 30**2).to(torch.uint8)
        labels[(x - 48) ** 2 + (y - 48) ** 2 < (tumor_mm / 2 / 1.6) ** 2] = 2
        hu = torch.where(labels == 1, 200.0, torch.where(labels == 2, 110.0, 50.0))
        grey = ((hu + 512) / 4).round().numpy().astype(np.uint8)[None]
        case = Case("c", "labelled", 1.6, grey, labels.numpy()[None])
        x, y = Sampler({"labelled": [case]}, replace(PLAIN, no_contrast=1.0), 1.6, 96, seed=0).batch(0, 0, 1)
        return float(x[0, 0][y[0] == 1].median())

    assert drawn(0) == pytest.approx(drawn(60), abs=0.05)
    assert drawn(30) > drawn(60) + 0.4


def test_blur_keeps_the_mean_and_leaves_sharp_what_is_to_stay_sharp():
    pictures = torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(1))
    blurred = blur(pictures, [0.0, 1.0, 2.0])
    assert torch.allclose(blurred[0], pictures[0], atol=1e-6)
    assert pictures[1].std() > blurred[1].std() > blurred[2].std()
    flat = torch.full((1, 30, 30), 7.0)
    assert torch.allclose(blur(flat, [1.5]), flat, atol=1e-5)
    assert normalise(torch.tensor(-160.0)) == -1


def test_each_source_is_drawn_by_its_share_whatever_it_holds(drawn):
    few = [replace(drawn, name=f"few {k}", source="few") for k in range(2)]
    many = [replace(drawn, name=f"many {k}", source="many") for k in range(60)]
    sampler = Sampler({"labelled": few + many}, PLAIN, 4.0, 64, seed=2, sources={"few": 3.0, "many": 1.0})
    sampler.batch(0, 0, 400)
    assert set(sampler.drawn) == {("labelled", "few"), ("labelled", "many")}
    assert sampler.drawn["labelled", "few"] / 400 == pytest.approx(0.75, abs=0.06)
    as_it_comes = Sampler({"labelled": few + many}, PLAIN, 4.0, 64, seed=2)
    as_it_comes.batch(0, 0, 400)
    assert as_it_comes.drawn["labelled", "few"] / 400 == pytest.approx(2 / 62, abs=0.03)
    with pytest.raises(InputError, match="no share to the source 'many'"):
        Sampler({"labelled": few + many}, PLAIN, 4.0, 64, seed=2, sources={"few": 3.0})


def test_kidney_means_kidney_or_cyst_where_nobody_marked_cysts(drawn):
    labels = drawn.labels.copy()
    labels[0, 60:66, 25:31] = CYST
    told, untold = (replace(drawn, labels=labels, cysts=cysts) for cysts in (True, False))
    (_, sure), (_, either) = (
        Sampler({"labelled": [case]}, PLAIN, 2.0, 128, seed=0, cysts=True).batch(0, 0, 1) for case in (told, untold)
    )
    assert sure.unique().tolist() == [0, 1, 2, CYST_CLASS]
    assert either.unique().tolist() == [0, 2, CYST_CLASS, EITHER]
    assert torch.equal(either == EITHER, sure == 1)
    _, three = Sampler({"labelled": [told]}, PLAIN, 2.0, 128, seed=0).batch(0, 0, 1)
    assert three.unique().tolist() == [0, 1, 2]
    assert torch.equal(three == 1, (sure == 1) | (sure == CYST_CLASS))


def test_a_narrower_window_cuts_off_both_ends(drawn):
    case = case_of(drawn.labels, np.where(drawn.labels > 0, 500.0, -500.0))
    x, _ = Sampler({"labelled": [case]}, replace(PLAIN, window=1.0), 2.0, 128, seed=0).batch(0, 0, 30)
    hu = x * 250 + 90
    lowest, highest = hu.amin((1, 2, 3)), hu.amax((1, 2, 3))
    assert -160 <= lowest.min() < -140 < -80 < lowest.max() <= -60
    assert 240 <= highest.min() < 260 < 320 < highest.max() <= 340
