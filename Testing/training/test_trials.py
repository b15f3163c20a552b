"""Trials: each fold once, each ingredient left out once, nothing done twice."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
from wpunet.errors import InputError

from training import compare, parenchyma, trials
from training.config import Config
from training.data import read_prepared, write_split

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
    free, away = next(unlabelled.iterdir()), tmp_path / "case_00099"
    options = ["ingredients", "--config", recipe(**SHORT), "--data", prepared, "--output", tmp_path]
    options += ["--ingredient", "levels without kidney", "phantoms", "--volumes"]
    assert command(trials, *options, kits / "case_00001") == 2
    assert "case_00001 is to be measured (--volumes), but is trained on in fold 0" in capsys.readouterr().err
    options.append(shutil.copytree(kits / "case_00003", away))
    assert command(trials, *options, "--tumor-free", free) == 0
    text = capsys.readouterr().out
    for name in ("recipe", "without levels without kidney", "without phantoms"):
        assert f"| {name} | 2 |" in text
    assert "contrast chest oral contrast tumor ml" in text
    told = json.loads((tmp_path / "ingredients.json").read_text())["rows"]
    assert set(told[0]) > {"kidney_or_tumor", "tumor", "case_00099 tumor", "contrast_chest_oral_contrast tumor_ml"}
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
    assert recipe_row["case_00099 kidney_or_tumor"] == pytest.approx(mean, abs=1e-4)
    assert command(trials, *options, "--ingredient", "salt") == 2
    assert "no ingredient 'salt'" in capsys.readouterr().err


def test_a_folder_gives_no_old_figures_for_another_question(recipe, prepared, trained, tmp_path):
    config, split = Config.read(recipe(**SHORT)), tmp_path / "split.json"
    bench = trials.Bench(prepared, tmp_path / "trials", [], [])
    figures = trials.trial(config, trials.RECIPE, bench)
    assert trials.trial(config, trials.RECIPE, bench) == figures
    write_split(split, [f"case_{k:05}" for k in range(4)], ["case_00004", "case_00005"])
    others = {
        "steps": (replace(config, steps=4), bench),
        "learning_rate": (replace(config, learning_rate=0.5), bench),
        "split": (config, replace(bench, split=split)),
        "weights": (config, replace(bench, weights=trained / "average.safetensors")),
    }
    for name, (other, on) in others.items():
        with pytest.raises(InputError, match=f"was begun with another value of '{name}'; choose another folder"):
            trials.trial(other, trials.RECIPE, on)
    with pytest.raises(InputError, match="holds no weights"):
        trials.trial(config, trials.RECIPE, replace(bench, weights=tmp_path / "none.safetensors"))


def test_one_split_is_no_cross_validation(recipe, prepared, tmp_path, command, capsys):
    split = tmp_path / "split.json"
    write_split(split, ["case_00001"], ["case_00002"])
    options = ("--config", recipe(**SHORT), "--data", prepared, "--output", tmp_path, "--split", split)
    for what in (("folds",), ("folds", "--fold", 1), ("ingredients", "--fold", 0, 1)):
        assert command(trials, *what, *options) == 2
        assert "--split holds out the same patients in every fold" in capsys.readouterr().err
    assert not (tmp_path / "recipe").exists()


def test_weights_that_know_whom_a_fold_holds_out_are_refused_before_any_training(
    recipe, prepared, trained, tmp_path, command, capsys
):
    path, weights = recipe(**SHORT | {"widths": [8, 8, 16, 16, 16]}), trained / "average.safetensors"
    options = ("--config", path, "--data", prepared, "--output", tmp_path / "out", "--weights", weights)
    for what in (("folds",), ("folds", "--fold", 1), ("ingredients", "--fold", 0, 2)):
        assert command(trials, *what, *options) == 2
        told = capsys.readouterr().err
        assert f"trials: {weights} were trained on case_0000" in told
        assert "whom a fold is kept from" in told
        assert "--split" not in told
    assert not (tmp_path / "out").exists()
    assert command(trials, "folds", *options, "--fold", 0) == 0  # as the message says


@pytest.mark.parametrize("module", [trials, compare, parenchyma])
def test_a_training_without_steps_is_refused(module, recipe, prepared, tmp_path, command, capsys):
    options = ("--config", recipe(), "--data", prepared, "--output", tmp_path / "out", "--steps", 0)
    options += {trials: ("folds",), parenchyma: ("--run", tmp_path)}.get(module, ())
    assert command(module, *options) == 2
    assert "--steps is 0; give a whole number from 1 on." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_only_what_the_engine_runs_can_be_tried(recipe, prepared, tmp_path, command, capsys):
    options = ("--config", recipe(architecture="unet"), "--data", prepared, "--output", tmp_path)
    assert command(trials, "folds", *options) == 2
    assert "need a wpunet, which the engine runs, not unet" in capsys.readouterr().err


def test_sources_are_left_out_one_at_a_time(recipe, prepared, kits, tmp_path, command, capsys):
    path, split = recipe(**SHORT), tmp_path / "split.json"
    names = {case.source for case in read_prepared(prepared, "labelled")}
    (labelled,), (other,) = names, {case.source for case in read_prepared(prepared, "kidney_free")}
    path.write_text(path.read_text() + f'[sources]\n"{labelled}" = 2.0\n"{other}" = 1.0\n')
    patients = [f"case_{k:05}" for k in range(6)]
    write_split(split, patients[2:], patients[:2])
    options = ["sources", "--config", path, "--data", prepared, "--output", tmp_path / "first"]
    assert command(trials, *options) == 2
    assert "--split" in capsys.readouterr().err
    options += ["--split", split, "--source", other, "--volumes", kits / "case_00001"]
    assert command(trials, *options) == 0
    capsys.readouterr()
    first = tmp_path / "first" / "recipe" / "fold_0"
    options[options.index(tmp_path / "first")] = tmp_path / "again"
    assert command(trials, *options, "--weights", first / "average.safetensors") == 2  # the engine wants a bundle
    assert command(trials, *options, "--weights", first / "weights.safetensors") == 0
    rows = json.loads((tmp_path / "again" / "sources.json").read_text())["rows"]
    assert [row["trial"] for row in rows] == ["before", "recipe", f"without {other}"]
    begun = json.loads((tmp_path / "first" / "sources.json").read_text())["rows"][0]
    assert rows[0] == begun | {"trial": "before"}
    assert rows[1]["patients"] == 2
    assert rows[1]["without tumor, false alarms"].endswith(f" of {healthy_slices(prepared, patients[:2])}")
    drawn = [
        (tmp_path / "again" / name / "fold_0" / "drawn.csv").read_text() for name in ("recipe", f"without_{other}")
    ]
    assert [f"kidney_free,{other}," in one for one in drawn] == [True, False]
    assert command(trials, *options, "--source", "nobody's") == 2
    assert "no source 'nobody's'; it has" in capsys.readouterr().err


def healthy_slices(prepared, patients):
    """How many slices of these patients hold kidney and no tumor."""
    cases = read_prepared(prepared, "labelled", patients)
    return sum(bool((one == 1).any()) and not (one == 2).any() for case in cases for one in case.labels)
