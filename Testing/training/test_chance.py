"""The chance of a marked tumor: fitted, told of others than it was fitted on, and put where the engine finds it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from wpunet import bundle, phantom
from wpunet.certainty import FEATURES, Certain, Chance, features
from wpunet.errors import InputError
from wpunet.labels import KIDNEY, TUMOR
from wpunet.measure import parts
from wpunet.predict import Maps
from wpunet.preprocess import InPlaneGrid
from wpunet.segment import Segmenter
from wpunet.volume import AXES_RAS

from Testing.training.test_evaluate import Oracle, drawn
from training import chance
from training.chance import Candidate
from training.data import read_prepared

TRUE = Chance(-1.0, (0.8, 0.5, -0.3))


def drawn_candidates(count=3000, patients=300, seed=0):
    """Marked bodies whose chance is known."""
    g = np.random.default_rng(seed)
    x = g.normal([2, 0, 3], [3, 2, 0.5], (count, 3))
    is_tumor = g.random(count) < TRUE(x)
    return [Candidate(f"p{k % patients:03}", x[k], bool(is_tumor[k])) for k in range(count)]


def test_the_model_finds_the_chances_that_were_drawn():
    candidates = drawn_candidates()
    fitted, x = chance.fit(candidates), np.array([one.features for one in candidates])
    assert np.abs(fitted(x) - TRUE(x)).mean() < 0.03


def test_chances_are_told_by_other_patients():
    """A patient whose tumors are all called what they are not does not change what is told of that patient."""
    candidates = drawn_candidates(600, 30)
    told = chance.told_by_others(candidates)
    turned = [Candidate(one.patient, one.features, one.is_tumor ^ (one.patient == "p007")) for one in candidates]
    own = np.array([one.patient == "p007" for one in candidates])
    changed = np.abs(chance.told_by_others(turned) - told)
    assert changed[own].max() < 1e-9
    assert changed[~own].max() > 1e-3
    assert np.isfinite(told).all()


def test_reliability_of_honest_and_of_boastful_chances():
    candidates = drawn_candidates()
    is_tumor, told = np.array([one.is_tumor for one in candidates]), chance.told_by_others(candidates)
    honest = chance.reliability(told, is_tumor)
    assert honest["error"] < 0.04
    assert sum(row["marked"] for row in honest["bands"]) == len(candidates)
    assert chance.reliability(np.clip(told + 0.3, 0, 1), is_tumor)["error"] > 0.15


def test_reliability_by_hand():
    found = chance.reliability(np.array([0.5, 0.8, np.nan]), np.array([True, False, True]))
    assert [(row["from"], row["chance"], row["tumors"]) for row in found["bands"]] == [(0.4, 0.5, 1.0), (0.8, 0.8, 0.0)]
    assert (found["error"], found["brier"]) == (pytest.approx((0.5 + 0.8) / 2), pytest.approx((0.25 + 0.64) / 2))


def test_a_patient_of_many_slices_counts_as_one_of_few():
    candidates, x = drawn_candidates(600, 60), np.random.default_rng(1).normal([2, 0, 3], [3, 2, 0.5], (100, 3))
    turned = [replace(one, is_tumor=not one.is_tumor) if one.patient == "p007" else one for one in candidates]
    many = turned + [one for one in turned if one.patient == "p007"] * 100
    assert np.abs(chance.fit(many)(x) - chance.fit(turned)(x)).max() < 0.05


def test_wilson():
    assert chance.wilson(0.5, 100) == pytest.approx((0.404, 0.596), abs=1e-3)
    assert chance.wilson(1.0, 10)[0] == pytest.approx(0.722, abs=1e-3)


def test_all_of_one_kind_is_refused():
    for kind in (True, False):
        with pytest.raises(InputError, match="others that are not"):
            chance.fit([one for one in drawn_candidates(200) if one.is_tumor == kind])
    with pytest.raises(InputError):
        chance.fit([])


def test_marked_tumors_of_slices_are_told_from_invented_ones(make_weights):
    weights = bundle.load(make_weights())
    case = drawn()
    true = list(chance.of_slices(case, Oracle(), weights))
    assert true
    assert all(one.is_tumor and one.patient == case.name for one in true)
    tumor = np.argwhere(case.labels == TUMOR)
    marked = case.labels.copy()
    for share, is_tumor in ((0.15, True), (0.05, False)):  # of the marked body; a tenth makes it a tumor
        case.labels[:] = marked
        case.labels[tuple(tumor[int(share * len(tumor)) :].T)] = KIDNEY
        assert {one.is_tumor for one in chance.of_slices(case, Oracle(), weights)} == {is_tumor}


@pytest.mark.parametrize(("radius", "counts"), [(2, False), (3, True)])
def test_what_is_smaller_than_a_tumors_core_is_none(make_weights, radius, counts):
    """Of 50 mm2: here are 9 and 25 pixels of 1.6 mm."""
    found = list(chance.of_slices(drawn(tumor_radius=radius), Oracle(), bundle.load(make_weights())))
    assert bool(found) == counts


def test_of_whole_ct_the_tumors_are_told_that_the_engine_leaves(make_weights, tmp_path):
    """In HU, whatever the numbers of the file are, and without what has no kidney beside it."""
    k, y, x = np.mgrid[:24, :160, :160]
    hu, labels = np.full(k.shape, -1000.0), np.zeros(k.shape, np.uint8)
    for tissue, radius in ((-105, 72), (50, 62)):
        hu[(y - 80) ** 2 + (x - 80) ** 2 < radius**2] = tissue
    balls = (
        (KIDNEY, 140, (80, 40), 20),
        (KIDNEY, 140, (80, 120), 20),
        (TUMOR, 220, (80, 36), 9),
        (0, 220, (40, 80), 9),
    )
    for value, tissue, at, radius in balls:
        inside = ((k - 12) * 3) ** 2 + (y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2
        hu[inside], labels[inside] = tissue, value
    hu = np.rint(hu + np.random.default_rng(0).normal(0, 8, hu.shape)).astype(np.int16)

    class Brighter(Oracle):
        """Who takes 100 HU and more for kidney, 180 and more for tumor."""

        def __call__(self, slices):
            hu = slices * 250 + 90
            return super().__call__((np.select([hu > 180, hu > 100], [220.0, 90.0], -80.0) - 90) / 250)

    affine = np.eye(4)
    affine[:3, :3] = AXES_RAS.T * (4.8, 1.6, 1.6)
    for name in ("case_1", "case_2"):
        (tmp_path / name).mkdir()
        phantom.save_nifti(hu + 1024, affine, tmp_path / name / "imaging.nii.gz")
        phantom.save_nifti(labels, affine, tmp_path / name / "segmentation.nii.gz")
    (tmp_path / "case_2" / "imaging.nii.gz").rename(tmp_path / "healthy.nii.gz")
    engine = SimpleNamespace(runtime=Brighter(), weights=bundle.load(make_weights()))
    found, names = chance.collect(engine, [], [tmp_path / "case_1"], [tmp_path / "healthy.nii.gz"])
    assert names == ["case_1", "healthy"]
    assert [(one.patient, one.is_tumor) for one in found] == [("case_1", True), ("healthy", False)]


def test_all_is_written_and_the_engine_finds_the_model(tmp_path, make_weights):
    weights = bundle.load(make_weights())
    candidates = drawn_candidates(400, 40)
    found = chance.summary(candidates, [*{one.patient for one in candidates}, "healthy"], weights)
    assert (found["patients"], found["patients_without_marked_tumor"]) == (41, 1)
    chance.write(found, candidates, tmp_path)
    assert "41 patients" in (tmp_path / "chance.md").read_text()
    assert (tmp_path / "reliability.png").read_bytes()[:4] == b"\x89PNG"
    card = tmp_path / "weights.json"
    card.write_text(json.dumps({"version": "1", "sha256": weights.sha256}))
    chance.into_card(json.loads((tmp_path / "chance.json").read_text()), card)
    kept = json.loads(card.read_text())
    assert (kept["version"], kept["sha256"]) == ("1", weights.sha256)
    model, x = Chance.of_card(kept), np.array([one.features for one in candidates])
    assert np.allclose(model(x), chance.fit(candidates)(x))
    assert Chance.of_card({}) is None
    assert Chance.of_card({"tumor_chance": {"features": ["other"], "offset": 0, "weights": [1]}}) is None
    with pytest.raises(InputError, match="card"):
        chance.into_card(found, tmp_path / "absent.json")
    with pytest.raises(InputError, match="is of other weights"):
        chance.into_card(found | {"weights_sha256": "another"}, card)
    with pytest.raises(InputError, match="give more of them"):
        chance.summary([replace(one, patient="one") for one in candidates], ["one"], weights)


def maps_of(ct, foreground, tumor):
    grid = InPlaneGrid(ct.shape[1:], (1.6, 1.6), 1.6)
    whole = tuple(slice(0, n) for n in ct.shape)
    shape = (ct.shape[0], *grid.network_shape)
    logits = [np.full(shape, -8.0, np.float16) for _ in range(2)]
    for logit, values in zip(logits, (foreground, tumor), strict=True):
        logit[:, : ct.shape[1], : ct.shape[2]] = values

    class Region:
        box = whole

    return Maps(Region(), grid, 1, 3.0, *logits)


def test_the_certainty_of_a_kidney_is_its_mean_probability_and_of_a_tumor_its_chance():
    labels = np.zeros((12, 64, 64), np.uint8)
    labels[2:10, 20:40, 10:30] = KIDNEY
    labels[4:8, 26:34, 16:24] = TUMOR
    even = np.log(3.0)  # three to one
    kidney, tumor = parts(labels, np.diag([3.0, 1.6, 1.6, 1.0]))
    assert Certain(maps_of(labels, even, -20.0), None)(kidney) == pytest.approx(0.75, abs=0.02)
    maps = maps_of(labels, even, even)
    assert Certain(maps, None)(kidney) == pytest.approx(0.75 * 0.25, abs=0.02)
    assert Certain(maps, None)(tumor) is None
    surest, mean, size = features(maps, tumor)
    assert surest == pytest.approx(np.log(0.5625 / 0.4375), abs=0.03)
    assert mean <= surest
    assert size == pytest.approx(np.log(2 * np.sqrt(64 * 1.6**2 / np.pi)))
    told = Chance(0.0, (1.0, 0.0, 0.0))
    assert Certain(maps, told)(tumor) == pytest.approx(0.5625, abs=0.01)
    assert len(FEATURES) == 3


def test_slices_of_one_patient_are_one_patients(prepared):
    case = next(one for one in read_prepared(prepared, "labelled") if (one.labels == 2).any())
    few = np.flatnonzero((case.labels == 2).any((1, 2)))[:2]
    case = replace(case, grey=case.grey[few], labels=case.labels[few])
    parts = [replace(case, name=f"{case.name} {part}") for part in ("z50", "mid")]
    found, names = chance.collect(Segmenter(), parts, [], [])
    assert names == [case.name]
    assert {one.patient for one in found} <= {case.name}
