"""The page shows the slices that matter, where they are and what was measured, and reads little of the CT for it."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from wpunet import preview as page
from wpunet.labels import BY_SIDE, CYST, CYST_LABEL, LEFT_KIDNEY_LABEL, RIGHT_KIDNEY_LABEL, TUMOR, TUMOR_LABEL
from wpunet.preview_3d import from_the_front
from wpunet.preview_slices import AXIAL, CORONAL, SAGITTAL, Scan, Tile, View, readable
from wpunet.sides import split_sides
from wpunet.structure import Caution, Line, Nephrometry, Part
from wpunet.volume import from_array

from Testing.wpunet.anatomy import AFFINE, LEFT, RIGHT, SPACING, body, empty, kidneys, put
from Testing.wpunet.results import result_of

TOP = 75  # the heading ends above


def result(labels, name="case", warnings=()):
    labels, _ = split_sides(labels, body())
    return result_of(from_array(body(), AFFINE, name), labels, warnings=warnings)


def picture_of(labels, name="case", warnings=()):
    one = result(labels, name, warnings)
    return page.preview(one.volume.hu, one.labels, AFFINE, one.report)


def near(picture, colour):
    """How many pixels have nearly this colour."""
    return int((np.abs(np.asarray(picture, int) - colour).max(-1) < 12).sum())


def ras(voxel):
    return tuple((AFFINE @ [*voxel, 1.0])[:3].tolist())


def scan(labels=None):
    return Scan(body(), empty() if labels is None else labels, AFFINE, AFFINE)


def with_tumor():
    return put(kidneys(), TUMOR, (45, 47, 115), (8, 8, 8))


def test_kidneys_are_red_tumor_is_green_and_a_cyst_blue():
    picture = picture_of(put(with_tumor(), CYST, (45, 47, 40), (8, 8, 8)))
    assert all(near(picture, label.colour) > 100 for label in BY_SIDE)
    without = picture_of(kidneys())
    assert near(without, RIGHT_KIDNEY_LABEL.colour) > 100
    assert near(without, TUMOR_LABEL.colour) == near(without, CYST_LABEL.colour) == 0  # not even in the legend


@pytest.mark.parametrize(
    ("corrected", "opened", "title"),
    [
        (False, "", "case"),
        (True, "", "case, corrected by hand"),
        (None, "x.nii.gz", "case, opened from a file"),
        (True, "x.nii.gz", "case, opened from a file and corrected by hand"),
    ],
)
def test_who_has_had_a_hand_in_it_stands_in_title_and_foot(monkeypatch, corrected, opened, title):
    told, draws = [], page.ImageDraw.ImageDraw.text
    monkeypatch.setattr(page.ImageDraw.ImageDraw, "text", lambda *a, **k: [told.append(a[2]), draws(*a, **k)])
    one = result(kidneys())
    report = replace(one.report, corrected=corrected, opened_from=opened)
    page.preview(one.volume.hu, one.labels, AFFINE, report)
    assert title in told
    (foot,) = (text for text in told if text.startswith("For research only"))
    assert ("Segments of x.nii.gz" in foot) == bool(opened)
    assert (report.network in foot) != bool(opened)


def test_a_long_name_leaves_room_for_that_it_was_corrected(monkeypatch):
    told, draws = [], page.ImageDraw.ImageDraw.text
    monkeypatch.setattr(page.ImageDraw.ImageDraw, "text", lambda *a, **k: [told.append(a[2]), draws(*a, **k)])
    one = result(with_tumor(), "a name " * 40)
    page.preview(one.volume.hu, one.labels, AFFINE, replace(one.report, corrected=True))
    assert any(text.endswith("…, corrected by hand") for text in told)


def test_it_is_one_printed_page_whatever_was_found():
    many = kidneys()
    for number in range(9):
        put(many, TUMOR, (24 + 5 * number, 47, 30 + 80 * (number % 2) + number), (2, 3, 3))
    for labels in (empty(), kidneys(left=False), kidneys(), with_tumor(), many):
        picture = picture_of(labels, warnings=["Look twice."] * 12)
        assert picture.size == page.PAGE
        assert (np.asarray(picture.convert("L")) < 245).mean() > 0.35  # it is filled


def test_nothing_found_still_shows_the_ct():
    picture = picture_of(empty()).crop((0, TOP, *page.PAGE))
    assert near(picture, RIGHT_KIDNEY_LABEL.colour) == 0
    assert (np.asarray(picture.convert("L")) < 20).mean() > 0.2  # air around the body


@pytest.mark.parametrize("name", ["é" * 10, "a very long name " * 20, ""])
def test_any_name_and_warning_fits(name):
    assert picture_of(kidneys(), name, ["A long warning. " * 40]).size == page.PAGE


def test_what_the_font_has_no_shape_for_is_put_in_other_words():
    assert readable("Größe 3 cm², É, 病人") == "Grosse 3 cm2, E, ??"


@pytest.mark.parametrize("axis", [AXIAL, CORONAL])
def test_right_of_the_patient_is_left_in_the_picture(axis):
    labels, _ = split_sides(kidneys(), body())
    tile = Tile(scan(labels), View(axis, ras((45, 60, 80)), (300, 300)), (300, 300)).with_masks()
    columns = [
        np.nonzero((np.abs(np.asarray(tile.picture, int) - one.colour).max(-1) < 12).any(0))[0].mean()
        for one in (RIGHT_KIDNEY_LABEL, LEFT_KIDNEY_LABEL)
    ]
    assert columns[0] + 100 < columns[1]


@pytest.mark.parametrize(
    ("axis", "voxel", "where"),
    [
        (AXIAL, (45, 60, 115), (150 + 70, 150)),  # 35 columns of 2 mm to the patient's left: to the right
        (CORONAL, (20, 60, 80), (150, 150 - 50)),  # to the head: up
        (SAGITTAL, (45, 75, 80), (150 + 30, 150)),  # to the back: to the right
    ],
)
def test_a_place_is_where_it_belongs(axis, voxel, where):
    """In a tile of 300 pixels and 300 mm, one pixel a mm, around (45, 60, 80)."""
    tile = Tile(scan(), View(axis, ras((45, 60, 80)), (300, 300)), (300, 300))
    assert tile.pixel(ras(voxel)) == pytest.approx(where)


def test_proportions_are_true_where_voxels_are_no_cubes():
    affine = AFFINE.copy()
    affine[:3, 0] *= 4  # slices of 8 mm
    labels = np.zeros((24, 100, 160), np.uint8)
    grids = np.ogrid[:24, :100, :160]
    labels[((grids[0] - 12) * 8) ** 2 + ((grids[1] - 60) * 2) ** 2 + ((grids[2] - 80) * 2) ** 2 < 40**2] = TUMOR
    middle = tuple((affine @ [12, 60, 80, 1.0])[:3].tolist())
    tile = Tile(
        Scan(np.zeros(labels.shape, np.int16), labels, affine, affine), View(CORONAL, middle, (200, 200)), (400, 400)
    )
    green = np.abs(np.asarray(tile.with_masks().picture, int) - TUMOR_LABEL.colour).max(-1) < 12
    height, width = (np.ptp(np.nonzero(green.any(axis))[0]) for axis in (1, 0))
    assert width == pytest.approx(160, abs=8)  # 80 mm, two pixels a mm
    assert height == pytest.approx(160, abs=20)


def test_the_picture_without_the_mask_has_none():
    tile = Tile(scan(with_tumor()), View(AXIAL, ras(LEFT), (150, 150)), (200, 200)).with_letters()
    pixels = np.asarray(tile.picture, int)
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert pixels.std() > 20


def test_a_line_is_drawn_in_its_plane_alone():
    line = Line(60.0, (ras((45, 60, 65)), ras((45, 60, 95))))

    def drawn(level):
        view = View(AXIAL, ras((level, 60, 80)), (150, 150))
        plain, lined = (Tile(scan(), view, (300, 300)) for _ in range(2))
        changed = np.asarray(plain.picture, int) != np.asarray(lined.with_lines([line]).picture, int)
        return np.nonzero(changed.any(axis=(0, 2)))[0]

    columns = drawn(45)
    assert columns.min() < 150 - 60 + 4 < columns.max()
    assert columns.max() > 150 + 60 - 4
    assert len(drawn(50)) == 0


def test_the_caption_tells_the_place_and_the_index_in_the_file():
    kits = np.array([[0, 0, -0.8, 100], [0, -0.8, 0, 50], [-3.0, 0, 0, -70], [0, 0, 0, 1.0]])  # i runs to the feet
    upwards = np.array([[-0.8, 0, 0, 100], [0, -0.8, 0, 50], [0, 0, 3.0, -160], [0, 0, 0, 1.0]])  # k to the head
    for affine, shape, index in ((kits, (30, 40, 50), "i = 10"), (upwards, (50, 40, 31), "k = 20")):
        volume = from_array(np.zeros(shape, np.int16), affine)
        made = Scan(volume.hu, volume.hu.astype(np.uint8), volume.affine, affine)
        assert made.caption(View(AXIAL, (80.0, 30.0, -100.4), (90, 90))) == f"axial, S -100.0 mm, {index}"
    oblique = kits.copy()
    oblique[:3, :3] = kits[:3, :3] @ np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])
    assert Scan(made.hu, made.labels, volume.affine, oblique).caption(View(AXIAL, (80.0, 30.0, -100.4), (90, 90))) == (
        "axial, S -100.0 mm"
    )


def test_the_first_slice_at_0_mm_has_no_minus():
    affine, source = np.diag([0.8, 0.8, 3.0, 1.0]), np.diag([0.8, 0.8, 3.0, 1.0])
    affine[2, 3] = -1e-6  # headers round
    volume = from_array(np.zeros((50, 40, 31), np.int16), affine)
    made = Scan(volume.hu, volume.hu.astype(np.uint8), volume.affine, source)
    assert made.caption(View(AXIAL, (8.0, 8.0, -0.01), (90, 90))) == "axial, S 0.0 mm, k = 0"


def test_from_the_front_the_tumor_shines_through_the_kidney():
    labels, _ = split_sides(put(kidneys(), TUMOR, RIGHT, (6, 6, 6)), body())  # inside the right kidney
    picture, scale = from_the_front(labels, SPACING, (400, 300))
    pixels = np.asarray(picture, int)
    green = np.argwhere(pixels[..., 1] > pixels[..., 0] + 20)
    red = np.argwhere(pixels[..., 0] > pixels[..., 1] + 20)
    assert len(green) == pytest.approx(np.pi * (12 * scale) ** 2, rel=0.25)  # a ball of 12 mm
    assert green[:, 1].mean() < red[:, 1].mean() - 50  # the patient's right is on the left
    assert np.ptp(red[:, 0]) == pytest.approx(112 * scale, rel=0.08)
    nothing, _ = from_the_front(empty(), SPACING, (400, 300))
    assert (np.asarray(nothing) == 255).all()


class Watched:
    """An array that counts the voxels that are read of it."""

    def __init__(self, values):
        self.values, self.shape, self.read = values, values.shape, 0

    def __getitem__(self, where):
        part = self.values[where]
        self.read += part.size
        return part


def test_little_of_the_ct_is_read():
    one = result(with_tumor())
    watched = Watched(np.concatenate([one.volume.hu] * 5))
    labels = np.concatenate([one.labels, *[empty()] * 4])
    page.preview(watched, labels, AFFINE, one.report)
    assert 0 < watched.read < 0.03 * watched.values.size


def test_doubt_and_certainty_stand_with_the_name():
    one = result(with_tumor()).report.structures[-1]
    assert page._title(one) == "left tumor, 90% certain"
    assert page._title(replace(one, certainty=None, doubts=("small",))) == "? left tumor"
    assert page._cells(replace(one, doubts=("small",)))[0] == "? left tumor"


def test_warnings_take_room_until_they_are_too_many():
    one = result(with_tumor(), warnings=["Look twice."])
    few = page._words(one.report, 700, 400)
    more = page._words(replace(one.report, warnings=(Caution("input", "Look twice."),) * 4), 700, 400)
    most = page._words(replace(one.report, warnings=(Caution("input", "Look twice."),) * 90), 700, 400)
    assert few.height < more.height < most.height <= 400
    assert isinstance(few, Image.Image)


def test_a_score_tells_the_number_behind_each_letter():
    """With a digit more than the limits have: 40.3 mm are above 40."""
    parts = (Part(2, 40.3, "mm"), Part(2, 30.2, "percent"), Part(3, 2.0, "mm"), Part("a", 9.0, "mm"))
    score = Nephrometry(*parts, Part(2, 20.0, "percent"), Part("h", 1.0, "mm"), 2.25)
    assert page._score(score) == (
        "R.E.N.A.L. 9ah, computed, to be checked: R 2 (40.3 mm), E 2 (30.2%), N 3 (2.0 mm), A a (9.0 mm), L 2 (20.0%), "
        "h (1.0 mm)"
    )
    assert page._score(Nephrometry(missing="the scan cuts it")) == "no R.E.N.A.L. score: the scan cuts it"


def test_both_kidneys_are_shown_with_all_of_a_large_tumor(monkeypatch):
    views, actual = [], page.Tile
    monkeypatch.setattr(page, "Tile", lambda scan, view, size: views.append(view) or actual(scan, view, size))
    picture_of(put(put(kidneys(), TUMOR, (RIGHT[0] + 25, RIGHT[1], 30), (28,) * 3), CYST, LEFT, (5, 5, 5)))
    view = views[-1]
    assert view.axis == CORONAL
    for at, mm, outermost in ((0, view.field_mm[0], (45, 60, 2)), (2, view.field_mm[1], (RIGHT[0] + 53, 60, 45))):
        assert abs(ras(outermost)[at] - view.middle[at]) < mm / 2
