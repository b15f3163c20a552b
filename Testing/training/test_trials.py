"""Trials: each fold once, each ingredient left out once, nothing done twice."""

import csv
import json

import pytest

from training import trials
from training.config import Config

SHORT = {"steps": 3, "look_every": 3, "average": 0, "widths": [4, 4, 4, 4, 4]}


@pytest.mark.parametrize("name", trials.INGREDIENTS)
def test_an_ingredient_is_left_out_or_put_in_and_nothing_else_changes(name):
    config = Config(widths=(4, 4, 4, 4, 4), steps=1)
    called, without = trials.changed(config, name)
    assert called == f"without {name}"
    assert without.mixture != config.mixture
    assert Config(**{**vars(without), "mixture": config.mixture}) == config
    assert trials.changed(without, name) == (f"with {name}", config)


def test_each_patient_is_held_out_once(recipe, prepared, tmp_path, command, capsys, monkeypatch):
    options = ("folds", "--config", recipe(**SHORT), "--data", prepared, "--output", tmp_path)
    assert command(trials, *options) == 0
    assert "All 6 patients" in capsys.readouterr().out
    with (tmp_path / "folds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["case"] for row in rows) == [f"case_{k:05}" for k in range(6)]
    told = json.loads((tmp_path / "folds.json").read_text())
    assert [row["patients"] for row in told["rows"]] == [2, 2, 2]
    assert told["together"]["tumor"]["n"] == 6
    mean = sum(float(row["kidney_or_tumor"]) for row in rows) / 6
    assert told["together"]["kidney_or_tumor"]["mean"] == pytest.approx(mean, abs=1e-3)
    for fold in range(3):
        split = json.loads((tmp_path / "recipe" / f"fold_{fold}" / "split.json").read_text())
        figures = json.loads((tmp_path / "recipe" / f"fold_{fold}" / "evaluation.json").read_text())
        held_out = {one["case"] for one in figures["slices"]["per_patient"]}
        assert held_out == set(split["held_out"])

    def again(run):
        raise AssertionError("trained twice")

    monkeypatch.setattr(trials, "train", again)
    assert command(trials, *options) == 0
    assert command(trials, *options, "--fold", 7) == 2
    assert "no fold 7; there are folds 0 to 2" in capsys.readouterr().err


def test_ingredients_are_left_out_one_at_a_time(recipe, prepared, kits, unlabelled, tmp_path, command, capsys):
    free = next(unlabelled.iterdir())
    options = ["ingredients", "--config", recipe(**SHORT), "--data", prepared, "--output", tmp_path]
    options += ["--ingredient", "levels without kidney", "phantoms", "--volumes", kits / "case_00003"]
    assert command(trials, *options, "--tumor-free", free) == 0
    text = capsys.readouterr().out
    for name in ("recipe", "without levels without kidney", "without phantoms"):
        assert f"| {name} | 2 |" in text
    assert "contrast chest oral contrast tumor ml" in text
    told = json.loads((tmp_path / "ingredients.json").read_text())["rows"]
    assert set(told[0]) > {"kidney_or_tumor", "tumor", "case_00003 tumor", "contrast_chest_oral_contrast tumor_ml"}
    begun = json.loads((tmp_path / "without_levels_without_kidney" / "fold_0" / "config.json").read_text())
    whole = json.loads((tmp_path / "recipe" / "fold_0" / "config.json").read_text())
    assert begun["mixture"] == whole["mixture"] | {"kidney_free": 0.0}
    assert command(trials, *options) == 0  # trained already, but to be measured on fewer CT
    assert "0 steps to train" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "ingredients.json").read_text())["rows"][0]) == set(told[0]) - {
        "contrast_chest_oral_contrast kidney_or_tumor_ml",
        "contrast_chest_oral_contrast tumor_ml",
    }
    assert command(trials, *options, "--ingredient", "phantoms", "--fold", 0, 2) == 0  # the fold that is new alone
    assert "recipe, fold 2: 3 steps to train" in (out := capsys.readouterr().out)
    assert ", fold 0:" not in out
    recipe_row, without = json.loads((tmp_path / "ingredients.json").read_text())["rows"]
    assert recipe_row["patients"] == without["patients"] == 4
    assert (recipe_row["tumor_change"], recipe_row["standard_error"]) == (0, 0)
    assert without["tumor_change"] == pytest.approx(without["tumor"] - recipe_row["tumor"], abs=2e-4)
    volumes = [
        json.loads((tmp_path / "recipe" / f"fold_{fold}" / "evaluation.json").read_text())["volumes"][0]
        for fold in (0, 2)
    ]
    mean = sum(one["kidney_or_tumor"] for one in volumes) / 2
    assert recipe_row["case_00003 kidney_or_tumor"] == pytest.approx(mean, abs=1e-4)
    assert command(trials, *options, "--ingredient", "salt") == 2
    assert "no ingredient 'salt'" in capsys.readouterr().err


def test_only_what_the_engine_runs_can_be_tried(recipe, prepared, tmp_path, command, capsys):
    options = ("--config", recipe(architecture="unet"), "--data", prepared, "--output", tmp_path)
    assert command(trials, "folds", *options) == 2
    assert "need a wpunet, which the engine runs, not unet" in capsys.readouterr().err
