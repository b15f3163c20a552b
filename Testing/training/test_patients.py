"""Who a run is trained on and who is held out: as it was begun, in every source, and nobody on both sides."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
from wpunet.errors import InputError

from training import prune, train
from training.data import read_prepared, read_split, write_case, write_split

from .conftest import config_of, start


def test_a_folder_keeps_to_its_recipe_and_its_patients(recipe, prepared, tmp_path):
    config = config_of(recipe)
    run = start(config, prepared, tmp_path / "run")
    run.begin()
    for changed in ({"fold": 1}, {"seed": 9}, {"widths": (4, 8, 8, 8, 8)}):
        with pytest.raises(InputError, match=f"was begun with {next(iter(changed))} = "):
            start(replace(config, **changed), prepared, tmp_path / "run")
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"training": run.held_out, "held_out": run.training}))
    with pytest.raises(InputError, match="begun with another split"):
        start(config, prepared, tmp_path / "run", split=other)
    swapped = start(config, prepared, tmp_path / "swapped", split=other)
    assert swapped.held_out == run.training
    assert [case.name for case in swapped.seen] == run.training
    assert {case.name for case in swapped.sampler.shelves["labelled"].cases} == set(run.held_out)


def test_who_is_held_out_is_so_in_every_source(recipe, prepared, tmp_path):
    folder = tmp_path / "prepared"
    shutil.copytree(prepared, folder)
    (case,) = read_prepared(folder, "labelled", ["case_00001"])
    told = json.loads((folder / "prepared.json").read_text())
    for patient in ("case_00001", "case_00002", "case_00777"):
        other = replace(case, name=f"{patient} z50", group="tumor_free", labels=case.labels.clip(max=1))
        write_case(other, folder / "tumor_free" / f"{other.name}.safetensors", {"fingerprint": ""})
        told["prepared"][other.name] = "tumor_free"
    (folder / "prepared.json").write_text(json.dumps(told))
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"training": ["case_00003", "case_00004"], "held_out": ["case_00001"]}))
    run = start(config_of(recipe, sealed=["case_00002"]), folder, tmp_path / "run", split=split)
    assert [one.name for one in run.sampler.shelves["tumor_free"].cases] == ["case_00777 z50"]
    assert [one.name for one in run.seen] == ["case_00001"]


def test_a_split_of_ones_own_cannot_train_on_the_sealed(recipe, prepared, tmp_path):
    split = tmp_path / "split.json"
    write_split(split, ["case_00003", "case_00004"], ["case_00001"])
    with pytest.raises(InputError, match=r"split\.json trains on case_00004, who is sealed; .*--sealed"):
        start(config_of(recipe, sealed=["case_00002", "case_00004"]), prepared, tmp_path / "run", split=split)
    assert not (tmp_path / "run" / "split.json").exists()
    run = start(config_of(recipe, sealed=["case_00001", "case_00002"]), prepared, tmp_path / "other", split=split)
    assert run.training == ["case_00003", "case_00004"]


def test_a_patient_on_both_sides_is_refused(recipe, prepared, tmp_path, command, capsys):
    split = {"training": ["case_00000", "case_00001"], "held_out": ["case_00001"]}
    (tmp_path / "leaky.json").write_text(json.dumps(split))
    options = ("--config", recipe(), "--data", prepared, "--run", tmp_path / "run", "--device", "cpu")
    assert command(train, *options, "--split", tmp_path / "leaky.json") == 2
    assert "both sides (case_00001)" in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_all_patients_can_be_trained_on_with_the_same_recipe(recipe, prepared, tmp_path, command):
    options = ("--config", recipe(steps=2), "--data", prepared, "--device", "cpu")
    assert command(train, *options, "--run", tmp_path / "all", "--held-out", 0) == 0
    split = json.loads((tmp_path / "all" / "split.json").read_text())
    assert split == {"training": [f"case_{k:05}" for k in range(6)], "held_out": []}
    sealed = ("--sealed", "case_00001", "case_00003")
    assert command(train, *options, "--run", tmp_path / "but_two", "--held-out", 0, *sealed) == 0
    split = json.loads((tmp_path / "but_two" / "split.json").read_text())
    assert split == {"training": [f"case_{k:05}" for k in (0, 2, 4, 5)], "held_out": []}


def test_sealed_patients_are_on_neither_side(recipe, prepared, tmp_path):
    run = start(config_of(recipe, sealed=["case_00002", "case_00004"]), prepared, tmp_path)
    assert sorted(run.training + run.held_out) == ["case_00000", "case_00001", "case_00003", "case_00005"]


def test_a_training_says_whom_it_leaves_out_as_sealed(recipe, prepared, tmp_path, capsys):
    """The usual sealed ones may be a user's own; who is held out, or not of this set, is left out by no seal."""
    names = ["case_00001", "case_00166", "contrast_chest_oral_contrast"]
    told = "Left out as sealed: case_00001, contrast_chest_oral_contrast"
    run = start(config_of(recipe, sealed=names), prepared, tmp_path / "run")
    assert capsys.readouterr().err == ""  # what is refused says no more than why
    for until in (1, 2):
        train.train(run, until)
        first, second = capsys.readouterr().err.splitlines()
        assert first.startswith(told)
        assert "(sealed in the config; training.train has --sealed, too, alone for nobody)" in first
        assert second.startswith("Training in ")
    train.train(run, 2)
    assert "so nothing is trained" in capsys.readouterr().err
    split = tmp_path / "split.json"
    write_split(split, ["case_00002", "case_00003"], ["case_00001"])
    held_out = start(config_of(recipe, sealed=["case_00001"]), prepared, tmp_path / "held", split=split)
    capsys.readouterr()
    train.train(held_out, 1)
    assert "sealed" not in capsys.readouterr().err


def test_all_patients_can_be_trained_on(recipe, prepared, tmp_path, command):
    config = recipe(held_out=0, sealed=["case_00002"], steps=2, look_every=1)
    assert command(train, "--config", config, "--data", prepared, "--run", tmp_path / "run") == 0
    training, held_out = read_split(tmp_path / "run" / "split.json")
    assert (len(training), held_out) == (5, [])
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["tumor"]) for row in rows] == [("1", ""), ("2", "")]
    options = ("--data", prepared, "--config", config, "--sparsity", 0.3, "--rounds", 1)
    assert command(prune, "--run", tmp_path / "run", *options, "--output", tmp_path / "pruned") == 0
    told = json.loads((tmp_path / "pruned" / "pruned.json").read_text())
    assert "dice_lost" not in told


def test_a_refusal_does_not_begin_a_folder(recipe, prepared, trained, tmp_path, command, capsys):
    """So the same folder takes what the message asks for."""
    split, weights = tmp_path / "split.json", trained / "average.safetensors"
    options = ("--data", prepared, "--run", tmp_path / "run", "--device", "cpu", "--until", 1, "--weights", weights)
    options += ("--config", recipe(widths=[8, 8, 16, 16, 16]))
    training, held_out = read_split(trained / "split.json")
    split.write_text(json.dumps({"training": training, "held_out": [*held_out, "case_0001"]}))
    assert command(train, *options, "--split", split) == 2
    assert f"{prepared} has no case case_0001, whom a split or a card names; mend" in capsys.readouterr().err
    assert command(train, *options, "--fold", 1) == 2
    assert "hold out whom that run did (--split)" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    write_split(split, training, held_out)
    assert command(train, *options, "--split", split) == 0, capsys.readouterr().err
    assert read_split(tmp_path / "run" / "split.json") == (training, held_out)
