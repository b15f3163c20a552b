"""Every figure against cases that can be counted by hand."""

import numpy as np
import pytest
from monai.metrics import compute_dice

from training import metrics

SPACING = (2.0, 1.0, 1.0)


def cube(*corners, shape=(20, 40, 40)):
    mask = np.zeros(shape, bool)
    for (z, y, x), side in corners:
        mask[z : z + side, y : y + side, x : x + side] = True
    return mask


def test_dice_by_hand():
    truth, found = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    truth[0], found[0, :2], found[1, :2] = True, True, True
    assert metrics.dice(found, truth) == 0.5
    assert metrics.dice(truth, truth) == 1
    assert metrics.dice(~truth, truth) == 0
    assert metrics.dice(truth & ~truth, truth & ~truth) is None


def test_kits_figures_count_a_tumor_as_kidney_too():
    truth = np.array([1, 1, 1, 1, 2, 2, 0, 0])
    found = np.array([1, 1, 1, 1, 1, 2, 2, 0])
    figures = metrics.kits_dice(found, truth)
    assert figures["kidney_or_tumor"] == pytest.approx(2 * 6 / 13)
    assert figures["tumor"] == pytest.approx(0.5)
    assert figures["composite"] == pytest.approx((12 / 13 + 0.5) / 2)
    swapped = np.where(truth == 2, 1, np.where(truth == 1, 2, 0))
    assert metrics.kits_dice(swapped, truth)["kidney_or_tumor"] == 1
    healthy = metrics.kits_dice(found, np.minimum(truth, 1))
    assert (healthy["tumor"], healthy["composite"]) == (None, None)
    missed = metrics.kits_dice(np.minimum(found, 1), truth)
    assert (missed["tumor"], missed["composite"]) == (0, pytest.approx(6 / 13))  # a figure as any other


def test_surfaces_by_hand_and_in_mm():
    truth = cube(((4, 10, 10), 10))
    assert metrics.surface(truth, truth, SPACING) == {"surface_dice": 1.0, "hd95_mm": 0.0}
    moved = cube(((4, 13, 10), 10))  # 3 mm along the rows
    figures = metrics.surface(moved, truth, SPACING)
    assert figures["hd95_mm"] == pytest.approx(3.0)
    assert 0.3 < figures["surface_dice"] < 0.8  # two faces are 3 mm off
    along_z = metrics.surface(cube(((6, 10, 10), 10)), truth, SPACING)
    assert along_z["hd95_mm"] == pytest.approx(4.0)  # two slices of 2 mm
    nothing = np.zeros_like(truth)
    assert metrics.surface(nothing, truth, SPACING) == {"surface_dice": None, "hd95_mm": None}
    assert metrics.surface(nothing, nothing, SPACING) == {"surface_dice": None, "hd95_mm": None}


@pytest.mark.parametrize(("by", "within"), [((1, 0, 0), True), ((0, 0, 2), True), ((0, 0, 3), False)])
def test_a_surface_counts_as_right_up_to_2_mm_along_each_axis(by, within):
    """Voxels are 2 x 1 x 1 mm."""
    moved = cube((tuple(np.add((4, 10, 10), by)), 10))
    assert (metrics.surface(moved, cube(((4, 10, 10), 10)), SPACING)["surface_dice"] == 1) == within


def test_a_surface_2_and_a_half_mm_off_is_wrong():
    spacing = (2.5, 2.5, 2.5)
    assert metrics.surface(cube(((5, 10, 10), 10)), cube(((4, 10, 10), 10)), spacing)["surface_dice"] < 0.9


def test_the_distance_leaves_out_a_twentieth():
    truth = cube(((4, 10, 10), 10))
    spiked = truth | cube(((8, 15, 30), 1))
    assert metrics.surface(spiked, truth, SPACING)["hd95_mm"] == 0


def test_surfaces_do_not_depend_on_the_empty_space_around():
    truth, found = cube(((4, 10, 10), 8)), cube(((5, 11, 10), 8))
    wide = [np.pad(one, 9) for one in (found, truth)]
    assert metrics.surface(*wide, SPACING) == pytest.approx(metrics.surface(found, truth, SPACING))


def test_lesions_are_found_missed_and_invented_by_size():
    # voxels of 1.1 ml: a cube of 1 is like a ball of 13 mm, small; of 2, 26 mm, medium; of 4, 51 mm, large
    truth = cube(((1, 2, 2), 1), ((1, 20, 2), 2), ((10, 10, 20), 4))
    found = cube(((1, 20, 2), 1), ((10, 12, 20), 4), ((2, 30, 30), 3), ((15, 2, 35), 1))
    counts = metrics.lesions(found, truth, voxel_ml=1.1)
    assert {key: counts[key] for key in ("found", "missed", "false")} == {"found": 2, "missed": 1, "false": 2}
    assert counts["small_missed"] == counts["medium_found"] == counts["large_found"] == 1
    assert counts["small_found"] == counts["medium_missed"] == counts["large_missed"] == 0
    touched = metrics.lesions(cube(((10, 10, 20), 1)), cube(((10, 10, 20), 4)), 1.0)
    assert (touched["found"], touched["missed"], touched["false"]) == (0, 1, 0)  # 1 of 64 voxels is no finding
    nothing = np.zeros_like(truth)
    assert metrics.lesions(nothing, nothing, 1.0)["false"] == 0
    assert metrics.lesions(nothing, truth, 1.0)["missed"] == 3


@pytest.mark.parametrize(
    ("side", "voxel_ml", "size"), [(2, 1.0, "small"), (2, 1.03, "medium"), (4, 0.52, "medium"), (4, 0.53, "large")]
)
def test_the_size_of_a_tumor_is_the_diameter_of_a_ball_of_its_volume(side, voxel_ml, size):
    truth = cube(((5, 10, 10), side))  # a ball of 25 mm has 8.18 ml, one of 40 mm 33.5 ml
    assert metrics.lesions(truth, truth, voxel_ml)[f"{size}_found"] == 1


def test_a_tumor_is_found_by_a_tenth_of_itself_not_by_what_lies_beside():
    truth = np.zeros((20, 40, 40), bool)
    truth[5, 5, 5:15] = truth[15, 5, 5:15] = truth[15, 5:15, 5] = True  # a line and an angle
    found = np.zeros_like(truth)
    found[5, 5, 5] = True  # one of ten
    found[15, 8:12, 8:12] = True  # within the angle
    counts = metrics.lesions(found, truth, 1.0)
    assert (counts["found"], counts["missed"], counts["false"]) == (1, 1, 1)


@pytest.mark.parametrize(("columns", "missed"), [(5, 0), (4, 1)])
def test_a_kidney_is_missed_of_which_less_than_a_half_is_marked(columns, missed):
    truth = cube(((5, 5, 5), 10))
    found = truth.copy()
    found[:, :, 5 + columns :] = False
    assert metrics.kidneys_missed(found, truth, 0.02) == missed


@pytest.mark.parametrize("factor", [0.7, 1.0, 2.5])
def test_the_temperature_that_makes_logits_honest(factor):
    g = np.random.default_rng(0)
    honest = g.uniform(-4, 4, 200_000)
    truth = g.random(honest.size) < 1 / (1 + np.exp(-honest))
    assert metrics.temperature(honest * factor, truth) == pytest.approx(factor, rel=0.02)
    assert metrics.temperature(np.empty(0), np.empty(0, bool)) == 1


def test_what_is_too_much_lies_in_the_hollow_or_outside():
    truth = np.zeros((20, 40, 40), bool)
    truth[2:18, 5:30, 5:30] = True
    truth[2:18, 12:22, 18:30] = False  # open to one side, as a sinus is
    found = truth.copy()
    found[2:18, 12:22, 18:25] = True  # in the hollow
    found[2:18, 5:30, 30:33] = True  # beside the body
    found[2:18, 5:8, 5:8] = False
    told = metrics.surplus(found, truth, 0.01)
    assert told["surplus_in_hollow_ml"] == pytest.approx(16 * 10 * 7 * 0.01, abs=0.06)
    assert told["surplus_ml"] == pytest.approx(16 * (10 * 7 + 25 * 3) * 0.01, abs=0.06)
    piece = np.zeros_like(truth)
    piece[2:18, 34, 30:38] = piece[2:18, 34:39, 30] = True  # an angle, too small for a kidney
    beside = found | piece
    beside[2:18, 35:37, 31:33] = True
    assert metrics.surplus(beside, truth | piece, 0.01)["surplus_in_hollow_ml"] == told["surplus_in_hollow_ml"]
    assert metrics.surplus(truth, truth, 0.01) == {"surplus_ml": 0.0, "surplus_in_hollow_ml": 0.0}


def test_calibration_of_the_honest_and_of_the_boastful():
    g = np.random.default_rng(0)
    certainty = g.uniform(0.5, 1, 200_000)
    honest = metrics.calibration(certainty, g.random(certainty.size) < certainty)
    assert honest["error"] < 0.01
    boastful = metrics.calibration(np.full(1000, 0.95), np.arange(1000) < 600)
    assert boastful["error"] == pytest.approx(0.35)
    assert boastful["certainty"][9] == pytest.approx(0.95)
    assert boastful["right"][9] == pytest.approx(0.6)
    assert metrics.calibration(np.array([1.0]), np.array([True]))["error"] == 0  # 1 falls into the last band
    assert metrics.calibration(np.array([0.69]), np.array([True]))["right"] == [0.0] * 6 + [1.0] + [0.0] * 3


def test_the_papers_figures_by_hand():
    truth = np.array([[0, 0, 0, 0, 1, 1, 2, 2]])
    found = np.array([[0, 0, 0, 1, 1, 1, 1, 2]])
    figures = metrics.slice_scores(found, truth)
    assert figures["accuracy"] == pytest.approx(6 / 8)
    assert figures["mean_iou"] == pytest.approx(np.mean([3 / 4, 2 / 4, 1 / 2]))
    assert figures["mean_dice"] == pytest.approx(np.mean([6 / 7, 4 / 6, 2 / 3]))
    assert metrics.slice_scores(truth, truth) == {"accuracy": 1, "mean_iou": 1, "mean_dice": 1}
    healthy = np.minimum(truth, 1)  # a class that nobody has marked is no class
    assert metrics.slice_scores(healthy, healthy) == {"accuracy": 1, "mean_iou": 1, "mean_dice": 1}


def test_summaries_leave_out_what_is_not_there():
    summary = metrics.summary([0.5, None, 1.0, 0.9])
    assert summary == {"n": 3, "mean": 0.8, "sd": pytest.approx(0.216, abs=1e-3), "median": 0.9, "worst": 0.5}
    assert metrics.summary([None]) == {"n": 0}


def test_dice_agrees_with_monai():
    import torch

    g = np.random.default_rng(1)
    found, truth = (g.random((1, 1, 9, 8, 7)) < 0.4 for _ in range(2))
    monai = compute_dice(torch.from_numpy(found), torch.from_numpy(truth), include_background=True)
    assert metrics.dice(found, truth) == pytest.approx(float(monai))
