"""One patient on every kind of grid: kidneys have their place and their volume in the patient, or the CT is refused."""

import struct

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from wpunet import files

from Testing.wpunet import patient
from Testing.wpunet.slices import write_series

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TILTED = patient.affine_lps(step=(0, 5 * np.tan(np.radians(20)), 5), origin=(-175.5, -133.5 - 39, -107.5))


def nifti(path, matrix=None, hu=None, sform=1, qform=0, **header):
    matrix = patient.affine_lps() if matrix is None else matrix
    image = nib.Nifti1Image((patient.hu(matrix) if hu is None else hu).T, RAS @ matrix)
    image.set_sform(image.affine, sform)
    image.set_qform(image.affine, qform)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def write_mha(path, matrix, drop=()):
    """A MetaImage with any affine, without the lines named in ``drop``."""
    steps = np.linalg.norm(matrix[:3, :3], axis=0)
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "TransformMatrix": " ".join(f"{v:.12f}" for v in (matrix[:3, :3] / steps).T.ravel()),
        "Offset": " ".join(map(str, matrix[:3, 3])),
        "ElementSpacing": " ".join(map(str, steps)),
        "DimSize": " ".join(map(str, patient.SHAPE[::-1])),
        "ElementType": "MET_SHORT",
        "ElementDataFile": "LOCAL",
    }
    lines = [f"{name} = {value}\n" for name, value in fields.items() if name not in drop]
    path.write_bytes("".join(lines).encode() + patient.hu(matrix).astype("<i2").tobytes())
    return path


def write_nrrd(path, matrix, drop=(), **more):
    axes = ["({})".format(",".join(map(str, axis))) for axis in matrix[:3].T]
    fields = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, patient.SHAPE[::-1])),
        "space directions": " ".join(axes[:3]),
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": axes[3],
    }
    fields |= more
    lines = [f"{name}: {value}\n" for name, value in fields.items() if name not in drop]
    path.write_bytes(("NRRD0004\n" + "".join(lines) + "\n").encode() + patient.hu(matrix).astype("<i2").tobytes())
    return path


def turned(degrees, axis):
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * np.array(axis) / np.linalg.norm(axis)).as_matrix()
    return matrix


def sheared(axis, along, share):
    """The patient's grid whose ``axis`` leans along another by ``share`` of its step, about the middle."""
    matrix = patient.affine_lps()
    lean = share * np.linalg.norm(matrix[:3, axis]) * np.eye(3)[along]
    matrix[:3, 3] -= lean * (patient.SHAPE[::-1][axis] - 1) / 2
    matrix[:3, axis] += lean
    return matrix


GRIDS = {
    "as scanned": patient.affine_lps(),
    "tilted by 20 degrees": TILTED,
    "turned by 5 degrees": patient.affine_lps(turn=turned(5, (1, 0, 0))),
    "turned by 15 degrees": patient.affine_lps(turn=turned(15, (1, 0, 0))),
    "turned about all axes": patient.affine_lps(turn=turned(25, (1, 1, 1))),
    "slices lean to the left": sheared(2, 0, 0.3),
    "slices lean back": sheared(2, 1, -0.4),
    "rows lean": sheared(1, 0, 0.15),
    "turned and leaning": turned(12, (0, 1, 0.3)) @ sheared(2, 1, 0.25),
}


CASES = [(".nii.gz", grid) for grid in GRIDS]
CASES += [(ending, grid) for ending in (".mha", ".nrrd") for grid in ("tilted by 20 degrees", "turned and leaning")]


@pytest.mark.parametrize(("ending", "grid"), CASES)
def test_every_grid_shows_the_same_patient(told, truth, tmp_path, grid, ending):
    path, matrix = tmp_path / f"ct{ending}", GRIDS[grid]
    {".nii.gz": nifti, ".mha": write_mha, ".nrrd": write_nrrd}[ending](path, matrix)
    report = told(path)
    assert patient.same_patient(report, truth, ml=0.1), patient.measures(report)
    labels = nib.load(tmp_path / "told.nii.gz")
    assert labels.shape == patient.SHAPE[::-1]
    assert np.allclose(labels.affine, RAS @ matrix, atol=1e-3)
    marked = np.argwhere(np.asarray(labels.dataobj) > 0)
    for name, (_, centre) in patient.measures(truth).items():
        if name.endswith("kidney"):  # the labels themselves lie there, on the CT's own grid
            away = np.linalg.norm(marked @ labels.affine[:3, :3].T + labels.affine[:3, 3] - centre, axis=1)
            assert away.min() < 12


@pytest.mark.parametrize("degrees", [20, -12])
def test_a_series_with_a_tilted_gantry(told, truth, tmp_path, degrees):
    dy = 5 * np.tan(np.radians(degrees))
    matrix = patient.affine_lps(step=(0, dy, 5), origin=(-175.5, -133.5 - 21.5 * dy, -107.5))
    report = told(write_series(tmp_path / "series", matrix=matrix))
    assert patient.same_patient(report, truth, ml=0.1), patient.measures(report)
    assert f"tilted by {abs(degrees)} degrees" in report["warnings"][0]


def test_slices_that_are_tilted_themselves(told, truth, tmp_path):
    """As scanners write it: the slices lean, and the table moves along the body."""
    matrix = turned(18, (1, 0, 0)) @ patient.affine_lps()
    matrix[:3, 2] = (0, 0, 5 / np.cos(np.radians(18)))
    report = told(write_series(tmp_path / "series", matrix=matrix))
    assert patient.same_patient(report, truth, ml=0.1), patient.measures(report)


def test_a_tilt_that_the_places_do_not_show_is_told(told, tmp_path):
    def change(ds, k):
        ds.GantryDetectorTilt = "14.5"

    assert "tilt of 14 degrees is stated, but" in told(write_series(tmp_path / "series", change))["warnings"][0]


@pytest.mark.parametrize(
    ("tag", "value", "says"),
    [
        ("ImagePositionPatient", "delete", "Image Position"),
        ("ImagePositionPatient", None, "Image Position"),
        ("ImagePositionPatient", ["0", "0"], "Image Position"),
        ("ImageOrientationPatient", "delete", "Image Orientation"),
        ("ImageOrientationPatient", None, "Image Orientation"),
        ("ImageOrientationPatient", ["0"] * 6, "Image Orientation"),
        ("ImageOrientationPatient", ["1", "0", "0", "0.7071", "0.7071", "0"], "Image Orientation"),
        ("PixelSpacing", "delete", "Pixel Spacing"),
        ("PixelSpacing", None, "Pixel Spacing"),
        ("PixelSpacing", ["0", "0"], "Pixel Spacing"),
        ("PixelSpacing", ["3"], "Pixel Spacing"),
    ],
)
def test_dicom_without_its_geometry_is_refused(told, tmp_path, tag, value, says):
    def change(ds, k):
        if value == "delete":
            delattr(ds, tag)
        else:
            setattr(ds, tag, value)

    line = told(write_series(tmp_path / "series", change))
    assert f"no valid {says}" in line
    assert "IM0000.dcm and 43 more" in line


def test_slices_all_at_one_place_are_refused(told, tmp_path):
    def change(ds, k):
        ds.ImagePositionPatient = [0, 0, 0]

    assert "same position" in told(write_series(tmp_path / "series", change))


@pytest.mark.parametrize(
    ("write", "drop", "says"),
    [
        (write_mha, ("ElementSpacing",), "states no spacing"),
        (write_nrrd, ("space directions", "space", "space origin", "kinds"), "states no spacing"),
    ],
)
def test_no_spacing_is_refused(told, tmp_path, write, drop, says):
    ending = {write_mha: ".mha", write_nrrd: ".nrrd"}[write]
    assert says in told(write(tmp_path / f"ct{ending}", patient.affine_lps(), drop))


def test_no_orientation_is_told(told, tmp_path):
    said = {
        "a.mha": write_mha(tmp_path / "a.mha", patient.affine_lps(), ("TransformMatrix",)),
        "b.nrrd": write_nrrd(
            tmp_path / "b.nrrd",
            patient.affine_lps(),
            ("space directions", "space", "space origin"),
            spacings="3 3 5",
        ),
        "c.nrrd": write_nrrd(tmp_path / "c.nrrd", patient.affine_lps(), space="scanner-xyz"),
        "d.nii.gz": nifti(tmp_path / "d.nii.gz", sform=0, qform=0),
    }
    for path in said.values():
        warnings = " ".join(told(path)["warnings"])
        assert "no orientation" in warnings
        assert "may be swapped" in warnings


def test_a_nifti_that_states_nothing_is_refused(told, tmp_path):
    path = nifti(tmp_path / "ct.nii", np.diag([1.0, 1.0, 1.0, 1.0]), hu=patient.hu(), sform=0, qform=0)
    assert "neither spacing nor orientation" in told(path)


def test_a_nifti_that_was_never_placed_is_told(told, tmp_path):
    path = nifti(tmp_path / "ct.nii", np.diag([-1.0, -1.0, 1.0, 1.0]), hu=patient.hu())
    assert "hardly told its geometry" in " ".join(told(path)["warnings"])


def unit_sform(path, qform):
    image = nib.Nifti1Image(patient.hu().T, RAS @ patient.affine_lps())
    image.set_qform(image.affine, qform)
    image.header["pixdim"][1:4] = (3, 3, 5)
    content = bytearray(image.to_bytes())
    struct.pack_into("<h", content, 254, 1)
    for row, values in enumerate(((-1, 0, 0, 175.5), (0, -1, 0, 133.5), (0, 0, 1, -107.5))):
        struct.pack_into("<4f", content, 280 + 16 * row, *values)
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize("qform", [0, 1])
def test_a_unit_sform_beside_the_true_spacing(told, truth, tmp_path, qform):
    report = told(unit_sform(tmp_path / "ct.nii", qform))
    assert patient.same_patient(report, truth)
    assert "voxels of 1 x 1 x 1 in its sform but of 3 x 3 x 5" in report["warnings"][0]
    assert ("right and left, head and feet may be swapped" in report["warnings"][0]) == (qform == 0)


def test_a_sform_that_contradicts_the_spacing_is_refused(told, tmp_path):
    path = nifti(tmp_path / "ct.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<3f", content, 80, 2.0, 2.0, 2.0)
    path.write_bytes(bytes(content))
    assert "in its sform but of 2 x 2 x 2 in its pixdim" in told(path)


def test_forms_that_name_other_sides_are_told(told, tmp_path):
    path = nifti(tmp_path / "ct.nii", qform=1)
    image = nib.load(path)
    image.set_sform(np.diag([-1.0, 1, 1, 1]) @ image.affine, 1)
    nib.save(image, tmp_path / "two.nii")
    assert "sform and qform disagree on the orientation (RPS and LPS)" in " ".join(
        told(tmp_path / "two.nii")["warnings"]
    )


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1000.0), ("meter", 0.001), ("mm", 1.0)])
def test_units_of_length(told, truth, tmp_path, unit, factor):
    image = nib.Nifti1Image(patient.hu().T, np.diag([factor] * 3 + [1]) @ RAS @ patient.affine_lps())
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "ct.nii.gz")
    assert patient.same_patient(told(tmp_path / "ct.nii.gz"), truth)
    written = nib.load(tmp_path / "told.nii.gz")
    assert np.allclose(written.affine, image.affine)
    assert written.header.get_xyzt_units()[0] == unit
    assert np.allclose(written.header["pixdim"][1:4], image.header["pixdim"][1:4])


def test_units_of_a_nrrd(told, truth, tmp_path):
    matrix = np.diag([1000.0] * 3 + [1]) @ patient.affine_lps()
    path = write_nrrd(tmp_path / "ct.nrrd", matrix, **{"space units": '"um" "um" "um"'})
    content = path.read_bytes()
    head = content[: content.index(b"\n\n") + 2]
    path.write_bytes(head + patient.hu().astype("<i2").tobytes())
    assert patient.same_patient(told(path), truth)


def test_itk_reads_the_labels_of_a_sheared_nrrd_where_the_ct_is(told, tmp_path, segment):
    path = write_nrrd(tmp_path / "ct.nrrd", TILTED)
    assert segment(path, "-o", tmp_path / "k.seg.nrrd") == 0
    labels, ct = sitk.ReadImage(str(tmp_path / "k.seg.nrrd")), sitk.ReadImage(str(path))
    index = (40, 40, 20)
    assert np.allclose(labels.TransformIndexToPhysicalPoint(index), ct.TransformIndexToPhysicalPoint(index), atol=1e-3)


@pytest.mark.parametrize("degrees", [0, 20])  # 20: resampled for the engine, and back
def test_a_map_of_chances_comes_back_onto_the_files_own_grid(tmp_path, degrees):
    volume = files.read(nifti(tmp_path / "ct.nii", patient.affine_lps(turn=turned(degrees, (1, 0, 0)))))
    assert volume.grid.upright == (degrees == 0)
    chances = np.full(volume.hu.shape, 51, np.uint8)
    chances[: len(chances) // 2] = 102
    files.write_map(tmp_path / "map.nii.gz", chances, volume)
    image = nib.load(tmp_path / "map.nii.gz")
    values = np.asarray(image.dataobj)
    files.write_map(tmp_path / "map.nrrd", chances, volume)
    assert np.allclose(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "map.nrrd"))), values.T, atol=0.002)
    assert values.shape == volume.grid.shape
    assert image.header.get_data_dtype() == np.uint8  # and a scale: a quarter of float32
    assert np.allclose(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "map.nii.gz"))), values.T)
    middle = values[values.shape[0] // 2, values.shape[1] // 2]
    assert sorted(np.round([middle.min(), middle.max()], 3)) == [0.2, 0.4]
    assert (np.abs(middle - 0.3).min() < 0.09) == (degrees > 0)  # a share of both, as labels have none
