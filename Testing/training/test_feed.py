"""Batches are the same whoever draws them, and none is counted twice."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="worker processes need safe forks")
# In a process of its own: forks of one that has run an engine, a browser and threads of theirs are nobody's business
SETTING = """
import sys, torch
from pathlib import Path
from training.augment import Sampler
from training.mixture import Mixture
from training.data import read_prepared
from training.feed import Feed

torch.set_num_threads(1)
shelves = {group: read_prepared(Path(sys.argv[1]), group) for group in ("labelled", "kidney_free")}
sampler, cpu = Sampler(shelves, Mixture(), 4.0, 64, seed=5), torch.device("cpu")
"""


def run(script, prepared):
    found = subprocess.run(
        [sys.executable, "-c", SETTING + script, prepared], capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == 0, found.stderr


def test_workers_draw_the_batches_that_the_training_would_draw(prepared):
    script = """
here, ahead = Feed(sampler, 2, 6, 0, cpu), Feed(sampler, 2, 6, 2, cpu)
for step in (0, 1, 2, 7, 8):  # 7: gone on with elsewhere
    assert all(torch.equal(own, theirs) for own, theirs in zip(here.batch(step), ahead.batch(step), strict=True)), step
assert not torch.equal(here.batch(0)[0], here.batch(1)[0])
"""
    run(script, prepared)


def test_each_sample_that_was_trained_on_is_counted_once(prepared):
    script = """
feed = Feed(sampler, 0, 4, 2, cpu)
for step in range(300):
    feed.batch(step)
assert sum(sampler.drawn.values()) == 300 * 4, sampler.drawn
"""
    run(script, prepared)


def test_workers_take_no_random_number_of_the_training(prepared):
    """Dropout comes after: workers are started at a run's first step, and at another when it is gone on with."""
    script = """
feed = Feed(sampler, 0, 4, 2, cpu)
for step in (0, 1, 7):
    torch.manual_seed(step)
    expected = torch.rand(3)
    torch.manual_seed(step)
    feed.batch(step)
    assert torch.equal(torch.rand(3), expected), step
"""
    run(script, prepared)


def test_where_forks_are_not_safe_the_training_draws_itself(prepared):
    run('sys.platform = "darwin"\nassert Feed(sampler, 0, 4, 2, cpu).workers == 0', prepared)
