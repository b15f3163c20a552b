"""One's own corrected cases: the commands of the README as they stand there, from the weights that ship."""

import importlib
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from wpunet import bundle, cli
from wpunet.errors import InputError

from training import train
from training.config import Config
from training.start import check_start

from .conftest import save_case
from .test_config import CONFIGS

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "training" / "README.md"
OWN = ROOT / "training" / "configs" / "own.toml"
# So that they take seconds
SHORT = {"training.prepare": ("--phantoms", "1"), "training.train": ("--steps", "2", "--device", "cpu")}


def commands():
    """Those of the section, in words."""
    section = README.read_text("utf-8").split("\n## Your own corrected cases\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"^```sh\n(.*?)^```", section, re.S | re.M)
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_the_commands_of_the_readme_lead_to_a_segmented_ct(tmp_path, monkeypatch, command, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("training", "WPUNetSegment"):
        Path(folder).symlink_to(ROOT / folder)
    for number in (0, 166):  # which other recipes seal
        save_case(tmp_path / "my_cases" / f"case_{number:05}", seed=number, tumor_mm=50)
    shutil.copyfile("my_cases/case_00000/imaging.nii.gz", "ct.nii.gz")
    programs = []
    for program, *words in commands():
        if program == "wpunet":
            assert cli.main([*words, "--device", "cpu"]) == 0
            engine = words
        else:
            _, name, *options = words
            assert command(importlib.import_module(name), *options, *SHORT.get(name, ())) == 0
            programs.append(name)
    assert programs == ["training.prepare", "training.train", "training.export"]
    output, weights = (Path(engine[engine.index(option) + 1]) for option in ("-o", "--weights"))
    found, truth = (
        np.asarray(nib.load(path).dataobj) > 0 for path in (output, "my_cases/case_00000/segmentation.nii.gz")
    )
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8
    made, ships = bundle.load(weights), bundle.load()
    outlined = "patients with kidneys and tumors outlined"
    assert made.card["trained_on"] == f"2 {outlined}, from {ships.name} ({ships.card['trained_on']})"
    assert made.card["steps"] == ships.card["steps"] + 2
    assert made.temperature == ships.temperature
    # what the section says is lost
    assert "tumor_chance" in ships.card
    assert "tumor_chance" not in made.card
    capsys.readouterr()
    assert cli.main([*engine, "--parenchyma"]) == 2
    assert "do not tell a kidney's parenchyma" in capsys.readouterr().err


def test_its_recipe_is_of_the_network_that_ships():
    config, ships = Config.read(OWN), bundle.load()
    assert replace(ships.spec, parenchyma=0) == config.spec
    assert config.pixel_mm == ships.pixel_mm
    assert (config.held_out, config.sealed, config.sources) == (0, (), {})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_recipe_goes_on_from_the_weights_that_ship_or_says_why_not(path):
    config = Config.read(path)
    if path.stem in ("own", "broad", "long", "fine"):
        assert check_start(bundle.BUNDLED, config).classes == 4
        return
    with pytest.raises(
        InputError, match=r"wpunet\.safetensors: its network has .*classes = 4.* but the config"
    ) as told:
        check_start(bundle.BUNDLED, config)
    has, says = str(told.value).split(", but the config says ")
    assert "classes = 3" in says
    assert "; write into the config what the file has (configs/own.toml" in says
    assert ("norms = 2" in has, "norms = 1" in says) == (config.norms == 1,) * 2
    narrower = any(one < other for one, other in zip(config.widths, bundle.load().spec.widths, strict=True))
    assert ("widths = " in has, "widths = " in says) == (narrower,) * 2


def test_what_differs_is_told_before_a_folder_is_begun(recipe, prepared, make_weights, tmp_path, command, capsys):
    weights = make_weights(bundle.NetworkSpec((4, 4, 8, 8, 8), classes=4, norms=2))
    options = ("--data", prepared, "--run", tmp_path / "run", "--device", "cpu", "--weights", weights)
    assert command(train, "--config", recipe(), *options) == 2
    told = capsys.readouterr().err
    assert f"{weights}: its network has classes = 4, but the config says classes = 3; write" in told
    assert not (tmp_path / "run").exists()
    assert command(train, "--config", recipe(norms=1, classes=4, widths=[4, 4, 8, 4, 8]), *options) == 2
    told = capsys.readouterr().err
    assert "has widths = [4, 4, 8, 8, 8], norms = 2, but the config says widths = [4, 4, 8, 4, 8], norms = 1" in told
    assert command(train, "--config", recipe(classes=4), *options) == 0  # as the message says
    weights.unlink()
    assert command(train, "--config", recipe(classes=4), *options) == 0  # gone on with, it needs them no more


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b"no tensors", "cannot start"), (b"", "cannot start")]
)
def test_weights_that_cannot_be_read_are_told_in_a_line(content, message, recipe, prepared, tmp_path, command, capsys):
    weights = tmp_path / "w.safetensors"
    if content is not None:
        weights.write_bytes(content)
    options = ("--config", recipe(), "--data", prepared, "--run", tmp_path / "run", "--weights", weights)
    assert command(train, *options) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert "average.safetensors of a run, or a bundle" in told


def test_a_source_without_a_share_is_told_with_the_line_to_write(
    recipe, prepared, kits, unlabelled, tmp_path, command, capsys
):
    path = recipe()
    path.write_text(path.read_text() + "[sources]\nother = 1.0\n")
    options = ("--config", path, "--data", prepared, "--run", tmp_path / "run", "--device", "cpu")
    assert command(train, *options) == 2
    told = capsys.readouterr().err
    assert f"no share to the source '{kits.name}'" in told
    (line,) = re.findall(r"\[sources\] \((.*?);", told)
    path.write_text(path.read_text() + f'"{kits.name}" = 0.0\n')
    assert command(train, *options) == 2
    assert "gives no share to any labelled case" in capsys.readouterr().err
    path.write_text(path.read_text().replace(f'"{kits.name}" = 0.0\n', ""))
    path.write_text(path.read_text() + line + f'\n"{unlabelled.name}" = 0.0\n')
    assert command(train, *options) == 0, capsys.readouterr().err
