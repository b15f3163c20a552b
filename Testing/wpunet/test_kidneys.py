"""Which bodies are kidneys: told by their sure tissue, side and level; each limit from both sides."""

import numpy as np
import pytest
from wpunet.bodies import Bodies, bodies
from wpunet.kidneys import Candidate, choose, describe
from wpunet.labels import KIDNEY, TUMOR

MM = (1.0, 1.0, 1.0)
RIGHT, LEFT, BOTH = 0.0, 1.0, 0.5


def body(left, ml, tissue, doubt=0.0, levels=(100, 210), at=None):
    """What ``describe`` tells of a body; ``at``: mm along a line, where it is but a point; else far from all others."""
    return {"left": left, "ml": ml, "tissue_ml": tissue, "doubt": doubt, "levels_mm": levels}, at


def chosen(*told):
    """Which of the bodies are kidneys, by their place in the call."""
    numbers, made = np.zeros((1, 1, 1000), int), []
    for number, (values, at) in enumerate(told, 1):
        at = 500 + 60 * number if at is None else at
        numbers[0, 0, at] = number
        made.append(Candidate(number, (slice(0, 1), slice(0, 1), slice(at, at + 1)), **values))
    found = Bodies(numbers, np.ones(len(made), int), tuple(one.box for one in made))
    return sorted(number - 1 for number in choose(made, found, MM))


KIDNEY_RIGHT = body(RIGHT, 160, 150)


def test_of_each_side_the_body_with_the_most_tissue():
    assert chosen(body(LEFT, 300, 20), body(LEFT, 110, 100), body(RIGHT, 160, 150), body(RIGHT, 19, 18)) == [1, 2]


@pytest.mark.parametrize(
    ("levels", "tissue", "kept"),
    [
        ((329, 350), 15, True),
        ((331, 350), 15, False),
        ((-30, -19), 15, True),
        ((-30, -21), 15, False),
        ((331, 350), 60, True),  # as much is a kidney wherever it lies
    ],
)
def test_a_few_ml_of_tissue_are_no_kidney_far_along_the_body(levels, tissue, kept):
    assert chosen(KIDNEY_RIGHT, body(LEFT, 100, tissue, levels=levels)) == ([0, 1] if kept else [0])


@pytest.mark.parametrize(("left", "kept"), [(0.19, True), (0.21, False)])
def test_a_body_that_lies_across_is_that_of_both_sides(left, kept):
    assert chosen(body(left, 160, 150), body(LEFT, 16, 15)) == ([0, 1] if kept else [0])


@pytest.mark.parametrize(
    ("tumor", "kept"),
    [
        (body(LEFT, 30, 4.9, 0.3), True),
        (body(LEFT, 29, 0, 0.3), False),
        (body(LEFT, 30, 0, 0.31), False),
        (body(BOTH, 30, 0, 0.3), False),
        (body(RIGHT, 30, 0, 0.3), False),
    ],
)
def test_where_a_side_has_no_kidney_a_tumor_may_have_eaten_it(tumor, kept):
    assert chosen(KIDNEY_RIGHT, tumor) == ([0, 1] if kept else [0])


@pytest.mark.parametrize(
    ("piece", "kept"),
    [
        (body(LEFT, 33, 20, at=125), True),
        (body(LEFT, 33, 19, at=125), False),
        (body(LEFT, 34, 20, at=125), False),  # too little of it is tissue
        (body(LEFT, 33, 20, at=126), False),
        (body(RIGHT, 33, 20, at=125), False),  # of the other side
    ],
)
def test_a_kidney_may_lie_in_pieces(piece, kept):
    assert chosen(KIDNEY_RIGHT, body(LEFT, 110, 100, at=100), piece) == ([0, 1, 2] if kept else [0, 1])


@pytest.mark.parametrize(("ml", "tissue", "kept"), [(70, 60, True), (71, 60, False), (60, 59, False)])
def test_what_is_all_tissue_is_a_kidney_beside_another_one(ml, tissue, kept):
    assert chosen(KIDNEY_RIGHT, body(RIGHT, ml, tissue)) == ([0, 1] if kept else [0])


def test_where_nothing_is_sure_the_body_with_the_most_tissue_stays():
    assert chosen(body(LEFT, 20, 1), body(LEFT, 10, 3), body(RIGHT, 25, 0, 0.4)) == [1]
    assert chosen(body(LEFT, 20, 0, 0.4), body(RIGHT, 25, 0, 0.4)) == [1]


def test_a_body_is_described_by_its_tissue_its_doubt_and_where_it_lies():
    labels = np.zeros((20, 10, 20), np.uint8)
    labels[4:10, 2:6, 3:13] = KIDNEY
    labels[4:10, 2:6, 11:13] = TUMOR
    doubt = np.zeros_like(labels)
    doubt[4:6] = 64  # more than SURE
    doubt[6:8] = 63
    (told,) = describe(bodies(labels > 0), [0], labels, doubt, 8.0, (5.0, 2.0, 1.0))
    assert (told.number, told.sides) == (1, {"left", "right"})
    assert told.ml == pytest.approx(6 * 4 * 10 * 0.01)
    assert told.tissue_ml == pytest.approx(4 * 4 * 8 * 0.01)
    assert told.doubt == pytest.approx((64 + 63) / 3 / 255)
    assert told.left == 0.5
    assert told.levels_mm == (20.0, 50.0)
    (sure,) = describe(bodies(labels > 0), [0], labels, None, 8.0, (5.0, 2.0, 1.0))
    assert (sure.tissue_ml, sure.doubt) == (pytest.approx(6 * 4 * 8 * 0.01), 0.0)
