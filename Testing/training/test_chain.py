"""The recipe of the README on phantoms, command by command: from an empty folder to a segmented CT."""

import json

import nibabel as nib
import numpy as np
import pytest
from wpunet import cli

from training import evaluate, export, prepare, prune, train


def test_from_an_empty_folder_to_a_segmented_ct(kits, unlabelled, recipe, tmp_path, command):
    data, run, bundle = tmp_path / "prepared", tmp_path / "run", tmp_path / "wpunet.safetensors"
    config = recipe(steps=60, widths=[8, 8, 16, 16, 16], look_every=30)
    assert command(prepare, "--output", data, "--kits", kits, "--unlabelled", unlabelled) == 0
    assert command(train, "--config", config, "--data", data, "--run", run, "--until", 25) == 0
    assert command(train, "--config", config, "--data", data, "--run", run) == 0
    assert command(export, "--run", run, "--output", bundle, "--version", "1") == 0
    assert command(evaluate, "--weights", bundle, "--data", data, "--output", tmp_path / "evaluation") == 0
    dense = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert dense["slices"]["kidney_or_tumor"]["mean"] > 0.5
    options = ("--run", run, "--data", data, "--config", config, "--steps", 10, "--rounds", 2, "--sparsity", 0.3)
    assert command(prune, *options, "--method", "global", "--output", tmp_path / "global") == 0  # test_prune has all
    pruned = json.loads((tmp_path / "global" / "pruned.json").read_text())
    assert pruned["weights_left"] == round(pruned["weights_before"] * 0.7)
    assert command(export, "--run", tmp_path / "global", "--output", tmp_path / "g.safetensors", "--version", "1") == 0
    image = kits / "case_00003" / "imaging.nii.gz"
    truth = np.asarray(nib.load(kits / "case_00003" / "segmentation.nii.gz").dataobj)
    for weights in (bundle, tmp_path / "g.safetensors"):
        output = tmp_path / f"{weights.stem}.nii.gz"
        arguments = ["segment", str(image), "-o", str(output), "--weights", str(weights), "--device", "cpu"]
        assert cli.main(arguments) == 0
        found = np.asarray(nib.load(output).dataobj)
        assert found.shape == truth.shape
        assert 2 * ((found > 0) & (truth > 0)).sum() / ((found > 0).sum() + (truth > 0).sum()) > 0.3


def test_real_slices_end_to_end(data, recipe, tmp_path, command):
    """A few patients and steps: that the chain holds on real pictures, not how good it can get."""
    import csv

    names = ["case_00002", "case_00003", "case_00005", "case_00006"]
    few = [source for source in prepare.slice_sources(data / "slices") if source.name in names]
    assert len(prepare.prepare(few, tmp_path / "prepared")["prepared"]) == 4
    config = recipe(steps=60, widths=[8, 8, 16, 16, 16], pixel_mm=3.2, size=80, look_every=30, held_out=1)
    arguments = ("--data", tmp_path / "prepared", "--run", tmp_path / "run")
    assert command(train, "--config", config, *arguments) == 0
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.9 * losses[0]
    bundle = tmp_path / "b.safetensors"
    assert command(export, "--run", tmp_path / "run", "--output", bundle, "--version", "1") == 0
    evaluation = ("--weights", bundle, "--data", tmp_path / "prepared", "--output", tmp_path / "evaluation")
    assert command(evaluate, *evaluation) == 0
    figures = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert figures["slices"]["patients"] == 1
    assert figures["slices"]["paper"]["accuracy"] == pytest.approx(0.9, abs=0.1)
