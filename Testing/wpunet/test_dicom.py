"""DICOM folders: whole series become volumes, and what is no even stack of CT slices is refused by name."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from wpunet import batch, cli, dicom_files, files, folders
from wpunet.errors import InputError

from Testing.wpunet import ct_series

SPACING = (4.0, 2.5, 2.5)
POSITION, ORIENTATION = "0020|0032", "0020|0037"


@pytest.fixture
def hu():
    return np.random.default_rng(1).integers(-1000, 1500, (6, 24, 32)).astype(np.int16)


def write(folder, hu, *, uid="1.2.3.4", modality="CT", step=(0.0, 0.0, -SPACING[0]), skip=(), twice=(), start=0):
    """Slices of ``hu`` from head to feet, upright, LPS, stored with an intercept, as scanners do."""
    folder.mkdir(parents=True, exist_ok=True)
    places = [k for k in range(len(hu)) if k not in skip] + list(twice)
    for number, k in enumerate(places, 1):
        image = sitk.GetImageFromArray(hu[k])
        image.SetSpacing(SPACING[1:])
        position = np.array([-40.0, -30.0, 100.0]) + k * np.array(step)
        tags = {
            "0008|0060": modality,
            "0008|103e": f"series {uid}",
            "0020|000e": uid,
            "0020|000d": "1.2.3",
            "0008|0018": f"{uid}.{number}",
            "0020|0013": str(number),
            POSITION: "\\".join(map(str, position)),
            ORIENTATION: "1\\0\\0\\0\\1\\0",
            "0028|1052": "-1024",
            "0028|1053": "1",
        }
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{start + number:03}.dcm"))
        writer.Execute(image)
    return folder


def test_a_series_is_read_in_hu_with_its_geometry(hu, tmp_path):
    volume = files.read(write(tmp_path / "séries 1", hu))
    assert np.array_equal(volume.hu, hu)
    assert np.allclose(volume.spacing, SPACING)
    assert np.allclose(volume.affine @ [0, 0, 0, 1], [40, 30, 100, 1])  # LPS -> RAS
    assert volume.name == "séries 1"
    assert volume.warnings == ()


def test_of_several_series_one_must_be_chosen(hu, tmp_path):
    write(tmp_path, hu, uid="1.2.3.4")
    write(tmp_path, hu + 7, uid="1.2.3.9", start=100)
    with pytest.raises(InputError, match=r"--series, .*1\.2\.3\.4 \(CT, 6 files, series .*1\.2\.3\.9 \(CT"):
        files.read(tmp_path)
    assert np.array_equal(files.read(tmp_path, "1.2.3.9").hu, hu + 7)
    with pytest.raises(InputError, match=r"has no series 5; there are"):
        files.read(tmp_path, "5")


def test_a_series_is_chosen_by_its_whole_uid_or_by_a_beginning_that_only_one_has(hu, tmp_path):
    write(tmp_path, hu, uid="1.2.3.10")
    write(tmp_path, hu + 7, uid="1.2.3.1", start=100)
    write(tmp_path, hu + 9, uid="1.2.4", start=200)
    for series, uid, plus in (("1.2.3.1", "1.2.3.1", 7), ("1.2.3.10", "1.2.3.10", 0), ("1.2.4", "1.2.4", 9)):
        volume = files.read(tmp_path, series)
        assert volume.series == uid
        assert np.array_equal(volume.hu, hu + plus)
    assert files.read(tmp_path, "1.2.3.10"[:8]).series == "1.2.3.10"
    with pytest.raises(
        InputError, match=r"several series that begin with 1\.2\.3; there are: 1\.2\.3\.10 .*1\.2\.3\.1 "
    ):
        files.read(tmp_path, "1.2.3")
    with pytest.raises(InputError, match=r"no series 1\.3; there are"):
        files.read(tmp_path, "1.3")


@pytest.mark.parametrize("out", ["x.nii.gz", "results"])
def test_the_series_that_is_asked_for_is_looked_for_below_the_folder_and_no_other_is_done(hu, tmp_path, out):
    write(tmp_path / "cts" / "a", hu, uid="1.2.3.4")
    write(tmp_path / "cts" / "b", hu + 7, uid="1.2.3.9")
    (tmp_path / "results").mkdir()
    given = ["segment", tmp_path / "cts", "--series", "1.2.3.9", "-o", tmp_path / out]
    (job,) = batch.plan(cli.parser().parse_args([str(one) for one in given])).jobs
    assert np.array_equal(files.read(job.ct, job.series).hu, hu + 7)
    assert job.labels == tmp_path / ("x.nii.gz" if out == "x.nii.gz" else "results/cts.nii.gz")


def test_a_copy_of_a_series_in_several_folders_is_a_whole_ct_too(hu, tmp_path):
    """Each folder was taken for a CT of its own: half of one, without a word."""
    for copy in ("disc", "safe"):
        write(tmp_path / copy / "1", hu, skip=(3, 4, 5))
        write(tmp_path / copy / "2", hu, skip=(0, 1, 2), start=100)
    found = folders.survey(tmp_path).cts
    assert found == (folders.Found(tmp_path / "disc", "1.2.3.4"), folders.Found(tmp_path / "safe", "1.2.3.4"))


def test_a_localizer_is_not_taken_for_the_ct(hu, tmp_path):
    write(tmp_path, hu)
    write(tmp_path, hu[:1], uid="1.2.3.9", start=100)
    assert np.array_equal(files.read(tmp_path).hu, hu)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"skip": (3,)}, "missing or unevenly spaced"),
        ({"skip": (1, 2, 3, 4, 5)}, r"has 1 slice\(s\); give the folder of the whole series"),
        ({"modality": "MR"}, "holds MR, not CT"),
    ],
)
def test_what_is_no_stack_of_ct_slices_is_refused(hu, tmp_path, change, says):
    with pytest.raises(InputError, match=says) as error:
        files.read(write(tmp_path / "series", hu, **change))
    assert str(tmp_path / "series") in str(error.value)


def test_a_tilted_gantry_is_told(hu, tmp_path):
    tilt = np.radians(10)
    step = (0.0, SPACING[0] * np.sin(tilt), -SPACING[0] * np.cos(tilt))
    assert "tilted by 10 degrees" in files.read(write(tmp_path / "tilted", hu, step=step)).warnings[0]


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture here")
    assert not any(dicom_files.is_dicom(path) for path in tmp_path.iterdir())
    with pytest.raises(InputError, match="holds no DICOM images"):
        files.read(tmp_path)
    with pytest.raises(InputError, match="holds no CT"):
        folders.survey(tmp_path)


@pytest.mark.parametrize("name", ["003.dcm", "006.dcm"])
def test_a_slice_cut_short_is_told(hu, tmp_path, name):
    folder = write(tmp_path / "series", hu)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-400])
    if name == "003.dcm":
        with pytest.raises(InputError, match="missing or unevenly"):
            files.read(folder)
    else:  # the last slice leaves no gap
        assert f"could not be read and were left out ({name}: it is cut short" in files.read(folder).warnings[0]


@pytest.mark.parametrize(("names", "left"), [("{}.dcm", 0), ("{}.dcm", 100), ("IM{}", 0), ("1.2.840.{}", 0)])
def test_a_copy_that_broke_off_is_told(hu, tmp_path, names, left):
    folder = write(tmp_path / "series", hu)
    for path in sorted(folder.iterdir()):
        path.rename(folder / names.format(path.stem))
    for name in ("005", "006"):  # at an end of the series, where they leave no gap
        path = folder / names.format(name)
        path.write_bytes(path.read_bytes()[:left])
    (folder / "notes.txt").write_bytes(b"")
    (folder / "Thumbs.db").write_bytes(b"")
    (folder / "VERSION").write_text("3")
    told = f"2 DICOM file(s) could not be read and were left out ({names.format('005')}"
    assert told in files.read(folder).warnings[0]


def test_slices_named_in_any_order_are_sorted_along_the_body(hu, tmp_path):
    folder = write(tmp_path / "series", hu)
    for path in sorted(folder.iterdir()):
        path.rename(folder / f"{(int(path.stem) * 7) % 11:03}_.dcm")
    assert np.array_equal(files.read(folder).hu, hu)


def test_each_slice_of_the_grid_knows_its_file(hu, tmp_path):
    folder = write(tmp_path / "series", hu)
    (folder / "001.dcm").rename(folder / "zz.dcm")  # by name the last
    grid = files.read(folder).grid
    assert len(grid.slices) == grid.shape[2] == len(hu)
    for k, (name, frame) in enumerate(grid.slices):
        lps = [float(part) for part in pydicom.dcmread(name).ImagePositionPatient]
        assert np.allclose(grid.affine @ [0, 0, k, 1], [-lps[0], -lps[1], lps[2], 1])
        assert frame == 0


def test_a_real_series(data):
    volume = files.read(data / "dicom" / "abdomen_noncontrast")
    assert volume.hu.shape == (168, 217, 217)
    assert np.allclose(volume.spacing, (2.5, 3, 3))
    assert -1100 < volume.hu.min() < -900
    tissue = volume.hu[(volume.hu > 0) & (volume.hu < 150)]
    assert 30 < np.median(tissue) < 70  # soft tissue without contrast


def test_files_whose_numbers_have_another_scale_are_named(tmp_path):
    hu = np.random.default_rng(3).integers(-100, 200, (20, 30, 40)).astype(np.int16)
    hu[10:13] += 1024
    warnings = files.read(ct_series.write(tmp_path, hu, (3.0, 2.0, 2.0))).warnings
    names = {path.name for path in tmp_path.iterdir() if path.stem.endswith(("_10", "_11", "_12"))}
    (told,) = [one for one in warnings if "their scale may be wrong" in one]
    assert any(told.startswith(f"The numbers of {name} and 2 more differ") for name in names)
