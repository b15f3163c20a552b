"""Batches are the same whoever draws them, and none is counted twice."""

import sys

import pytest
import torch

from training.augment import Mixture, Sampler
from training.data import read_prepared
from training.feed import Feed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="worker processes need forks")
CPU = torch.device("cpu")


@pytest.fixture
def sampler(prepared):
    shelves = {group: read_prepared(prepared, group) for group in ("labelled", "kidney_free")}
    return Sampler(shelves, Mixture(), 4.0, 64, seed=5)


def test_workers_draw_the_batches_that_the_training_would_draw(sampler):
    here, ahead = Feed(sampler, 2, 6, 0, CPU), Feed(sampler, 2, 6, 2, CPU)
    for step in (0, 1, 2, 7, 8):  # 7: gone on with elsewhere
        for own, theirs in zip(here.batch(step), ahead.batch(step), strict=True):
            assert torch.equal(own, theirs)
    assert not torch.equal(here.batch(0)[0], here.batch(1)[0])


def test_each_sample_that_was_trained_on_is_counted_once(sampler):
    feed = Feed(sampler, 0, 4, 2, CPU)
    for step in range(30):
        feed.batch(step)
    assert sum(sampler.drawn.values()) == 30 * 4
