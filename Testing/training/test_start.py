"""What a run starts from: other weights of the same network or a narrower one, and of patients that it may know."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from wpunet.errors import InputError

from training import blend, checkpoint, export, prune, train
from training.config import Config
from training.data import read_split, write_split
from training.export import as_bundle
from training.networks import load_trained
from training.past import begun_with
from training.patients import known_by, not_known_to
from training.train import Run


def config_of(recipe, **changes):
    return Config.read(recipe(**changes))


def start(config, prepared, folder, **options):
    return Run(config, prepared, folder, torch.device("cpu"), **options)


def test_starting_from_other_weights(recipe, prepared, trained, tmp_path, command, capsys):
    options = ("--config", recipe(widths=[8, 8, 16, 16, 16]), "--data", prepared, "--run", tmp_path / "run")
    assert command(train, *options, "--weights", trained / "average.safetensors", "--until", 1, "--steps", 1000) == 0
    moved = load_trained(tmp_path / "run")[0].state_dict()
    begun = load_trained(trained)[0].state_dict()
    assert float((moved["stem.weight"] - begun["stem.weight"]).abs().max()) < 0.01
    before = load_trained(trained)[1]["step"]
    for until in (1, 2):  # begun, and gone on with
        assert load_trained(tmp_path / "run")[1]["steps_in_all"] == before + until
        assert command(train, *options, "--until", 2, "--steps", 1000) == 0


def test_weights_that_know_whom_a_run_is_kept_from_are_refused(recipe, prepared, trained, tmp_path, capsys):
    shutil.copytree(trained, tmp_path / "first")
    weights, (training, held_out) = tmp_path / "first" / "average.safetensors", read_split(trained / "split.json")
    write_split(tmp_path / "first" / "split.json", [*training, "case_00166"], held_out)  # whom this set lacks
    config = config_of(recipe, widths=[8, 8, 16, 16, 16])
    for name, changes in {"fold": {"fold": 1}, "sealed": {"held_out": 0, "sealed": (training[0],)}}.items():
        run = start(replace(config, **changes), prepared, tmp_path / name)
        with pytest.raises(InputError, match=r"safetensors were trained on case_0000\d, whom this run is kept"):
            train.start_from(run, weights)
        assert run.before == 0
    for name, changes in {"same": {"sealed": ("case_00166",)}, "all": {"held_out": 0}}.items():
        run = start(replace(config, **changes), prepared, tmp_path / name)
        train.start_from(run, weights)
        assert run.before == 60
    assert capsys.readouterr().err == ""


def test_whom_weights_of_weights_know_is_told_on(recipe, prepared, trained, tmp_path, command, capsys):
    """A run on others in between does not make anybody unseen: by pruning or blending neither."""
    training, held_out = read_split(trained / "split.json")
    path = recipe(widths=[8, 8, 16, 16, 16], held_out=0, sealed=[], steps=2)
    fewer = tmp_path / "fewer.json"
    fewer.write_text(json.dumps({"training": training[:1], "held_out": []}))
    bundled = as_bundle(load_trained(trained)[0], 4.0, tmp_path / "b.safetensors")
    bundled.with_suffix(".json").write_text(json.dumps({"held_out_patients": held_out[:1]}))
    options = ("--data", prepared, "--config", path)
    for name, weights in (("run", trained / "average.safetensors"), ("bundle", bundled)):
        folder = tmp_path / name
        split = ("--split", fewer, "--run", folder)
        assert command(train, *options, "--weights", weights, *split, "--device", "cpu") == 0
        cut = ("--sparsity", 0.2, "--rounds", 2, "--steps", 0, "--output", folder / "p")
        assert command(prune, *options, "--run", folder, *cut) == 0
        assert command(blend, "--runs", folder, folder / "p", "--output", folder / "b") == 0
        capsys.readouterr()
        for one in (folder, folder / "p", folder / "b"):
            first, unseen = one / "average.safetensors", set(held_out[:1])
            not_known_to(first, unseen)
            assert capsys.readouterr().err == ""
            if name == "run":
                with pytest.raises(InputError, match=f"were trained on {training[1]}"):
                    not_known_to(first, {training[1]})
            else:
                not_known_to(first, {*unseen, training[1]})
                assert "Nobody says whether" in capsys.readouterr().err


def test_a_card_tells_of_all_that_its_weights_went_on_from(recipe, prepared, trained, tmp_path, command):
    """Of runs whom they were trained on, together; of a bundle, which names nobody, what its own card says."""
    _, held_out = read_split(trained / "split.json")
    outlined = "patients with kidneys and tumors outlined"
    split, options = tmp_path / "split.json", ("--data", prepared, "--config", recipe(widths=[8, 8, 16, 16, 16]))
    write_split(split, held_out, [])
    weights = trained / "average.safetensors"
    for name, says in (("first", f"6 {outlined}"), ("second", f"2 {outlined}, from Mine 1 (6 {outlined})")):
        run, bundled = tmp_path / name, tmp_path / f"{name}.safetensors"
        begun = ("--split", split, "--run", run, "--weights", weights, "--device", "cpu")
        for until in (1, 2):  # begun, and gone on with
            assert command(train, *options, *begun, "--until", until) == 0
        cut = ("--sparsity", 0.2, "--rounds", 1, "--steps", 0, "--output", run / "pruned", "--method", "global")
        assert command(prune, *options, "--run", run, *cut) == 0
        card = export.export(run / "pruned", bundled, {"name": "Mine", "version": "1"})
        assert card["nonzero_weights"] == prune.remaining(load_trained(run / "pruned")[0]) < 0.9 * card["weights"]
        assert (card["trained_on"], card["steps"]) == (says, 62 if name == "first" else 64)
        weights = bundled
    weights.with_suffix(".json").unlink()
    for there in (None, "[]"):
        if there:
            weights.with_suffix(".json").write_text(there)
        assert begun_with(weights) == "second.safetensors (nobody tells on whom it was trained)"


def test_a_split_beside_a_bundle_is_that_of_its_run_only_in_a_runs_folder(trained, tmp_path):
    bundled = as_bundle(load_trained(trained)[0], 4.0, tmp_path / "own.safetensors")
    copied = shutil.copy(trained / "average.safetensors", tmp_path)
    training, held_out = read_split(trained / "split.json")
    write_split(tmp_path / "split.json", held_out, training)  # of another run, for --split
    assert known_by(Path(copied)) == (set(training), None)
    assert known_by(bundled) == (set(), set())
    bundled.with_suffix(".json").write_text(json.dumps({"held_out_patients": held_out}))
    assert known_by(bundled) == (set(), set(held_out))
    (tmp_path / "split.json").write_text("{}")
    assert known_by(bundled) == (set(), set(held_out))
    shutil.copytree(trained, tmp_path / "run")
    for name in ("average", "checkpoint", "weights"):  # the last as trials makes it there
        beside = tmp_path / "run" / f"{name}.safetensors"
        if not beside.exists():
            shutil.copyfile(bundled, beside)
        assert known_by(beside) == (set(training), None)


def test_a_bundle_that_does_not_say_whom_it_knows_is_told(recipe, prepared, trained, tmp_path, capsys):
    weights = as_bundle(load_trained(trained)[0], 4.0, tmp_path / "b.safetensors")
    run, everybody = (
        start(config_of(recipe, widths=[8, 8, 16, 16, 16], held_out=n), prepared, tmp_path / str(n)) for n in (2, 0)
    )
    train.start_from(run, weights)
    assert "Nobody says whether" in capsys.readouterr().err
    train.start_from(everybody, weights)
    for unseen, told in ((run.held_out, False), (run.held_out[:1], True)):
        weights.with_suffix(".json").write_text(json.dumps({"held_out_patients": unseen}))
        train.start_from(run, weights)
        assert ("Nobody says whether" in capsys.readouterr().err) == told


def test_starting_from_a_narrower_network(recipe, prepared, trained, tmp_path):
    narrow = load_trained(trained)[0].eval()
    run = start(config_of(recipe, widths=[8, 12, 16, 24, 32]), prepared, tmp_path)
    train.start_from(run, trained / "average.safetensors")
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for one in (run.network, run.average):
            assert torch.allclose(one.eval()(x), narrow(x), atol=1e-4)


def test_a_narrower_network_with_a_part_missing_is_refused(recipe, prepared, trained, tmp_path):
    tensors, facts = checkpoint.load(trained / "average.safetensors")
    tensors.pop("encoder.2.first.pointwise.weight")
    checkpoint.save(tmp_path / "torn.safetensors", tensors, facts)
    run = start(config_of(recipe, widths=[8, 12, 16, 24, 32]), prepared, tmp_path / "run")
    with pytest.raises(InputError, match="cannot start from"):
        train.start_from(run, tmp_path / "torn.safetensors")


@pytest.mark.parametrize("changes", [{}, {"widths": [16, 16, 16, 16, 16], "norms": 1}])
def test_weights_of_another_network_are_refused(changes, recipe, prepared, trained, tmp_path, command, capsys):
    options = ("--config", recipe(**changes), "--data", prepared, "--run", tmp_path / "small")
    assert command(train, *options, "--weights", trained / "average.safetensors") == 2
    assert "cannot start from" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "why"), [("", "this is a folder"), ("checkpoint.safetensors", "its tensors are not")])
def test_what_lies_beside_a_runs_weights_is_no_start(name, why, recipe, prepared, trained, tmp_path, command, capsys):
    options = ("--config", recipe(widths=[8, 8, 16, 16, 16]), "--data", prepared, "--run", tmp_path / "run")
    assert command(train, *options, "--weights", trained / name) == 2
    assert f"cannot start from {trained / name} ({why}" in (told := capsys.readouterr().err)
    assert "give the average.safetensors of a run" in told
