"""The bundle: what was trained is what the engine runs, and the card says what it is."""

import json
import shutil

import numpy as np
import pytest
import torch
from wpunet import bundle
from wpunet.errors import InputError, WeightsError
from wpunet.network import cost
from wpunet.runtime import OpenVINORuntime

from Testing.conftest import no_file_over
from training import checkpoint, export
from training.data import read_split
from training.networks import load_trained


@pytest.fixture
def exported(trained, tmp_path, command):
    path = tmp_path / "b.safetensors"
    options = ("--run", trained, "--output", path, "--name", "Test", "--version", "0.9", "--temperature", 1.5)
    assert command(export, *options) == 0
    return path


def test_the_engine_answers_as_the_training_network(exported, trained):
    weights = bundle.load(exported)
    network = load_trained(trained)[0].eval()
    x = np.random.default_rng(4).uniform(-1, 1, (2, 1, 64, 96)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    found = OpenVINORuntime(weights, precision="f32")(x)
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    assert (weights.pixel_mm, weights.temperature, weights.name) == (4.0, 1.5, "Test 0.9")


def test_the_card_tells_the_facts(exported, trained):
    card = json.loads(exported.with_suffix(".json").read_text())
    training, held_out = read_split(trained / "split.json")
    assert card["held_out_patients"] == held_out
    assert card["trained_on"] == f"{len(training)} patients with kidneys and tumors outlined"
    assert "CC BY-NC-SA" in card["licence"]
    counted = cost(load_trained(trained)[0])
    assert (card["weights"], card["multiply_adds_256x256"]) == (counted.weights, counted.multiply_adds)
    assert card["steps"] == 60
    assert card["sha256"] == bundle.load(exported).sha256


def test_numbers_are_stored_compactly(exported, trained):
    assert exported.stat().st_size < 0.65 * (trained / "average.safetensors").stat().st_size


def test_weights_that_were_changed_afterwards_are_refused(exported):
    content = bytearray(exported.read_bytes())
    content[-3] ^= 1
    exported.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="not the one its card describes"):
        bundle.load(exported)


@pytest.mark.parametrize("factor", [1.1, float("nan")])
def test_a_bundle_that_answers_otherwise_is_not_left_behind(factor, trained, tmp_path, monkeypatch):
    class Wrong(OpenVINORuntime):
        def __call__(self, slices):
            return super().__call__(slices) * factor

    monkeypatch.setattr(export, "OpenVINORuntime", Wrong)
    with pytest.raises(InputError, match="nothing was exported"):
        export.export(trained, tmp_path / "b.safetensors", {"name": "Test", "version": "1"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("why", ["not a number", "full disk"])
def test_what_was_exported_before_outlives_a_failure(why, exported, trained, tmp_path, command, capsys):
    before = {path.name: path.read_bytes() for path in (exported, exported.with_suffix(".json"))}
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    if why == "not a number":
        tensors, facts = checkpoint.load(run / "average.safetensors")
        tensors["head.bias"][1] = float("nan")
        checkpoint.save(run / "average.safetensors", tensors, facts)
    options = ("--run", run, "--output", exported, "--version", "1.0")
    with no_file_over(1 << 40 if why == "not a number" else 2000):
        assert command(export, *options) == 2
    told = capsys.readouterr().err
    assert ("not finite" if why == "not a number" else "cannot be written") in told
    shutil.rmtree(run)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_bundle_without_a_card_does_not_keep_that_of_others(exported, trained):
    export.as_bundle(load_trained(trained)[0], 4.0, exported)
    assert bundle.load(exported).card == {}


def test_other_weights_beside_it_are_left_alone(trained, tmp_path, command):
    for name in ("new-b.safetensors", "new-b.json"):
        (tmp_path / name).write_text("{}")
    assert command(export, "--run", trained, "--version", "1", "--output", tmp_path / "b.safetensors") == 0
    assert [path.name for path in sorted(tmp_path.glob("new-*"))] == ["new-b.json", "new-b.safetensors"]
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    "options",
    [("--temperature", 0), ("--temperature", "nan"), ("--temperature", "inf"), ("--output", "card.json")],
)
def test_options_that_cannot_be_are_refused(options, trained, tmp_path, command, capsys):
    assert command(export, "--run", trained, "--version", "1", "--output", tmp_path / "b.safetensors", *options) == 2
    assert "temperature" in (told := capsys.readouterr().err) or "card, too" in told
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_run_is_refused(tmp_path, command, capsys):
    assert command(export, "--run", tmp_path, "--version", "1", "--output", tmp_path / "b.safetensors") == 2
    assert "holds no trained WP-UNet" in capsys.readouterr().err
