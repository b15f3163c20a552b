"""Two processes that share the batches end where one process ends."""

import os
import subprocess
import sys

import pytest
import torch
from wpunet.errors import DeviceError

from training import checkpoint, distributed, train


def torchrun(*arguments):
    """The command of the README, with two processes on this machine's processor."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command += ["-m", "--", "training.train", *map(str, arguments), "--device", "cpu"]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)


@pytest.mark.parametrize("loss", ["dice_ce"])
def test_two_processes_are_as_one_with_the_same_batch(loss, recipe, prepared, tmp_path, command):
    path = recipe(steps=6, look_every=3, dropout=0.0, mixed_precision=False, loss=loss, learning_rate=1e-3)
    arguments = ("--config", path, "--data", prepared)
    assert command(train, *arguments, "--run", tmp_path / "one", "--device", "cpu") == 0
    for until in (2, 6):  # stopped in between: resuming works with several, too
        done = torchrun(*arguments, "--run", tmp_path / "two", "--until", until)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (checkpoint.load(tmp_path / run / "checkpoint.safetensors")[0] for run in ("one", "two"))
    assert one.keys() == two.keys()
    start = train.Run(train.Config.read(path), prepared, tmp_path / "start", torch.device("cpu")).network.state_dict()
    moved, apart = [], []
    for name, weight in start.items():
        if weight.is_floating_point():
            moved.append((one[f"network.{name}"] - weight).abs().flatten())
            apart.append((one[f"network.{name}"] - two[f"network.{name}"]).abs().flatten())
    # Adam makes a step of a gradient that is nothing but rounding, so single weights may differ; not many, not much
    ratio = float(torch.cat(apart).mean() / torch.cat(moved).mean())
    assert ratio < 0.01
    rows = [line.split(",") for line in (tmp_path / "two" / "log.csv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["step", "2", "3", "6"]  # one process alone writes


def test_a_batch_that_cannot_be_shared_is_refused(recipe, prepared, tmp_path):
    done = torchrun("--config", recipe(batch=3), "--data", prepared, "--run", tmp_path / "run")
    assert done.returncode != 0
    assert "A batch of 3 cannot be divided by 2 processes" in done.stderr


def test_a_gpu_that_is_not_there_is_told_before_the_processes_wait_for_each_other(monkeypatch):
    for name, value in (("WORLD_SIZE", "100"), ("LOCAL_RANK", "99")):
        monkeypatch.setenv(name, value)
    with pytest.raises(DeviceError, match="no device 'cuda:99' here"), distributed.processes("cuda"):
        pass
