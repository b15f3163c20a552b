"""Time left is true within a third once a quarter is done, or there is no number."""

import pytest
from wpunet.pace import Pace

# What a run on KiTS19's case 166 told on two busy cores: seconds, stage, share of the stage that is done
RUN = (
    (9.34, "read", 0.0),
    (11.62, "read", 1.0),
    (11.62, "check", 0.0),
    (11.62, "check", 1.0),
    (11.62, "locate", 0.0),
    (11.62, "locate", 0.0),
    (13.22, "locate", 0.088),
    (14.69, "locate", 0.206),
    (16.18, "locate", 0.323),
    (17.75, "locate", 0.441),
    (19.52, "locate", 0.559),
    (21.2, "locate", 0.677),
    (22.9, "locate", 0.794),
    (25.0, "locate", 0.912),
    (26.3, "locate", 1.0),
    (26.3, "predict", 0.0),
    (26.3, "predict", 0.0),
    (37.47, "predict", 0.739),
    (41.3, "predict", 1.0),
    (41.3, "decide", 0.0),
    (41.3, "decide", 0.0),
    (42.24, "decide", 0.985),
    (42.25, "decide", 1.0),
    (42.25, "clean", 0.0),
    (43.19, "clean", 1.0),
    (43.19, "measure", 0.0),
    (44.14, "measure", 1.0),
    (44.15, "write", 0.0),
    (44.59, "write", 1.0),
)
SECONDS, VOXELS = 47.36, 103 * 256 * 256


def told(pace, slower=1.0, voxels=VOXELS):
    """(seconds, what was told to be left) along the run, every time something took ``slower`` times as long."""
    run, found = pace.run(voxels), []
    for seconds, stage, share in RUN:
        run.heard(stage, round(1000 * share), 1000, seconds * slower)
        found.append((seconds * slower, run.left(seconds * slower)))
    pace.learn(run, SECONDS * slower)
    return found


def test_a_first_run_tells_no_number():
    assert {left for _, left in told(Pace())} == {None}


@pytest.mark.parametrize(("slower", "voxels"), [(1.0, VOXELS), (1.7, VOXELS), (0.4, VOXELS), (3.0, 3 * VOXELS)])
def test_the_next_run_is_told_within_a_third(slower, voxels):
    pace = Pace()
    told(pace)
    lefts = told(pace, slower, voxels)
    end = SECONDS * slower
    numbers = [(seconds, left) for seconds, left in lefts if left is not None]
    assert len(numbers) > 10
    assert all(left is None for seconds, left in lefts if seconds < 0.2 * end)
    for seconds, left in numbers:
        assert abs(left - (end - seconds)) <= (end - seconds) / 3 + 1, seconds


def test_it_counts_down_between_two_words_of_the_engine():
    pace = Pace()
    told(pace)
    run = pace.run(VOXELS)
    run.heard("predict", 1, 2, 30.0)
    first = run.left(30.0)
    assert first is not None
    assert run.left(32.0) == pytest.approx(first - 2)
    assert run.left(1000.0) == 0
