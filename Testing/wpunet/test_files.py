"""Reading and writing real files; every bad one is refused in one sentence that names it."""

import gzip
import logging
import os
import struct

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from wpunet import files, folders, outputs
from wpunet.check import check
from wpunet.errors import InputError, OutputError
from wpunet.labels import BY_SIDE, TOGETHER

AFFINE = np.array([[-2.0, 0, 0, 60], [0, -2.5, 0, 70], [0, 0, 4.0, -30], [0, 0, 0, 1]])


@pytest.fixture
def hu():
    """A plausible body: air around soft tissue, with a bone; (i, j, k)."""
    array = np.full((48, 40, 12), -1000, np.int16)
    array[8:40, 8:34] = 40
    array[22:26, 26:30] = 500
    return array + np.random.default_rng(0).integers(-9, 10, array.shape).astype(np.int16)


@pytest.fixture
def nifti(hu, tmp_path):
    path = tmp_path / "ct.nii.gz"
    nib.save(nib.Nifti1Image(hu, AFFINE), path)
    return path


def as_ras(volume):
    """The volume as an array (i, j, k) in RAS order, whatever grid it came on."""
    return volume.hu[::-1, ::-1, ::-1].transpose(2, 1, 0)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_all_formats_are_the_same_patient(hu, nifti, tmp_path, ending):
    path = tmp_path / f"größe mit leer{ending}"
    sitk.WriteImage(sitk.ReadImage(str(nifti)), str(path))
    volume = files.read(path)
    assert volume.hu.shape == (12, 40, 48)
    assert np.array_equal(as_ras(volume), hu[::-1, ::-1])  # the file's axes run L, P, S
    assert volume.spacing == pytest.approx((4.0, 2.5, 2.0))
    assert np.allclose(volume.affine, files.read(nifti).affine, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_number_types_and_scaling(hu, tmp_path, dtype):
    array = np.clip(hu, 0, 200).astype(dtype)
    image = nib.Nifti1Image(array, AFFINE)
    image.header.set_slope_inter(2.0, -100.0)
    path = tmp_path / "scaled.nii"
    image.to_filename(path)
    written = np.asanyarray(nib.load(path).dataobj)
    assert np.abs(as_ras(files.read(path)) - written[::-1, ::-1]).max() <= 0.5


def test_an_affine_that_itk_refuses_is_read(hu, tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.05
    path = tmp_path / "sheared.nii.gz"
    image = nib.Nifti1Image(hu, sheared)
    image.set_sform(sheared, 1)
    nib.save(image, path)
    volume = files.read(path)
    assert volume.grid.shape == (48, 40, 12)
    assert not volume.grid.upright
    files.write_labels(tmp_path / "labels.nii.gz", (volume.hu > 20).astype(np.uint8), volume, TOGETHER)
    written = nib.load(tmp_path / "labels.nii.gz")
    assert np.allclose(written.affine, sheared)
    assert (np.asarray(written.dataobj) != (hu > 20)).mean() < 0.02


@pytest.mark.parametrize("first", [100, 352, 20000])
def test_a_gzip_in_several_parts_is_read_whole(nifti, tmp_path, first):
    """Its last four bytes tell the length of the last part only."""
    content = gzip.decompress(nifti.read_bytes())
    path = tmp_path / "parts.nii.gz"
    path.write_bytes(gzip.compress(content[:first]) + gzip.compress(content[first:]))
    assert np.array_equal(files.read(path).hu, files.read(nifti).hu)


def test_reading_moves_no_voxel(nifti):
    """The engine's array is a view of the unpacked file, whatever order that has."""
    volume = files.read(nifti)
    assert not volume.hu.flags.owndata
    assert [abs(step) for step in volume.hu.strides] == [2 * 40 * 48, 2 * 48, 2]


def test_what_is_written_is_what_nibabel_would_write(nifti, tmp_path):
    volume = files.read(nifti)
    labels = (volume.hu > 20).astype(np.uint8)
    files.write_labels(tmp_path / "labels.nii", labels, volume, TOGETHER)
    again = nib.load(tmp_path / "labels.nii")
    assert (tmp_path / "labels.nii").read_bytes() == nib.Nifti1Image(again.dataobj, None, again.header).to_bytes()


def test_labels_lie_on_the_ct_with_the_same_header(nifti, tmp_path):
    volume = files.read(nifti)
    labels = (volume.hu > 20).astype(np.uint8)
    out = tmp_path / "labels.nii.gz"
    files.write_labels(out, labels, volume, TOGETHER)
    ct, written = nib.load(nifti), nib.load(out)
    assert written.shape == ct.shape
    assert np.array_equal(written.affine, ct.affine)
    for code in ("sform_code", "qform_code"):
        assert written.header[code] == ct.header[code]
    assert np.array_equal(np.asarray(written.dataobj), np.asarray(ct.dataobj) > 20)
    assert written.get_data_dtype() == np.uint8


def test_a_segmentation_for_slicer(nifti, tmp_path):
    volume = files.read(nifti)
    labels = np.zeros(volume.hu.shape, np.uint8)
    labels[3:6, 10:20, 5:12], labels[3:6, 10:20, 30:40], labels[4, 12, 6] = 1, 3, 2
    out = tmp_path / "k.seg.nrrd"
    files.write_labels(out, labels, volume, BY_SIDE)
    image = sitk.ReadImage(str(out))
    ct = sitk.ReadImage(str(nifti))
    assert image.GetSize() == ct.GetSize()
    assert np.allclose(image.GetOrigin(), ct.GetOrigin())
    assert np.allclose(image.GetDirection(), ct.GetDirection())
    names = {image.GetMetaData(f"Segment{k}_Name"): int(image.GetMetaData(f"Segment{k}_LabelValue")) for k in range(3)}
    assert names == {"right kidney": 1, "kidney tumor": 2, "left kidney": 3}
    assert image.GetMetaData("Segment0_Extent") == "0 47 0 39 0 11"
    assert "SCT^64033007^Kidney~SCT^7771000^Left" in image.GetMetaData("Segment2_Tags")
    assert np.bincount(sitk.GetArrayFromImage(image).ravel()).tolist() == np.bincount(labels.ravel()).tolist()


@pytest.mark.parametrize("name", ["k.nii.gz", "k.nrrd", "k.seg.nrrd"])
@pytest.mark.parametrize("alone", [False, True])
def test_a_label_map_says_whether_its_kidneys_are_their_parenchyma_alone(nifti, tmp_path, name, alone):
    volume = files.read(nifti)
    files.write_labels(tmp_path / name, np.ones(volume.hu.shape, np.uint8), volume, BY_SIDE, parenchyma=alone)
    assert outputs.holds_parenchyma(tmp_path / name) == alone
    assert outputs.holds_sides(tmp_path / name)
    assert outputs.is_ours(tmp_path / name)
    if name == "k.seg.nrrd":
        image = sitk.ReadImage(str(tmp_path / name))
        named = [image.GetMetaData(f"Segment{k}_Name").endswith(", parenchyma alone") for k in range(4)]
        assert named == [alone, False, alone, False]  # no tumor and no cyst


@pytest.mark.parametrize("name", ["k.mha", "k.png", "k"])
def test_no_file_has_the_ending_of_another_kind(nifti, tmp_path, name):
    volume = files.read(nifti)
    marks = np.zeros(volume.hu.shape, np.uint8)
    with pytest.raises(OutputError, match=r"must end in .nii.gz, .nii, .nrrd, .seg.nrrd"):
        files.write_labels(str(tmp_path / name), marks, volume, TOGETHER)
    with pytest.raises(OutputError, match=r"must end in .nii.gz, .nii, .nrrd\."):
        files.write_map(str(tmp_path / name), marks, volume)
    assert [path.name for path in tmp_path.iterdir()] == ["ct.nii.gz"]


def test_labels_in_the_files_own_order_of_axes_are_not_taken_for_ours(nifti, tmp_path):
    volume = files.read(nifti)
    with pytest.raises(InputError, match="12 x 40 x 48 slices, rows and columns; labels or a map of 48 x 40 x 12"):
        files.write_labels(tmp_path / "k.nii.gz", np.ones(volume.grid.shape, np.uint8), volume, TOGETHER)


def test_names_of_cases(tmp_path, monkeypatch):
    case = tmp_path / "case_00007" / "imaging.nii.gz"
    assert files.case_name(case) == "case_00007"
    assert files.case_name(tmp_path / "abdomen.v2.nii.gz") == "abdomen.v2"
    assert files.case_name(tmp_path) == tmp_path.name
    monkeypatch.chdir(tmp_path)
    assert files.case_name(".") == files.case_name("imaging.nii") == tmp_path.name


def test_what_a_folder_holds(tmp_path, nifti):
    content = nifti.read_bytes()
    kits = tmp_path / "kits"
    for name in ("case_00002", "case_00001"):
        (kits / name).mkdir(parents=True)
        for file in ("imaging.nii.gz", "segmentation.nii.gz"):
            (kits / name / file).write_bytes(content)
    assert [one.path.parent.name for one in folders.survey(kits).cts] == ["case_00001", "case_00002"]
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in ("b.nii.gz", "a.nrrd", "notes.txt", "a.seg.nrrd"):
        (flat / name).write_bytes(content)
    assert [one.path.name for one in folders.survey(flat).cts] == ["a.nrrd", "b.nii.gz"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no CT"):
        folders.survey(tmp_path / "empty")


def save(path, array, affine=AFFINE):
    nib.save(nib.Nifti1Image(array, affine), path)


def spacing_of(value):
    def write(path, hu):
        image = nib.Nifti1Image(hu, AFFINE)
        content = bytearray(image.to_bytes())
        content[80:84] = np.float32(value).tobytes()  # pixdim[1]
        path.write_bytes(gzip.compress(bytes(content)))

    return write


BAD = {
    "empty": (lambda p, hu: p.write_bytes(b""), "empty"),
    "text": (lambda p, hu: p.write_text("patient 7, CT of the abdomen"), "not a NIfTI"),
    "short text": (lambda p, hu: p.write_text("x"), "not a NIfTI"),
    "zeros": (lambda p, hu: p.write_bytes(gzip.compress(bytes(4000))), "not a NIfTI"),
    "2D": (lambda p, hu: save(p, hu[:, :, 0]), "flat picture"),
    "4D": (lambda p, hu: save(p, np.stack([hu, hu], -1)), "time series"),
    "RGB": (lambda p, hu: save(p, np.zeros(hu.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])), "colours"),
    "one slice": (lambda p, hu: save(p, hu[:, :, :1]), "1 slices"),
    "3x3x3": (lambda p, hu: save(p, hu[:3, :3, :3]), "too small"),
    "all NaN": (lambda p, hu: save(p, np.full(hu.shape, np.nan, np.float32)), "not a number"),
    "constant": (lambda p, hu: save(p, np.full_like(hu, 7)), "one value only"),
    "grey picture": (lambda p, hu: save(p, np.clip(hu + 1000, 0, 255).astype(np.uint8)), "grey values"),
    "zero spacing": (spacing_of(0), "spacing"),
    "negative spacing": (spacing_of(-2), "spacing"),
    "NaN spacing": (spacing_of(np.nan), "spacing"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused(kind, hu, tmp_path):
    write, says = BAD[kind]
    path = tmp_path / "bad.nii.gz"
    write(path, hu)
    with pytest.raises(InputError, match=says) as refused:
        check(files.read(path))
    assert "bad" in str(refused.value)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("kind", "offset"),
    [("Nifti1Image", value) for value in (0, 1, 348, 351, -352, np.nan, np.inf, 352, 368)]
    + [("Nifti2Image", value) for value in (0, 540, 543, -544, 2**62, 544, 560)],
)
def test_voxels_that_begin_within_the_header_are_refused(hu, tmp_path, kind, offset, order):
    """nibabel and ITK begin at other places of such a file."""
    one, path = getattr(nib, kind), tmp_path / "ct.nii"
    image = one(hu, AFFINE, one.header_class(endianness=order))
    content, first = bytearray(image.to_bytes()), (352 if kind == "Nifti1Image" else 544)
    layout, at = ("f", 108) if kind == "Nifti1Image" else ("q", 168)
    struct.pack_into(order + layout, content, at, offset)
    path.write_bytes(bytes(content[:first]) + bytes(16 * (offset == first + 16)) + bytes(content[first:]))
    if offset in (first, first + 16):
        assert np.array_equal(as_ras(files.read(path)), hu[::-1, ::-1])
        return
    with pytest.raises(InputError, match=r"ct\.nii .*(no place behind its header \(vox_offset|cut short)"):
        files.read(path)


def stating(hu, path, **fields):
    """A NIfTI whose header states these fields otherwise."""
    image = nib.Nifti1Image(hu, AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(AFFINE, 1)
    content = bytearray(image.to_bytes())
    header = np.frombuffer(content, nib.Nifti1Header.template_dtype, 1)[0]
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, ""),
        ({"xyzt_units": 5}, "The unit of length is unknown"),
        ({"scl_slope": 2, "scl_inter": np.nan}, "The header's intercept (scl_inter) is not a number; 0 was taken."),
        ({"qoffset_x": 80}, "sform and qform disagree on where the CT lies"),
        ({"qoffset_x": 80, "qform_code": 2}, ""),  # of another space: of the scanner and of an atlas
        ({"quatern_b": 2}, ""),  # broken, but not needed
    ],
)
def test_what_a_header_states_badly_is_told_and_labels_state_it_as_the_ct(hu, tmp_path, fields, says):
    path, out = stating(hu, tmp_path / "CT.NII", **fields), tmp_path / "LABELS.NII"
    volume = files.read(path)
    assert len(volume.warnings) == bool(says)
    assert " ".join(volume.warnings).startswith(says)
    assert np.array_equal(as_ras(volume), fields.get("scl_slope", 1) * hu[::-1, ::-1])
    assert np.array_equal(volume.grid.affine, AFFINE)
    files.write_labels(out, np.ones(volume.hu.shape, np.uint8), volume, TOGETHER)
    ct, written = (np.frombuffer(one.read_bytes(), nib.Nifti1Header.template_dtype, 1)[0] for one in (path, out))
    for name in ("sform_code", "srow_x", *(("qoffset_x", "pixdim", "qform_code") if "quatern_b" not in fields else ())):
        assert np.array_equal(written[name], ct[name]), name


def test_more_than_the_header_says_is_told(hu, tmp_path):
    path = stating(hu, tmp_path / "ct.nii")
    for more, told in ((16, 0), (17, 1)):
        path.write_bytes(stating(hu, path).read_bytes() + bytes(more))
        assert sum("more voxels than its header says" in one for one in files.read(path).warnings) == told


def test_the_header_of_a_pair_is_refused(hu, tmp_path):
    with pytest.raises(InputError, match=r"the header of a pair whose voxels lie in an \.img file"):
        files.read(stating(hu, tmp_path / "ct.nii", magic=b"ni1"))


def test_a_type_of_numbers_that_is_not_known_is_refused_in_one_line(hu, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a program that sets up no logging
    content = bytearray(nib.Nifti1Image(hu, AFFINE).to_bytes())
    struct.pack_into("<h", content, 70, 0)
    (tmp_path / "ct.nii").write_bytes(content)
    with pytest.raises(InputError, match="not a NIfTI image"):
        files.read(tmp_path / "ct.nii")
    assert capsys.readouterr() == ("", "")
    assert not nib.imageglobals.logger.disabled  # a program's own use of nibabel


@pytest.mark.parametrize(("unit", "says"), [("micron", "units of 0.001 mm"), ("meter", "units of 1000 mm")])
def test_a_unit_that_makes_a_grain_of_a_patient_is_told(hu, tmp_path, unit, says):
    image = nib.Nifti1Image(hu, AFFINE)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "ct.nii")
    with pytest.raises(InputError, match=rf"ct\.nii states its lengths in {says}"):
        files.read(tmp_path / "ct.nii")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_cut_files_are_refused(nifti, tmp_path, share, ending):
    whole = tmp_path / f"whole{ending}"
    sitk.WriteImage(sitk.ReadImage(str(nifti)), str(whole))
    path = tmp_path / f"cut{ending}"
    path.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(InputError, match="cut"):
        files.read(path)


def test_missing_unknown_and_single_frame(hu, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        files.read(tmp_path / "none.nii.gz")
    (tmp_path / "x.dat").write_bytes(b"data")
    with pytest.raises(InputError, match="unknown kind"):
        files.read(tmp_path / "x.dat")
    with pytest.raises(InputError, match="is an archive; unpack it"):
        files.read((tmp_path / "x.dat").rename(tmp_path / "x.zip"))
    save(tmp_path / "frame.nii.gz", hu[..., None])
    assert files.read(tmp_path / "frame.nii.gz").hu.shape == (12, 40, 48)


def test_a_disk_that_fills_up_leaves_nothing(nifti, tmp_path, monkeypatch):
    volume = files.read(nifti)
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.nii.gz").write_bytes(b"old")

    def full(self, content):
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.raises(OutputError, match=r"\(No space left on device\); make room or choose another disk\."):
        files.write_labels(folder / "old.nii.gz", np.zeros(volume.hu.shape, np.uint8), volume, TOGETHER)
    assert [p.name for p in folder.iterdir()] == ["old.nii.gz"]
    assert (folder / "old.nii.gz").read_bytes() == b"old"


def test_a_disk_that_is_really_full(nifti, tmp_path):
    """In a child process that may write no file over 100 bytes, as on a full disk."""
    import subprocess
    import sys

    code = (
        "import resource, signal, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from wpunet import files\nfrom wpunet.labels import BY_SIDE\nfrom wpunet.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "volume = files.read(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "labels = (volume.hu > 20).astype(np.uint8)\n"
        "for name in ('a.nii.gz', 'a.seg.nrrd', 'a.nii'):\n"
        "    try:\n        files.write_labels(Path(sys.argv[2]) / name, labels, volume, BY_SIDE)\n"
        "    except OutputError as error:\n        print('refused', error)\n"
    )
    out = tmp_path / "full"
    out.mkdir()
    done = subprocess.run([sys.executable, "-c", code, nifti, out], capture_output=True, text=True, check=True)
    assert done.stdout.count("refused") == 3
    assert list(out.iterdir()) == []


def test_folders_that_cannot_take_a_file(nifti, tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        outputs.require_writable(tmp_path / "no" / "x.nii.gz")
    with pytest.raises(OutputError, match="is a folder"):
        outputs.require_writable(tmp_path)
    if os.geteuid() != 0:  # root may write anywhere
        tmp_path.chmod(0o500)
        with pytest.raises(OutputError, match="no right"):
            outputs.require_writable(tmp_path / "x.nii.gz")
