"""What the engine writes is read back as it was, on the CT that it belongs to and on no other."""

import nibabel as nib
import numpy as np
import pytest
from wpunet import files, label_maps
from wpunet.errors import InputError
from wpunet.labels import BY_SIDE, CYST, KIDNEY, LEFT_KIDNEY, RIGHT_KIDNEY, TOGETHER, TUMOR, WITH_CYSTS, together
from wpunet.sides import split_sides
from wpunet.volume import from_array

from Testing import phantom
from Testing.wpunet.anatomy import AFFINE, body, kidneys, put

MADE = ("x.nii.gz", "x.nii", "x.nrrd", "x.seg.nrrd")


def sided():
    """Labels of two kidneys with a tumor and a cyst, as the engine makes them."""
    labels = put(put(kidneys(), TUMOR, (45, 47, 115), (6, 6, 6)), CYST, (60, 60, 45), (5, 5, 5))
    return split_sides(labels, body())[0]


@pytest.fixture(scope="module", params=["LPS", "RAS", "IPL"])
def ct(request, tmp_path_factory):
    """A CT as a file whose axes run otherwise than the engine's."""
    path = tmp_path_factory.mktemp(request.param) / "ct.nii.gz"
    phantom.save_nifti(body(), AFFINE, path, request.param)
    return files.read(path)


@pytest.mark.parametrize("name", MADE)
def test_labels_by_side_are_read_as_they_were_written(ct, tmp_path, name):
    files.write_labels(tmp_path / name, sided(), ct, BY_SIDE)
    assert label_maps.is_label_map(tmp_path / name)
    opened = label_maps.read(tmp_path / name, ct)
    assert np.array_equal(opened.labels, sided())
    assert opened.labels.dtype == np.uint8
    assert opened.warnings == ()
    assert not opened.parenchyma


@pytest.mark.parametrize("table", [TOGETHER, WITH_CYSTS])
@pytest.mark.parametrize("name", MADE)
def test_kidneys_without_sides_get_them_by_the_engines_rule(ct, tmp_path, name, table):
    cysts = table == WITH_CYSTS
    files.write_labels(tmp_path / name, together(sided(), cysts=cysts), ct, table)
    wanted = sided() if cysts else split_sides(together(sided()), body())[0]
    assert {RIGHT_KIDNEY, LEFT_KIDNEY} <= set(np.unique(wanted))
    assert np.array_equal(label_maps.read(tmp_path / name, ct).labels, wanted)


@pytest.mark.parametrize("name", MADE)
def test_labels_lie_on_a_dicom_ct_as_they_did(tmp_path, name):
    ct_series = pytest.importorskip("Testing.wpunet.ct_series", reason="needs the extra dicom")
    ct = files.read(ct_series.write(tmp_path / "ct", body(), (2.0, 0.7421875, 0.7421875)))
    files.write_labels(tmp_path / name, sided(), ct, BY_SIDE)
    assert np.array_equal(label_maps.read(tmp_path / name, ct).labels, sided())


def test_a_right_kidney_alone_stays_right_where_the_file_tells_sides(tmp_path):
    """By the rule a kidney on the left is the left one: the reader who called it right knew better."""
    ct = from_array(body(), AFFINE, "ct")
    labels = np.where(sided() == LEFT_KIDNEY, RIGHT_KIDNEY, 0).astype(np.uint8)
    for name in MADE:
        files.write_labels(tmp_path / name, labels, ct, BY_SIDE)
        assert np.array_equal(label_maps.read(tmp_path / name, ct).labels, labels), name
    files.write_labels(tmp_path / "x.nii.gz", labels, ct, TOGETHER)
    assert set(np.unique(label_maps.read(tmp_path / "x.nii.gz", ct).labels)) == {0, LEFT_KIDNEY}


def test_the_same_grid_in_another_order_of_axes_is_brought_to_the_cts(ct, tmp_path):
    phantom.save_nifti(sided(), AFFINE, tmp_path / "x.nii.gz", "SAR")
    opened = label_maps.read(tmp_path / "x.nii.gz", ct)
    assert np.array_equal(opened.labels, sided())
    (told,) = map(str, opened.warnings)  # a file of another program
    assert told == "x.nii.gz does not say what 3 stands for: it was taken for the left kidney; check."


@pytest.mark.parametrize("name", MADE)
def test_parenchyma_alone_is_told(ct, tmp_path, name):
    files.write_labels(tmp_path / name, sided(), ct, BY_SIDE, parenchyma=True)
    opened = label_maps.read(tmp_path / name, ct)
    assert opened.parenchyma
    assert [one.code for one in opened.warnings] == ["parenchyma"]


def moved(by):
    affine = AFFINE.copy()
    affine[:3, 3] += by
    return affine


def wider():
    affine = AFFINE.copy()
    affine[:3, 2] *= 1.01
    return affine


def mirrored():
    """The same box, right and left exchanged: voxel on voxel another place."""
    affine = AFFINE.copy()
    columns = body().shape[2]
    affine[:3, 3] += (columns - 1) * affine[:3, 2]
    affine[:3, 2] *= -1
    return affine


@pytest.mark.parametrize(
    ("labels", "affine", "says"),
    [
        (sided()[:-1], AFFINE, "voxels, the CT"),
        (sided(), moved((0, 0, 5.0)), "lies 5 mm away from the CT"),
        (sided(), moved((0.8, 0, 0)), "does not lie as the CT does"),
        (sided(), wider(), "mm, the CT of"),
    ],
)
def test_another_grid_is_refused_in_one_sentence(tmp_path, labels, affine, says):
    ct = from_array(body(), AFFINE, "ct")
    path = tmp_path / "x.nii.gz"
    files.write_labels(path, labels, from_array(np.zeros(labels.shape, np.int16), affine, "other"), BY_SIDE)
    with pytest.raises(InputError) as caught:
        label_maps.read(path, ct)
    told = str(caught.value)
    assert told.startswith(f"{path} ")
    assert says in told
    assert told.endswith("it is not resampled: open the CT it was made of.")


def test_a_mirrored_grid_is_turned_back_and_not_taken_as_it_lies(tmp_path):
    ct = from_array(body(), AFFINE, "ct")
    nib.save(nib.Nifti1Image(np.ascontiguousarray(sided()[:, :, ::-1]), mirrored()), tmp_path / "x.nii.gz")
    assert np.array_equal(label_maps.read(tmp_path / "x.nii.gz", ct).labels, sided())


@pytest.mark.parametrize(
    ("values", "listed"), [((0, 1, 7), "0, 1, 7,"), ((0, 1.5), "0, 1.5,"), (range(20), "6, 7 and 12 more")]
)
def test_labels_that_are_none_of_ours_are_listed(tmp_path, values, listed):
    ct = from_array(body(), AFFINE, "ct")
    strange = np.resize(np.array(values, np.float32), body().shape)
    nib.save(nib.Nifti1Image(strange, AFFINE), tmp_path / "x.nii.gz")
    with pytest.raises(InputError, match=r"x\.nii\.gz holds the values .*1 right kidney, 2 kidney tumor") as caught:
        label_maps.read(tmp_path / "x.nii.gz", ct)
    assert listed in str(caught.value)


@pytest.mark.parametrize("kind", [np.uint8, np.int16])
def test_labels_that_a_scale_factor_put_beside_whole_numbers_are_read(tmp_path, kind):
    """As nibabel stores floats under the header of a CT: 0.9961 or 1.00002 for 1."""
    ct = from_array(body(), AFFINE, "ct")
    image = nib.Nifti1Image(sided().astype(np.float64), AFFINE)
    image.set_data_dtype(kind)
    nib.save(image, tmp_path / "x.nii.gz")
    assert set(np.unique(files.read_array(tmp_path / "x.nii.gz")[0])) != {0, 1, 2, 3, 4}
    assert np.array_equal(label_maps.read(tmp_path / "x.nii.gz", ct).labels, sided())


def test_segments_that_are_none_of_ours_are_named(tmp_path):
    ct = from_array(body(), AFFINE, "ct")
    path = tmp_path / "x.seg.nrrd"
    files.write_labels(path, sided(), ct, BY_SIDE)
    head, end, voxels = path.read_bytes().partition(b"\n\n")
    path.write_bytes(
        head.replace(b"_ID:=cyst", b"_ID:=Segment_1").replace(b":=kidney cyst", b":=spleen") + end + voxels
    )
    with pytest.raises(InputError, match=r"none of ours \(spleen\)"):
        label_maps.read(path, ct)


def test_segments_in_several_layers_are_refused(tmp_path):
    ct = from_array(body(), AFFINE, "ct")
    path = tmp_path / "x.seg.nrrd"
    files.write_labels(path, sided(), ct, BY_SIDE)
    path.write_bytes(path.read_bytes().replace(b"dimension: 3", b"dimension: 4", 1))
    with pytest.raises(InputError, match="in several layers, which overlap; export it from 3D Slicer as one label map"):
        label_maps.read(path, ct)


def test_values_that_slicer_has_given_are_read_by_the_segments_ids(tmp_path):
    ct = from_array(body(), AFFINE, "ct")
    path = tmp_path / "x.seg.nrrd"
    files.write_labels(path, sided(), ct, BY_SIDE)
    head, end, _ = path.read_bytes().partition(b"\n\n")
    for was, now in ((b"1", b"9"), (b"2", b"1"), (b"9", b"2")):  # kidney and tumor change their values
        head = head.replace(b"LabelValue:=" + was, b"LabelValue:=" + now)
    labels = sided()
    turned = np.array([0, TUMOR, RIGHT_KIDNEY, LEFT_KIDNEY, CYST], np.uint8)[labels]
    files.write_labels(path, turned, ct, BY_SIDE)
    path.write_bytes(head + end + path.read_bytes().partition(b"\n\n")[2])
    assert np.array_equal(label_maps.read(path, ct).labels, labels)


def test_an_oblique_ct_gets_its_labels_back_and_that_they_were_resampled_is_told(tmp_path):
    turn = np.eye(4)
    cosine, sine = np.cos(np.radians(15)), np.sin(np.radians(15))
    turn[1:3, 1:3] = [[cosine, -sine], [sine, cosine]]
    ct = from_array(body(), turn @ AFFINE, "oblique")
    assert not ct.grid.upright
    upright = from_array(sided().astype(np.int16), turn @ AFFINE, "labels")  # only for where things lie
    files.write_labels(tmp_path / "x.nii.gz", sided(), from_array(body(), AFFINE, "ct"), BY_SIDE)
    image = nib.load(tmp_path / "x.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine, image.header), tmp_path / "y.nii.gz")
    opened = label_maps.read(tmp_path / "y.nii.gz", ct)
    assert opened.labels.shape == ct.hu.shape == upright.hu.shape
    for label in BY_SIDE:
        ml = (opened.labels == label.value).sum() * ct.voxel_ml
        assert ml == pytest.approx((sided() == label.value).sum() * upright.voxel_ml, rel=0.1), label.name
    assert any("was resampled onto an upright one" in str(one) for one in opened.warnings)


def test_a_ct_is_no_label_map(ct, tmp_path):
    files.write_map(tmp_path / "map.nii.gz", np.zeros(ct.hu.shape, np.uint8), ct)
    assert label_maps.is_label_map(tmp_path / "map.nii.gz")  # no CT either; its values are refused
    phantom.save_nifti(body(), AFFINE, tmp_path / "ct.nii.gz")
    assert not label_maps.is_label_map(tmp_path / "ct.nii.gz")
    nib.save(nib.Nifti1Image(together(sided()), AFFINE), tmp_path / "segmentation.nii.gz")
    assert label_maps.is_label_map(tmp_path / "segmentation.nii.gz")  # of a training case, which has no mark


@pytest.mark.parametrize(
    ("one", "kind", "marks"),
    [(1, np.int16, True), (255, np.int16, True), (256, np.int16, False), (-1, np.int16, False), (1, np.float32, False)],
)
def test_a_file_of_whole_numbers_from_0_to_255_in_areas_holds_marks_only(tmp_path, one, kind, marks):
    labels = sided().astype(kind)
    labels[labels == RIGHT_KIDNEY] = one
    nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / "x.nii.gz")
    assert label_maps.marks_only(tmp_path / "x.nii.gz") == marks


def test_what_is_odd_about_the_sides_is_told_as_the_engine_tells_it(tmp_path):
    labels = put(kidneys(), KIDNEY, (75, 30, 40), (14, 16, 16))
    nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / "x.nii.gz")
    (told,) = label_maps.read(tmp_path / "x.nii.gz", from_array(body(), AFFINE, "ct")).warnings
    assert (told.code, told.text) == ("sides", split_sides(labels, body())[1][0])


def test_who_gave_left_kidneys_a_value_has_told_sides(tmp_path):
    """In a file of another program, too: a right kidney that lies on the left stays what it was called."""
    turned = np.array([0, LEFT_KIDNEY, TUMOR, RIGHT_KIDNEY, CYST], np.uint8)[sided()]
    nib.save(nib.Nifti1Image(turned, AFFINE), tmp_path / "x.nii.gz")
    assert np.array_equal(label_maps.read(tmp_path / "x.nii.gz", from_array(body(), AFFINE, "ct")).labels, turned)
