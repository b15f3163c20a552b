"""The whole way of a CT with the shipped network: any orientation, any runtime, cancel, memory."""

import subprocess
import sys
import textwrap
from dataclasses import replace
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from wpunet import check, clean, files, measure, predict, volume
from wpunet.errors import Cancelled
from wpunet.locate import whole
from wpunet.predict import Maps
from wpunet.preprocess import InPlaneGrid
from wpunet.runtime import OpenVINORuntime, TorchRuntime
from wpunet.segment import Options, Segmenter

from Testing import phantom
from Testing.wpunet import anatomy, patient
from Testing.wpunet.oracle import Recorder

CODES = ["".join(c) for axes in permutations(("RL", "AP", "SI")) for c in product(*axes)]
QUICK = Options(full=True, flips=False)
TOLERANCE = 0.005  # share of the foreground's voxels that may differ between runtimes


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b))


@pytest.fixture(scope="module")
def upright(segmenter, abdomen):
    return segmenter.segment(volume.from_array(abdomen.hu, abdomen.affine, "phantom"))


@pytest.fixture(scope="module")
def quick(segmenter, abdomen):
    return segmenter.segment(volume.from_array(abdomen.hu, abdomen.affine), QUICK).labels


def test_the_phantom_is_segmented(upright, abdomen):
    assert dice(upright.labels > 0, abdomen.labels > 0) > 0.85
    assert [one.name for one in upright.report.structures[:2]] == ["right kidney", "left kidney"]


def test_parenchyma_is_what_is_left_of_the_same_kidneys_and_lesions_stay(segmenter, abdomen, upright):
    """The phantom's kidneys have a sinus of fat, vessels and renal pelvis."""
    alone = segmenter.segment(volume.from_array(abdomen.hu, abdomen.affine), Options(parenchyma=True))
    kidneys = np.isin(upright.labels, list(measure.KIDNEYS))
    left_out = (alone.labels == 0) & (upright.labels > 0)
    assert kidneys[left_out].all()
    assert np.array_equal(alone.labels[~left_out], upright.labels[~left_out])
    assert 0.03 < left_out.sum() / kidneys.sum() < 0.4
    wrong = abdomen.labels == 0  # the truth leaves the sinus out, too
    assert wrong[left_out].mean() > 0.5 > 5 * wrong[alone.labels > 0].mean()
    lesions = [[one for one in each.report.structures if one.kind != "kidney"] for each in (upright, alone)]
    assert lesions[0] == lesions[1] != []
    own = [one for one in alone.report.structures if one.kind == "kidney"]
    for one, label in zip(own, measure.KIDNEYS, strict=True):
        assert one.voxels == (alone.labels == label).sum()
        assert 0.5 < one.certainty < 1
    codes = [[one.code for one in each.report.warnings] for each in (upright, alone)]
    assert codes[1] == [*codes[0], "parenchyma"]
    assert segmenter._runtime(Options(parenchyma=True)) is segmenter._telling_parenchyma  # made once
    assert np.array_equal(segmenter.segment(volume.from_array(abdomen.hu, abdomen.affine)).labels, upright.labels)


def test_parenchyma_is_no_word_where_no_kidney_is(segmenter, monkeypatch):
    monkeypatch.setattr(check, "check", lambda ct: (ct, ()))
    water = volume.from_array(np.zeros((20, 64, 64), np.int16), np.diag([4.0, 4, 4, 1]))
    report = segmenter.segment(water, replace(QUICK, parenchyma=True)).report
    assert report.structures == ()
    assert "parenchyma" not in [one.code for one in report.warnings]


@pytest.mark.parametrize("codes", CODES)
def test_every_orientation_gives_the_same_segmentation(segmenter, abdomen, quick, codes):
    """All 48 ways to store the voxels; labels are compared on the phantom's own grid."""
    image = nib.Nifti1Image(abdomen.hu, abdomen.affine)
    now, wanted = nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(tuple(codes))
    turned = image.as_reoriented(nib.orientations.ornt_transform(now, wanted))
    result = segmenter.segment(volume.from_array(np.asarray(turned.dataobj), turned.affine), QUICK)
    labels = nib.Nifti1Image(volume.to_source(result.labels, result.volume), turned.affine)
    assert labels.shape == turned.shape
    back = labels.as_reoriented(nib.orientations.ornt_transform(wanted, now))
    assert np.allclose(back.affine, abdomen.affine)
    assert np.array_equal(np.asarray(back.dataobj), quick)


@pytest.mark.parametrize(("axis", "degrees"), [((0, 0, 1), 25), ((1, 0, 0), 15), ((1, 1, 1), 40)])
def test_an_oblique_ct_gives_the_same_segmentation(segmenter, abdomen, upright, axis, degrees):
    """The scan is resampled to a turned grid, segmented there, and the labels are brought back."""
    ct = sitk.GetImageFromArray(abdomen.hu)
    lps = np.diag([-1.0, -1.0, 1.0]) @ abdomen.affine[:3, [2, 1, 0, 3]]
    ct.SetSpacing(np.linalg.norm(lps[:, :3], axis=0))
    ct.SetDirection((lps[:, :3] / np.linalg.norm(lps[:, :3], axis=0)).ravel())
    ct.SetOrigin(lps[:, 3])
    turn = sitk.VersorTransform(axis, np.radians(degrees))
    turned = np.array(turn.GetMatrix()).reshape(3, 3)
    grid = sitk.Image([170, 170, 110], sitk.sitkInt16)
    grid.SetSpacing([2.6, 2.6, 4.0])
    grid.SetDirection(turned.ravel())
    middle = np.array(ct.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in ct.GetSize()]))
    grid.SetOrigin(middle - turned @ (np.array([169, 169, 109]) / 2 * [2.6, 2.6, 4.0]))
    oblique = sitk.Resample(ct, grid, sitk.Transform(), sitk.sitkLinear, -1024)
    result = segmenter.segment(files.from_itk(oblique, "oblique"))
    assert not result.volume.grid.upright
    labels = volume.to_source(result.labels, result.volume)
    assert labels.shape == oblique.GetSize()
    found = sitk.GetImageFromArray(np.ascontiguousarray(labels.T))
    found.CopyInformation(oblique)
    back = sitk.GetArrayFromImage(sitk.Resample(found, ct, sitk.Transform(), sitk.sitkNearestNeighbor, 0))
    assert dice(back > 0, upright.labels > 0) > 0.9
    assert dice(back == 3, upright.labels == 3) > 0.85


@pytest.mark.parametrize(("precision", "allowed"), [("f32", TOLERANCE / 10), (None, TOLERANCE)])
def test_openvino_and_pytorch_give_the_same_labels(segmenter, abdomen, precision, allowed):
    labels = []
    for runtime in (OpenVINORuntime(segmenter.weights, precision=precision), TorchRuntime(segmenter.weights)):
        other = Segmenter(device="cpu")
        other.runtime = runtime
        options = replace(QUICK, rules=clean.CleanRules().without(["all"]))
        labels.append(other.segment(volume.from_array(abdomen.hu, abdomen.affine), options).labels)
    assert np.count_nonzero(labels[0] != labels[1]) <= allowed * np.count_nonzero(labels[0])


def test_the_quick_pass_changes_nothing(segmenter, abdomen, upright):
    """But for the rims: the network's grid begins at the region's border, so it is shifted by part of a pixel."""
    full = segmenter.segment(volume.from_array(abdomen.hu, abdomen.affine), Options(full=True))
    assert dice(full.labels > 0, upright.labels > 0) > 0.98


def test_cancel_is_obeyed_at_once_wherever_the_run_is(segmenter, abdomen):
    ct = volume.from_array(abdomen.hu, abdomen.affine)
    complete = Recorder()
    segmenter.segment(ct, monitor=complete)
    assert {stage for stage, _, _ in complete.told} == {"check", "locate", "predict", "decide", "clean", "measure"}
    for at in range(0, len(complete.told), len(complete.told) // 8):
        monitor = Recorder(cancel_at=at)
        with pytest.raises(Cancelled):
            segmenter.segment(ct, monitor=monitor)
        assert len(monitor.told) == at


@pytest.mark.parametrize(("tissue", "left"), [(30, False), (180, True)])
def test_a_doubtful_tumor_is_left_only_with_contrast(segmenter, monkeypatch, tissue, left):
    labels = anatomy.kidneys()
    anatomy.put(labels, 2, anatomy.LEFT, (4, 6, 6))
    noise = np.random.default_rng(0).normal(0, 8, labels.shape)
    hu = np.where(labels > 0, tissue, anatomy.body()) + noise
    ct = volume.from_array(np.rint(hu).astype(np.int16), anatomy.AFFINE)
    in_doubt = np.where(labels == 2, 50, 0).astype(np.uint8)
    monkeypatch.setattr(segmenter, "_network", lambda *_: (labels.copy(), in_doubt, no_maps(ct)))
    assert bool((segmenter.segment(ct).labels == 2).any()) is left


def no_maps(ct):
    """Logits that know nothing of a CT."""
    region = whole(ct)
    grid = InPlaneGrid(region.shape[1:], ct.spacing[1:], 8.0)
    nothing = np.zeros((region.shape[0], *grid.network_shape), np.float16)
    return Maps(region, grid, 1, ct.spacing[0], nothing, nothing)


def test_2000_slices(segmenter):
    made = phantom.make(seed=4, shape=(250, 72, 84), spacing=(4.0, 4.8, 4.8))
    long = np.repeat(made.hu, 8, axis=0)
    affine = made.affine.copy()
    affine[:3, 0] /= 8
    result = segmenter.segment(volume.from_array(long, affine))
    assert result.labels.shape == (2000, 72, 84)
    assert result.labels.any()


def test_memory_for_a_large_ct_stays_below_2_gb():
    """In a process of its own; the whole field of view, so that no luck with the region helps."""
    program = textwrap.dedent("""
        from pathlib import Path
        import numpy as np
        from Testing import phantom
        from wpunet import volume
        from wpunet.segment import Options, Segmenter

        made = phantom.make(seed=1, shape=(77, 128, 128), spacing=(4.0, 3.7, 3.7))
        hu = made.hu.repeat(8, axis=0)[:611].repeat(4, axis=1).repeat(4, axis=2)
        affine = made.affine @ np.diag([1 / 8, 1 / 4, 1 / 4, 1])
        ct = volume.from_array(hu, affine)
        segmenter = Segmenter(device="cpu")

        def gb(name):  # getrusage's peak would be that of the process which started this one, if that was larger
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e9

        now = gb("VmRSS")
        segmenter.segment(ct, Options(full=True, flips=False))
        print(gb("VmHWM") - now)
    """)
    if not sys.platform.startswith("linux"):
        pytest.skip("the peak is read from Linux' /proc")
    root = phantom.__file__.rsplit("/", 2)[0]
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=False)
    assert run.returncode == 0, run.stderr
    assert 0 < float(run.stdout) < 2.0


def test_real_ct_without_contrast_run_through_with_a_warning(segmenter, data):
    for path in (data / "dicom" / "abdomen_noncontrast", data / "ct_3mm" / "imaging.nii.gz"):
        result = segmenter.segment_file(path)
        assert any("without contrast" in warning.text for warning in result.report.warnings), result.report.table()


def test_what_each_step_has_to_say_is_in_the_report():
    labels = anatomy.put(anatomy.kidneys(), 1, (20, 25, 30), (12, 12, 12))  # a third body

    class Finds(patient.StandIn):
        def _network(self, *asked):
            return labels.copy(), np.zeros_like(labels), super()._network(*asked)[2]

    engine = Finds()
    engine.runtime.warnings = ["The processor is slow."]
    hu = np.where(labels > 0, 150, anatomy.body()) + np.random.default_rng(0).normal(0, 8, labels.shape)
    ct = volume.from_array(np.rint(hu).astype(np.int16), anatomy.AFFINE)
    report = engine.segment(ct.with_hu(ct.hu, "A word of the reader's.")).report
    told = {(one.code, one.text) for one in report.warnings}
    assert {("run", "The processor is slow."), ("input", "A word of the reader's.")} <= told
    assert any(code == "removed" and "A body of 57 ml around 100, 50, 50 mm (RAS)" in text for code, text in told)
    assert "1 piece(s) away from the kidneys, 57.2 ml, were taken away." in report.notes


def test_a_large_body_that_the_second_look_takes_away_is_a_warning(segmenter, abdomen, monkeypatch):
    ct = volume.from_array(abdomen.hu, abdomen.affine)
    found = segmenter.segment(ct, QUICK)
    assert not [one for one in found.report.warnings if one.code == "removed"]
    monkeypatch.setattr(predict, "SEEN", 1.1)  # nothing is seen enough
    without = segmenter.segment(ct, QUICK)
    told = [one.text for one in without.report.warnings if one.code == "removed"]
    assert len(told) == 2  # the kidneys
    assert all("was not taken for a kidney" in text for text in told)
    assert any("a second look" in note for note in without.report.notes)
    assert not any("a second look" in note for note in found.report.notes)
    assert not without.labels.any()
    rules = clean.CleanRules().without(["unseen"])
    assert np.array_equal(segmenter.segment(ct, replace(QUICK, rules=rules)).labels, found.labels)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (Options(), "of the CT, or try the whole field of view (--full)."),
        (Options(box=((2, 18), (10, 50), (10, 50))), "of the CT, or try a larger box."),
        (Options(full=True), "look at orientation and HU scale of the CT."),
    ],
)
def test_where_no_kidney_is_found_another_look_is_advised_that_was_not_had(segmenter, options, advice):
    hu = np.random.default_rng(3).normal(40, 10, (20, 64, 64)).astype(np.float32)
    hu[:, :8], hu[:, -8:] = -1000, -100  # air above, a table of fat below: a scale in HU
    told = segmenter.segment(volume.from_array(hu, anatomy.AFFINE, "tissue"), options).report.warnings
    (warning,) = [one for one in told if one.code == "nothing"]
    assert warning.text.endswith(advice)


def test_a_kidney_that_the_box_cuts_is_told_as_cut(segmenter):
    made = phantom.make(seed=1, shape=(60, 160, 160), spacing=(4.0, 2.4, 2.4))
    ct = volume.from_array(made.hu, made.affine, "phantom")
    levels = np.flatnonzero((made.labels > 0).any((1, 2)))
    middle = int(levels.mean())
    whole, cut = (segmenter.segment(ct, Options(box=((first, 60), (0, 160), (0, 160)))) for first in (2, middle))
    assert {one.touches_border for one in whole.report.structures if one.kind == "kidney"} == {False}
    assert {one.touches_border for one in cut.report.structures if one.kind == "kidney"} == {True}
    assert any("is cut by the edge" in one.text for one in cut.report.warnings)
    assert not any(one.text.startswith("The kidneys differ") for one in cut.report.warnings)
