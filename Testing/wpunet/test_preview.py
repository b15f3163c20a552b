"""The picture shows the slices that matter in the colours of the table of labels."""

import numpy as np
import pytest
from PIL import Image
from wpunet import bundle, report
from wpunet.labels import BY_SIDE, CYST, CYST_LABEL
from wpunet.measure import measure
from wpunet.preview import preview
from wpunet.sides import split_sides
from wpunet.structure import Caution
from wpunet.volume import from_array

from Testing.wpunet.anatomy import AFFINE, body, empty, kidneys, put


def picture_of(labels, name="case", warnings=()):
    labels, _ = split_sides(labels, body())
    structures = measure(labels, body(), AFFINE)
    told = report.Report.of(
        from_array(body(), AFFINE, name),
        structures,
        warnings=[Caution("input", text) for text in warnings],
        notes=(),
        weights=bundle.load(),
        runtime="",
        seconds={},
    )
    return preview(body(), labels, AFFINE, told)


def near(picture, colour):
    """How many pixels have nearly this colour."""
    return int((np.abs(np.asarray(picture, int) - colour).max(-1) < 12).sum())


def test_kidneys_are_red_tumor_is_green_and_a_cyst_blue():
    picture = picture_of(put(put(kidneys(), 2, (45, 47, 115), (8, 8, 8)), CYST, (45, 47, 40), (8, 8, 8)))
    assert isinstance(picture, Image.Image)
    assert all(near(picture, label.colour) > 100 for label in BY_SIDE)
    without = picture_of(kidneys())
    assert near(without.crop((0, 60, 900, 900)), BY_SIDE[1].colour) == 0
    assert near(without, CYST_LABEL.colour) == 0  # not even in the legend


def test_nothing_found_still_gives_a_picture():
    picture = picture_of(empty())
    assert min(picture.size) > 300
    assert near(picture.crop((0, 60, *picture.size)), BY_SIDE[0].colour) == 0


@pytest.mark.parametrize("name", ["é" * 10, "a very long name " * 20, ""])
def test_any_name_fits(name):
    assert picture_of(kidneys(), name, warnings=("A long warning. " * 40,)).size[0] < 2000


def test_right_of_the_patient_is_left_in_the_picture():
    picture = np.asarray(picture_of(kidneys(left=False)), int)
    tile = picture[70:440, :390]
    columns = np.nonzero((np.abs(tile - BY_SIDE[0].colour).max(-1) < 12).any(0))[0]
    both = np.asarray(picture_of(kidneys()), int)[70:440, :390]
    of_both = [np.nonzero((np.abs(both - c.colour).max(-1) < 12).any(0))[0].mean() for c in (BY_SIDE[0], BY_SIDE[2])]
    assert len(columns) > 10
    assert of_both[0] < of_both[1]
