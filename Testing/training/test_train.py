"""A run: exactly resumed after kill -9, stopped before it is spoilt, its logs and curves as it went."""

import csv
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from Testing.conftest import no_file_over
from training import checkpoint, train
from training.data import read_split
from training.networks import ARCHITECTURES
from training.train import TrainingError

from .conftest import config_of, same, start

# What stops a run at step 7: a child process sends itself the signal that nothing can catch.
KILLED = {
    "in a step": """
step = t.Run._average_weights
def killed(self):
    if self.step == 7: os.kill(os.getpid(), signal.SIGKILL)
    step(self)
t.Run._average_weights = killed
""",
    "in a checkpoint": """
save = checkpoint.save_file
def killed(tensors, path, metadata):
    save(tensors, path, metadata)
    if metadata["step"] == "7":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.save_file = killed
""",
}


CHILD = """
import os, signal, sys, torch
from training import checkpoint, train as t
torch.set_num_threads(1)
{killed}
sys.exit(t.main())
"""


@pytest.mark.parametrize("when", KILLED)
def test_a_run_that_was_killed_ends_with_the_same_weights(when, recipe, prepared, tmp_path, command):
    path = recipe(checkpoint_minutes=0.0, dropout=0.3)
    arguments = ("--config", path, "--data", prepared, "--device", "cpu")
    assert command(train, *arguments, "--run", tmp_path / "whole") == 0
    child = [sys.executable, "-c", CHILD.format(killed=KILLED[when]), *map(str, arguments)]
    child += ["--run", str(tmp_path / "killed")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(child, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert 6 <= checkpoint.facts(tmp_path / "killed" / "checkpoint.safetensors")["step"] <= 7
    assert command(train, *arguments, "--run", tmp_path / "killed") == 0
    for name in ("checkpoint", "average"):
        one, other = (checkpoint.load(tmp_path / run / f"{name}.safetensors")[0] for run in ("whole", "killed"))
        assert same(one, other), name
    logs = [(tmp_path / run / "log.csv").read_text().splitlines() for run in ("whole", "killed")]
    without_seconds = [[line.rsplit(",", 1)[0] for line in log] for log in logs]
    assert [line.split(",")[0] for line in logs[0]] == ["step", "6", "12"]
    assert without_seconds[0][:2] == without_seconds[1][:2]
    ends = [log[2].split(",")[2:] for log in without_seconds]  # without its mean loss, which is of fewer steps
    assert ends[0] == ends[1]


def test_stopping_and_going_on_is_the_same_as_not_stopping(recipe, prepared, tmp_path, command):
    path = recipe(dropout=0.5, average=0, optimizer="adam", schedule="constant", loss="paper")
    arguments = ("--config", path, "--data", prepared, "--device", "cpu")
    assert command(train, *arguments, "--run", tmp_path / "whole") == 0
    for until in (0, 5, 9, 12):
        torch.manual_seed(until)  # what a fresh process finds does not matter
        assert command(train, *arguments, "--run", tmp_path / "parts", "--until", until) == 0
        assert checkpoint.facts(tmp_path / "parts" / "checkpoint.safetensors")["step"] == until
    one, other = (checkpoint.load(tmp_path / run / "checkpoint.safetensors")[0] for run in ("whole", "parts"))
    assert same(one, other)
    network = {name.removeprefix("network."): t for name, t in one.items() if name.startswith("network.")}
    assert same(network, {name.removeprefix("average."): t for name, t in one.items() if name.startswith("average.")})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_network_learns(architecture, recipe, prepared, tmp_path, monkeypatch):
    size, steps = (128, 6) if architecture == "nnunet_2d" else (64, 12)  # its plan halves six times, and is large
    config = config_of(recipe, architecture=architecture, augment=False, size=size, batch=2, schedule="constant")
    run = start(config, prepared, tmp_path)
    batch = run.sampler.batch(0, 0, 2)
    monkeypatch.setattr(run.sampler, "batch", lambda *_: batch)
    losses = [run.one_step() for _ in range(steps)]
    assert losses[-1] < 0.9 * losses[0]  # one batch can be learned by heart
    assert run.look(at_most=8).keys() == {"kidney_or_tumor", "tumor"}


def precision_of_a_step(run):
    seen = []
    with run.network.head.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype)):
        run.one_step()
    assert {p.dtype for p in run.network.parameters()} == {torch.float32}
    return seen[0]


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("here", [True, False])
def test_precision_is_as_the_recipe_says_where_the_processor_computes_so(
    mixed, here, recipe, prepared, tmp_path, monkeypatch
):
    monkeypatch.setattr(train, "computes_in_bfloat16", lambda device: here)
    run = start(config_of(recipe, mixed_precision=mixed, fused=False), prepared, tmp_path)
    assert precision_of_a_step(run) == (torch.bfloat16 if mixed and here else torch.float32)
    assert run.precision.startswith("in bfloat16" if mixed and here else "in float32")


@pytest.mark.parametrize("begun", [True, False])
def test_a_run_goes_on_in_the_precision_that_it_was_begun_in(begun, recipe, prepared, tmp_path, monkeypatch):
    config = config_of(recipe, fused=False)
    for here in (begun, not begun):  # then on another machine
        monkeypatch.setattr(train, "computes_in_bfloat16", lambda device, here=here: here)
        run = start(config, prepared, tmp_path)
        run.begin()
        assert precision_of_a_step(run) == (torch.bfloat16 if begun else torch.float32)
        assert json.loads((tmp_path / "config.json").read_text("utf-8"))["mixed_precision"] == begun
    assert run.precision.endswith("as it was begun")


def test_bfloat16_where_the_processor_says_so():
    """The training's own answer against the processor's, on Linux."""
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists():
        pytest.skip("needs /proc/cpuinfo, which only Linux has")
    flags = cpu.read_text().split()
    here = train.computes_in_bfloat16(torch.device("cpu"))
    if "avx512_bf16" in flags:
        assert here
    elif "x86_64" in platform.machine() and "avx512bw" not in flags:
        assert not here
    else:
        pytest.skip("bfloat16 without instructions for it: PyTorch decides")


def test_the_average_is_that_of_the_last_weights(recipe, prepared, tmp_path):
    run = start(config_of(recipe, average=2), prepared, tmp_path)
    weight, mean = run.network.stem.weight, run.average.stem.weight
    expected = mean.detach().clone()
    for step in range(5):
        run.one_step()
        keep = min(0.5, (step + 1) / (step + 10))
        expected = expected * keep + weight.detach() * (1 - keep)
    assert torch.allclose(mean, expected, atol=1e-6)


def test_what_a_run_does_not_do_any_more_is_told(recipe, prepared, trained, tmp_path, command, capsys):
    """Given again for new cases, or with other weights, it must not seem to have learned from them."""
    options = ("--config", recipe(steps=2, held_out=1), "--run", tmp_path / "run", "--device", "cpu")
    facts = json.loads((prepared / "prepared.json").read_text())
    shutil.copytree(prepared, tmp_path / "fewer")
    fewer = {name: group for name, group in facts["prepared"].items() if name not in ("case_00001", "case_00004")}
    (tmp_path / "fewer" / "prepared.json").write_text(json.dumps(facts | {"prepared": fewer}))
    assert command(train, *options, "--data", tmp_path / "fewer") == 0
    assert "neither trained on" not in capsys.readouterr().err
    assert command(train, *options, "--data", prepared) == 0
    told = capsys.readouterr().err
    assert "2 patients" in told
    assert "the first case_00001, are in no part of the split" in told
    assert "run has its 2 steps, so nothing is trained" in told
    assert command(train, *options, "--data", prepared, "--weights", trained / "average.safetensors") == 2
    assert "another value of 'weights'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--sealed", "case_1"), "has no patient case_1 to keep away from"),
        (("--device", "gpu"), "train: There is no device 'gpu'; give cpu or cuda.\n"),
        (("--until", -1), "--until is -1; give a whole number from 0 on"),
        (("--steps", 0), "--steps is 0; give a whole number from 1 on"),
        (("--split", "nobody.json"), "trains on nobody"),
        (("--run", "c.toml/run"), "Not a directory"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(options, says, recipe, prepared, tmp_path, command, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe().rename("c.toml")
    Path("nobody.json").write_text('{"training": [], "held_out": ["case_00001"]}')
    assert command(train, "--config", "c.toml", "--data", prepared, "--run", "run", "--device", "cpu", *options) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1


def test_a_log_or_a_recipe_that_was_cut_short_on_a_full_disk(recipe, prepared, tmp_path, command, capsys):
    options = ("--config", recipe(), "--data", prepared, "--run", tmp_path / "run", "--device", "cpu")
    assert command(train, *options, "--until", 6) == 0
    for name, end in (("log.csv", "6,0.3,0.1,,,"), ("drawn.csv", "\n1")):
        with (tmp_path / "run" / name).open("a") as file:
            file.write(end)
    assert command(train, *options) == 0
    assert [line.split(",")[0] for line in (tmp_path / "run" / "log.csv").read_text().split()] == ["step", "6", "12"]
    (tmp_path / "run" / "config.json").write_text('{"steps":')
    capsys.readouterr()
    assert command(train, *options) == 2
    assert "config.json cannot be read" in capsys.readouterr().err


def test_no_dice_is_told_of_a_tumor_that_nobody_has_or_finds(recipe, prepared, tmp_path, monkeypatch):
    run = start(config_of(recipe), prepared, tmp_path)
    for case in run.seen:
        case.labels[case.labels == 2] = 1
    monkeypatch.setattr(run, "answer", lambda x: torch.tensor([1.0, 0, 0])[None, :, None, None].expand(-1, -1, 64, 64))
    assert run.look(8) == {"kidney_or_tumor": 0.0}


def test_logs_and_curves(trained):
    with (trained / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["20", "40", "50", "60"]
    assert [bool(row["kidney_or_tumor"]) for row in rows] == [True, True, False, True]
    assert float(rows[-1]["loss"]) < 0.7 * float(rows[0]["loss"])
    assert (trained / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(trained / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("tumor")] == [20, 40, 60]
    assert board.Scalars("loss")[-1].value == pytest.approx(float(rows[-1]["loss"]), rel=1e-3)
    assert json.loads((trained / "config.json").read_text())["steps"] == 60
    training, held_out = read_split(trained / "split.json")
    assert (len(training), len(held_out)) == (4, 2)


@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_a_run_that_diverges_stops_with_its_last_good_checkpoint(poison, recipe, prepared, tmp_path, monkeypatch):
    config = config_of(recipe, checkpoint_minutes=0.0)
    run = start(config, prepared, tmp_path)
    train.train(run, until=4)
    good = checkpoint.load(tmp_path / "checkpoint.safetensors")[0]
    loss = train.LOSSES[config.loss]

    def poisoned(logits, labels):
        value = loss(logits, labels)
        if run.step < 6:
            return value
        return value * torch.nan if poison == "loss" else value + (logits - logits.detach()).abs().sqrt().sum()

    monkeypatch.setitem(train.LOSSES, config.loss, poisoned)
    with pytest.raises(TrainingError, match=r"at step 6; the checkpoint of step 6 is good.*lower learning_rate"):
        train.train(run)
    tensors, facts = checkpoint.load(tmp_path / "checkpoint.safetensors")
    assert facts["step"] == 6
    assert all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point())
    assert all(torch.isfinite(p).all() for p in run.network.parameters())
    assert not same(tensors, good)
    monkeypatch.setitem(train.LOSSES, config.loss, loss)
    again = start(replace(config, learning_rate=1e-3), prepared, tmp_path)  # as the message says
    train.train(again)
    assert again.step == 12


def test_diverging_at_once_says_that_nothing_was_saved(recipe, prepared, tmp_path, monkeypatch, command, capsys):
    monkeypatch.setitem(train.LOSSES, "dice_ce", lambda logits, labels: logits.sum() * torch.inf)
    options = ("--config", recipe(), "--data", prepared, "--run", tmp_path / "run", "--device", "cpu")
    assert command(train, *options) == 2
    assert "nothing was saved yet" in capsys.readouterr().err


def test_a_full_disk_keeps_the_last_checkpoint(recipe, prepared, tmp_path, command, capsys):
    options = ("--config", recipe(), "--data", prepared, "--run", tmp_path / "run", "--device", "cpu")
    assert command(train, *options, "--until", 6) == 0
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    with no_file_over(8000):
        assert command(train, *options) == 2
    message = capsys.readouterr().err
    assert "checkpoint of step 12 cannot be written" in message
    assert "the one before it is whole" in message
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == before
    assert not list((tmp_path / "run").glob("*.partial"))
    assert command(train, *options) == 0  # with room again it goes on
    assert checkpoint.facts(tmp_path / "run" / "checkpoint.safetensors")["step"] == 12


def test_a_log_that_cannot_be_written_is_told(recipe, prepared, tmp_path, monkeypatch):
    def full(self, values, drawn):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(train.Log, "row", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*Make room"):
        train.train(start(config_of(recipe), prepared, tmp_path))


def test_a_damaged_case_or_checkpoint_is_named(recipe, prepared, tmp_path):
    config = config_of(recipe)
    train.train(start(config, prepared, tmp_path / "run"), until=2)
    path = tmp_path / "run" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors does not fit this config or is damaged"):
        start(config, prepared, tmp_path / "run")


def test_how_often_each_source_was_drawn_is_told_and_goes_on_after_a_stop(recipe, prepared, kits, tmp_path):
    config = config_of(recipe)
    train.train(start(config, prepared, tmp_path / "run"), until=6)
    train.train(start(config, prepared, tmp_path / "run"))
    with (tmp_path / "run" / "drawn.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["step"] for row in rows} == {"6", "12"}
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        first, last = (float(row["seconds"]) for row in csv.DictReader(file))
    assert last > first
    assert sum(int(row["samples"]) for row in rows) == 12 * config.batch
    assert {row["group"] for row in rows} <= {"labelled", "kidney_free"}
    assert {row["source"] for row in rows if row["group"] == "labelled"} == {kits.name}
