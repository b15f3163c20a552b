"""The phantom: seeded, exact, of any size and phase, stored any way."""

import nibabel as nib
import numpy as np
import pytest
from wpunet.labels import CYST, KIDNEY, TUMOR

from Testing import phantom

SMALL = {"shape": (40, 96, 112), "spacing": (6.0, 3.6, 3.6)}


def test_a_seed_draws_one_patient_and_always_the_same():
    first, again, other = (phantom.make(seed=seed, **SMALL) for seed in (1, 1, 2))
    assert np.array_equal(first.hu, again.hu)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)


@pytest.mark.parametrize("phase", list(phantom.PHASES))
def test_tissues_have_the_hu_of_the_phase(phase):
    made = phantom.make(seed=1, phase=phase, noise_hu=0, cysts=0, **SMALL)
    tissue = phantom.PHASES[phase]
    kidney = made.hu[made.labels == KIDNEY]
    assert np.percentile(kidney, 80) == pytest.approx(tissue["cortex"], abs=25)
    core = made.hu[made.labels == TUMOR]
    assert np.median(core) == pytest.approx(tissue["tumor"], abs=40)
    assert made.hu.min() == -1024 or made.hu.min() < -950


def test_the_facts_agree_with_the_labels():
    made = phantom.make(seed=6, tumors=2, tumor_mm=36, **SMALL)
    voxel_ml = np.prod(SMALL["spacing"]) / 1000
    tumors = made.facts["tumors"]
    assert len(tumors) == 2
    for tumor in tumors:
        at = np.linalg.solve(made.affine, [*tumor["centre_ras_mm"], 1])[:3].round().astype(int)
        assert made.labels[tuple(at)] == TUMOR
        assert tumor["volume_ml"] == pytest.approx(np.pi / 6 * 36**3 / 1000, rel=0.6)
    assert sum(made.facts["kidneys_ml"].values()) == pytest.approx((made.labels > 0).sum() * voxel_ml)


def test_single_kidneys_and_no_tumor():
    made = phantom.make(seed=1, kidneys=("left",), tumors=0, **SMALL)
    assert set(np.unique(made.labels)) == {0, KIDNEY, CYST}
    assert made.hu[made.labels == CYST].mean() == pytest.approx(8, abs=25)  # its edge is blurred
    assert not made.labels[:, :, : 112 // 2].any()


@pytest.mark.parametrize("axes", ["LPS", "RAS", "IPL", "SRA"])
def test_any_orientation_is_the_same_patient(axes, tmp_path):
    made = phantom.make(seed=1, **SMALL)
    phantom.save_nifti(made.hu, made.affine, tmp_path / "ct.nii.gz", axes)
    image = nib.load(tmp_path / "ct.nii.gz")
    assert nib.aff2axcodes(image.affine) == tuple(axes)
    here = np.linalg.solve(image.affine, made.affine @ [20, 40, 50, 1])[:3].round().astype(int)
    assert np.asarray(image.dataobj)[tuple(here)] == made.hu[20, 40, 50]


def test_the_command_line(tmp_path, monkeypatch, capsys):
    out, truth = tmp_path / "ct.nii.gz", tmp_path / "truth.nii.gz"
    shape, spacing = map(str, SMALL["shape"]), map(str, SMALL["spacing"])
    arguments = ["phantom", str(out), "--truth", str(truth), "--shape", *shape, "--spacing", *spacing]
    monkeypatch.setattr("sys.argv", arguments)
    phantom.main()
    assert nib.load(out).shape == nib.load(truth).shape
    for wrong, says in ((tmp_path / "none" / "ct.nii.gz", "does not exist"), (tmp_path / "ct.mha", "must end in .nii")):
        monkeypatch.setattr("sys.argv", ["phantom", str(wrong), *arguments[4:]])
        with pytest.raises(SystemExit, match="2"):
            phantom.main()
        assert says in capsys.readouterr().err
