"""Evaluation: of a network that knows the truth, of one that knows nothing, and all its files."""

import csv
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from wpunet import bundle, files, phantom
from wpunet.labels import CYST, KIDNEY, LEFT_KIDNEY, RIGHT_KIDNEY, TUMOR
from wpunet.segment import Segmenter
from wpunet.volume import AXES_RAS

from Testing.wpunet.results import result_of
from training import chance, edge, evaluate, metrics
from training.data import Case, to_grey, write_split
from training.export import as_bundle
from training.networks import load_trained


class Oracle:
    """A "network" that reads the label from the HU: 50 and more is kidney, 200 and more is tumor."""

    description, batch, put = "an oracle", 4, staticmethod(np.asarray)

    def __init__(self):
        self.warnings = []

    def __call__(self, slices):
        hu = slices[:, 0] * 250 + 90
        tumor, kidney = hu > 150, (hu > 20) & (hu <= 150)
        return np.stack([12.0 * ~(tumor | kidney), 12.0 * kidney, 12.0 * tumor], 1).astype(np.float32)


@pytest.fixture
def weights(make_weights):
    return bundle.load(make_weights())  # for its pixel size alone


def drawn(name="drawn", tumor_radius=9):
    y, x = np.mgrid[:120, :120]
    labels = np.where((x - 50) ** 2 + (y - 60) ** 2 < 25**2, 1, 0)
    labels[(x - 58) ** 2 + (y - 60) ** 2 < tumor_radius**2] = 2
    stack = np.stack([labels, np.minimum(labels, 1), labels * 0]).astype(np.uint8)
    hu = np.choose(stack, [-80.0, 90.0, 220.0])
    return Case(name, "labelled", 1.6, to_grey(hu), stack)


def test_who_knows_the_truth_gets_full_marks(weights):
    case = drawn()
    labels, logits = evaluate.segment_slices(case, Oracle(), weights)
    assert labels.shape == logits.shape == case.labels.shape
    figures = evaluate.evaluate_slices([case, drawn("small", 4)], Oracle(), weights)
    assert figures["calibration"]["suggested_temperature"] < 0.5  # it might be surer of itself
    assert (figures["patients"], figures["slices"]) == (2, 6)
    for name in ("kidney_or_tumor", "tumor", "composite"):
        assert figures[name]["worst"] > 0.97, name
    assert figures["paper"]["accuracy"] > 0.995
    assert figures["paper"]["mean_dice"] > 0.97
    assert figures["tumor_by_size"]["under 25 mm"]["n"] == 1
    assert figures["tumor_by_size"]["25 to 40 mm"]["n"] == 1
    assert figures["tumor_by_size"]["above 40 mm"] == {"n": 0}
    assert [one["case"] for one in figures["per_patient"]] == ["drawn", "small"]
    assert figures["per_patient"][0]["tumor_mm"] == pytest.approx(2 * 9 * 1.6, rel=0.03)


def test_who_is_wrong_is_not_praised(weights):
    case = drawn()
    shifted = Case(case.name, case.group, case.pixel_mm, case.grey, np.roll(case.labels, 12, 2))
    figures = evaluate.evaluate_slices([shifted], Oracle(), weights)
    assert figures["kidney_or_tumor"]["mean"] == pytest.approx(0.71, abs=0.03)
    assert figures["tumor"]["mean"] < 0.4
    right = 0.71 / (2 - 0.71)  # of what is kidney for one of the two; the rest is surely background for both
    assert figures["calibration"]["error"] == pytest.approx(1 - right, abs=0.05)  # sure of itself and wrong
    assert figures["calibration"]["suggested_temperature"] > 2


def with_a_cyst(labels, rows=np.s_[40:50]):
    """The same, some rows of the kidney in the first slice a cyst."""
    labels = labels.copy()
    labels[0, rows][labels[0, rows] == KIDNEY] = CYST
    assert (labels == CYST).sum() > 300
    return labels


def test_a_cyst_is_kidney_for_the_papers_figures(weights):
    """The paper, as KiTS19, knows no cysts."""
    case = drawn()
    cystic = replace(case, labels=with_a_cyst(case.labels), cysts=True)
    whole, told = (evaluate.evaluate_slices([one], Oracle(), weights) for one in (case, cystic))
    assert told["paper"] == whole["paper"]
    assert told["blind"]["cysts"] == {"cysts": 1, "called_cyst": 0, "called_tumor": 0, "not_marked": 0}


def test_the_rule_on_water_is_told_beside_the_networks_own_answer(weights):
    """Of a network that calls a cyst tumor, by its HU."""

    class Fooled(Oracle):
        def __call__(self, slices):
            hu = slices[:, :1] * 250 + 90
            return super().__call__(np.where((hu > 0) & (hu < 20), 220.0 - 90, slices[:, :1] * 250) / 250)

    case = drawn()
    y, x = np.mgrid[:120, :120]
    water = (x - 38) ** 2 + (y - 60) ** 2 < 8**2
    labels, hu = case.labels.copy(), case.hu
    labels[0, water], hu[0, water] = CYST, 10.0
    figures = evaluate.evaluate_slices([replace(case, labels=labels, grey=to_grey(hu), cysts=True)], Fooled(), weights)
    ruled = figures["rule_on_water"]
    assert figures["blind"]["cysts"] == {"cysts": 1, "called_cyst": 0, "called_tumor": 1, "not_marked": 0}
    assert ruled["cysts"] == {"cysts": 1, "called_cyst": 1, "called_tumor": 0, "not_marked": 0}
    assert figures["tumor"]["mean"] == pytest.approx(2 * 81 / (81 + 81 + 64), abs=0.03)  # by their radii
    assert ruled["tumor"]["mean"] > 0.95


def test_the_worst_patients_are_drawn_the_worst_first(monkeypatch):
    cases, shown = [drawn(name) for name in "abcd"], []
    cases.append(replace(drawn("b z50"), group="tumor_free"))  # which has no Dice
    monkeypatch.setattr(evaluate, "segment_slices", lambda case, *_: (case.labels, None))
    monkeypatch.setattr(evaluate, "plot_worst", lambda pictures, _: shown.extend(pictures))
    told = {"a": (0.9, 0.9), "b": (0.5, 0.7), "c": (None, 0.6), "d": (None, None)}  # composite, kidney or tumor
    patients = [{"case": name, "composite": both, "kidney_or_tumor": one} for name, (both, one) in told.items()]
    engine = SimpleNamespace(runtime=None, weights=None)
    evaluate.draw_worst({"slices": {"per_patient": patients}}, cases, engine, None, count=3)
    assert [name for name, *_ in shown] == ["d", "b", "c"]


def test_tables_have_each_figure_in_its_column():
    one = {"n": 2, "mean": 0.5, "sd": 0.1, "median": 0.6, "worst": 0.4}
    assert evaluate.dice_table({"some": one, "none": {"n": 0}})[2:] == ["| some | 2 | 0.500 | 0.100 | 0.600 | 0.400 |"]
    counts = {"cysts": 9, "called_cyst": 4, "called_tumor": 3, "not_marked": 2}
    told = "Cysts of at least 10 mm: 9, called cyst: 4, called tumor: 3, not marked: 2."
    assert evaluate._cysts_in_words(counts) == told
    volume = dict.fromkeys(evaluate._OF_VOLUMES) | {
        "case": "one",
        "tumor": 0.25,
        "kidneys_missed": 1,
        "tumor_ml": 12.34,
    }
    volume |= {"lesions": {"found": 3, "missed": 2, "false": 1}}
    figures = {"weights": "w", "sha256": "0" * 64, "runtime": "r", "volumes": [volume], "tumor_free": []}
    lines = evaluate.markdown(figures).splitlines()
    assert "| one |  | 0.250 |  |  | 1 |  |  | 12.3 |  |" in lines
    assert lines[-3:] == ["Tumors found, missed, invented:", "", "- one: 3, 2, 1"]


def test_who_is_held_out_is_measured_with_tumors_or_without(prepared, segmenter, tmp_path, command):
    write_split(tmp_path / "split.json", ["case_00002"], ["case_00001", "contrast_chest_oral_contrast"])
    cases = evaluate.held_out_cases(prepared, tmp_path / "split.json", None)
    assert [(one.patient, one.group) for one in cases] == [
        ("case_00001", "labelled"),
        ("contrast_chest_oral_contrast", "kidney_free"),
    ]
    write_split(tmp_path / "split.json", ["case_00002"], ["contrast_chest_oral_contrast"])
    options = ("--weights", segmenter.weights.path, "--data", prepared, "--split", tmp_path / "split.json")
    assert command(evaluate, *options, "--output", tmp_path / "out") == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {f"evaluation.{end}" for end in ("json", "md", "csv")}  # there is no worst tumor to draw


def test_the_worst_slice_is_not_one_whose_cyst_was_called_kidney(monkeypatch):
    labels = drawn().labels
    case = replace(drawn(), labels=with_a_cyst(labels))
    found = with_a_cyst(labels, np.s_[70:80])  # and one that is none for the readers
    found[1, 60:62] = 0
    shown = []
    monkeypatch.setattr(evaluate, "segment_slices", lambda *_: (found, None))
    monkeypatch.setattr(evaluate, "plot_worst", lambda pictures, _: shown.extend(pictures))
    figures = {"slices": {"per_patient": [{"case": case.name, "composite": 0.9}]}}
    evaluate.draw_worst(figures, [case], SimpleNamespace(runtime=None, weights=None), None)
    ((_, hu, marked, truth),) = shown
    assert np.array_equal(hu, case.hu[1])
    assert np.count_nonzero(marked != truth) > 50


@pytest.fixture(scope="module")
def segmenter(trained, tmp_path_factory):
    network, facts = load_trained(trained)
    return Segmenter(as_bundle(network, facts["pixel_mm"], tmp_path_factory.mktemp("bundle") / "b.safetensors"))


def test_a_volume_is_judged_as_it_would_be_by_hand(segmenter, kits):
    figures = evaluate.evaluate_volume(kits / "case_00000", segmenter)
    found = segmenter.segment_file(kits / "case_00000" / "imaging.nii.gz").labels > 0
    stored = np.asarray(nib.load(kits / "case_00000" / "segmentation.nii.gz").dataobj)  # to left, back, head
    truth = stored.transpose(2, 1, 0)[::-1]
    both = (found & (truth > 0)).sum()
    assert figures["kidney_or_tumor"] == pytest.approx(2 * both / (found.sum() + (truth > 0).sum()))
    assert figures["kidney_or_tumor"] > 0.2
    assert figures["true_tumor_ml"] == pytest.approx((truth == 2).sum() * 0.128, abs=0.06)
    lesions = figures["lesions"]
    assert lesions["found"] + lesions["missed"] == 1
    assert 0 <= figures["kidney_surface_dice"] <= 1
    assert figures["kidney_hd95_mm"] > 0


def test_a_tumor_as_large_as_a_limit_is_of_the_larger_ones():
    patients = [{"tumor_mm": 25.0, "tumor": 0.25}, {"tumor_mm": 40.0, "tumor": 0.5}]
    assert [one.get("mean") for one in evaluate.by_size(patients).values()] == [None, 0.25, 0.5]


def test_the_networks_answer_is_divided_by_the_bundles_temperature(weights):
    warm = replace(weights, temperature=2.0)
    (labels, logits), (same, halved) = (evaluate.segment_slices(drawn(), Oracle(), one) for one in (weights, warm))
    sure = np.abs(logits) > 4  # elsewhere the mean with what is mirrored, and half precision, weigh
    assert np.allclose(halved[sure], logits[sure] / 2, rtol=0.1)
    assert np.array_equal(same > 0, labels > 0)
    told, doubted = ([one.features[0] for one in chance.of_slices(drawn(), Oracle(), one)] for one in (weights, warm))
    assert 0 < doubted[0] < 0.7 * told[0]


def kidneys(*boxes):
    """Labels (slice, row, column) of 0.008 ml a voxel, from boxes with their values; a later one is on top."""
    labels = np.zeros((30, 40, 80), np.uint8)
    for value, *box in boxes:
        labels[tuple(slice(*side) for side in box)] = value
    return labels


def test_every_figure_of_a_volume_is_that_of_its_own_kind(tmp_path):
    """A kidney with a tumor half found, one found in a fifth; marked beside them are 8 ml, and 0.8 ml of tumor."""
    affine = np.eye(4)
    affine[:3, :3] = AXES_RAS.T * 2.0
    first, second = ((5, 25), (10, 30), (5, 25)), ((5, 25), (10, 30), (50, 70))
    truth = kidneys((KIDNEY, *first), (KIDNEY, *second), (TUMOR, (10, 14), (10, 14), (5, 9)))
    found = kidneys(
        (RIGHT_KIDNEY, *first),
        (CYST, (5, 10), (25, 30), (20, 25)),
        (TUMOR, (10, 14), (10, 14), (5, 7)),
        (LEFT_KIDNEY, *second[:2], (50, 54)),
        (LEFT_KIDNEY, (5, 25), (32, 37), (30, 40)),
        (TUMOR, (26, 28), (0, 5), (0, 10)),
    )
    phantom.save_nifti(np.full(truth.shape, 40, np.int16), affine, tmp_path / "imaging.nii.gz")
    phantom.save_nifti(truth, affine, tmp_path / "segmentation.nii.gz")
    engine = SimpleNamespace(segment_file=lambda path, _: result_of(files.read(path), found))
    told = evaluate.evaluate_volume(tmp_path, engine)
    counted = {"kidneys_missed": 1, "surplus_ml": 8.8, "surplus_in_hollow_ml": 0.0}
    counted |= {"tumor_ml": 1.1, "true_tumor_ml": 0.5, "kidney_or_tumor_ml": 85.6, "true_kidney_or_tumor_ml": 128.0}
    assert {name: told[name] for name in counted} == counted
    assert [told["lesions"][name] for name in ("found", "missed", "false")] == [1, 0, 1]
    assert told["kidney_or_tumor"] == pytest.approx(2 * 9600 / (10700 + 16000))
    assert told["tumor"] == pytest.approx(2 * 32 / (132 + 64))
    for name, one, true in (("kidney", found > 0, truth > 0), ("tumor", found == TUMOR, truth == TUMOR)):
        surface = metrics.surface(one, true, (2.0, 2.0, 2.0))
        assert {key: told[f"{name}_{key}"] for key in surface} == surface


@pytest.mark.parametrize("what", ["--volumes", "--tumor-free"])
def test_parenchyma_is_asked_for_in_whole_ct(what, segmenter, kits, unlabelled, tmp_path, command, capsys):
    there = kits / "case_00000" if what == "--volumes" else next(unlabelled.iterdir())
    options = ("--weights", segmenter.weights.path, "--output", tmp_path / "out", what, there, "--parenchyma")
    assert command(evaluate, *options) == 2
    assert "do not tell a kidney's parenchyma" in capsys.readouterr().err


@pytest.mark.parametrize("module", [evaluate, chance, edge])
def test_a_mask_of_other_voxels_is_refused(module, segmenter, kits, tmp_path, command, capsys):
    case = tmp_path / "moved"
    shutil.copytree(kits / "case_00000", case)
    mask = nib.load(case / "segmentation.nii.gz")
    moved = mask.affine.copy()
    moved[0, 3] += 12
    nib.save(nib.Nifti1Image(np.asarray(mask.dataobj), moved), case / "segmentation.nii.gz")
    options = ("--weights", segmenter.weights.path, "--output", tmp_path / "out", "--volumes", case)
    assert command(module, *((case,) if module is edge else options)) == 2
    assert f"{module.__name__.split('.')[1]}: {case}/segmentation.nii.gz lies 12 mm away" in capsys.readouterr().err


def test_all_files_are_written(segmenter, kits, unlabelled, prepared, trained, tmp_path, command, capsys):
    arguments = ["--weights", segmenter.weights.path, "--data", prepared, "--split", trained / "split.json"]
    arguments += ["--volumes", kits / "case_00000", "--tumor-free", next(unlabelled.glob("*.nii.gz"))]
    assert command(evaluate, *arguments, "--output", tmp_path) == 0
    figures = json.loads((tmp_path / "evaluation.json").read_text())
    assert figures["slices"]["patients"] == 2
    assert figures["sha256"] == segmenter.weights.sha256
    assert figures["tumor_free"][0]["case"] == "contrast_chest_oral_contrast"
    with (tmp_path / "evaluation.csv").open(newline="") as file:
        rows = [row["case"] for row in csv.DictReader(file)]
    judged = [*figures["slices"]["per_patient"], *figures["volumes"], *figures["tumor_free"]]
    assert rows == [one["case"] for one in judged]
    text = (tmp_path / "evaluation.md").read_text()
    assert text == capsys.readouterr().out[: len(text)]
    for words in ("| kidney or tumor | 2 |", "Whole volumes", "case_00000", "CT without kidney tumor", "calibration"):
        assert words in text
    assert (tmp_path / "worst.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_weights_that_do_not_say_who_is_held_out(segmenter, prepared, tmp_path, command, capsys):
    options = ("--weights", segmenter.weights.path, "--data", prepared, "--output", tmp_path)
    assert command(evaluate, *options) == 2
    assert "names no held_out_patients" in capsys.readouterr().err


def test_slices_of_one_patient_are_pooled_and_others_do_not_count_for_dice(weights):
    one = drawn("case_00001 mid")
    other = replace(drawn("case_00001 z50", 4), pixel_mm=1.6)
    empty = replace(drawn("case_00002 z50"), group="kidney_free", labels=np.zeros_like(one.labels), grey=one.grey * 0)
    figures = evaluate.evaluate_slices([one, other, empty], Oracle(), weights)
    assert [(p["case"], p["slices"]) for p in figures["per_patient"]] == [("case_00001", 6)]
    assert figures["per_patient"][0]["tumor_mm"] == pytest.approx(2 * 9 * 1.6, rel=0.03)  # of the larger one
    assert (figures["patients"], figures["slices"]) == (2, 9)
    assert figures["blind"]["without_kidney"]["slices"] == 1 + 1 + 3
    assert figures["blind"]["without_kidney"]["false_alarms"] == 0
    assert "Slices without kidney: 5" in "\n".join(evaluate._slice_table(figures))
    figures = evaluate.evaluate_slices([empty], Oracle(), weights)  # all who are held out are without tumor
    assert (figures["per_patient"], figures["paper"]) == ([], None)
    assert "Slices without kidney: 3" in "\n".join(evaluate._slice_table(figures))


def test_a_kidney_that_was_not_found_is_missed():
    truth = np.zeros((40, 40, 80), bool)
    truth[5:35, 5:35, 5:35] = truth[5:35, 5:35, 45:75] = True
    found = truth.copy()
    found[:, :, 55:] = False
    assert metrics.kidneys_missed(found, truth, 0.001) == 1
    assert metrics.kidneys_missed(truth, truth, 0.001) == 0
    assert metrics.kidneys_missed(found, truth, 0.0001) == 0  # pieces, not kidneys


@pytest.mark.parametrize("module", [evaluate, chance])
def test_nobody_to_measure_is_told_before_anything_is_written(module, tmp_path, command, capsys):
    assert command(module, "--output", tmp_path / "out") == 2
    assert "There is nothing to measure; name some, as --volumes CASE" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
