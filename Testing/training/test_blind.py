"""What is invented, and what cysts are called, counted by hand."""

import numpy as np
from wpunet.labels import CYST, TUMOR

from training.blind import blind, by_density
from training.data import Case, to_grey


def case_of(labels, cysts=True, pixel_mm=1.0):
    return Case("a", "labelled", pixel_mm, np.zeros_like(labels), labels, "", cysts)


def slices(*squares):
    """A slice for each (value, side): a square of so many pixels; value 0 leaves it empty."""
    labels = np.zeros((len(squares), 40, 40), np.uint8)
    for one, (value, side) in zip(labels, squares, strict=True):
        one[5 : 5 + side, 5 : 5 + side] = value
    return labels


def test_false_alarms_are_counted_where_there_is_something_to_be_wrong_about():
    truth = slices((0, 0), (0, 0), (1, 20), (1, 20), (TUMOR, 20))
    found = slices((1, 10), (1, 11), (TUMOR, 7), (TUMOR, 8), (TUMOR, 30))
    counts = blind([(case_of(truth), found)])
    assert counts["without_kidney"] == {"slices": 2, "false_alarms": 1}  # 1 cm2 is allowed, 1.21 is not
    assert counts["without_tumor"] == {"slices": 2, "false_alarms": 1}
    coarse = blind([(case_of(truth, pixel_mm=2.0), found)])
    assert coarse["without_kidney"]["false_alarms"] == coarse["without_tumor"]["false_alarms"] == 2


def test_what_a_cyst_is_called_is_told_by_half_of_it():
    truth = slices((CYST, 10), (CYST, 10), (CYST, 10), (CYST, 10), (CYST, 8))
    found = slices((CYST, 10), (TUMOR, 10), (0, 0), (CYST, 6), (CYST, 8))
    counts = blind([(case_of(truth), found)])["cysts"]
    assert counts == {"cysts": 4, "called_cyst": 1, "called_tumor": 1, "not_marked": 2}  # the last is under 10 mm
    assert blind([(case_of(truth, cysts=False), found)])["cysts"]["cysts"] == 0


def test_the_rule_on_water_makes_a_cyst_of_a_tumor_as_dense_as_water_where_there_is_contrast():
    labels = np.full((4, 40, 40), 1, np.uint8)
    labels[:, 10:25, 10:25] = TUMOR
    hu = np.where(labels == TUMOR, np.array([8, 60, 8, -60])[:, None, None], 160)
    hu[2][labels[2] == 1] = 36  # no contrast agent
    case = Case("a", "labelled", 1.0, to_grey(hu), labels, "", True)
    ruled = by_density(case, labels)
    assert [int(one[15, 15]) for one in ruled] == [CYST, TUMOR, TUMOR, TUMOR]
    assert (ruled[labels == 1] == 1).all()
    assert (labels == TUMOR).sum() == 4 * 15 * 15  # what was given stays
