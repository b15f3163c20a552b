"""Recipes: what is in the folder can be read, what is wrong is named."""

from pathlib import Path

import pytest
from wpunet.errors import InputError
from wpunet.network import WPUNet, cost

from training.config import Config
from training.mixture import PLAIN

CONFIGS = sorted((Path(__file__).parents[2] / "training" / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_recipe_of_the_folder_can_be_read(path):
    config = Config.read(path)
    assert config.steps > 0
    assert config.spec.widths == config.widths


def test_the_papers_recipe_is_the_papers():
    paper = Config.read(next(path for path in CONFIGS if path.stem == "paper"))
    assert (paper.optimizer, paper.learning_rate, paper.batch, paper.weight_decay) == ("adam", 1e-3, 16, 4e-5)
    assert (paper.size, paper.dropout, paper.loss, paper.norms, paper.average) == (256, 0.5, "paper", 1, 0)
    assert paper.drawn == PLAIN
    assert paper.steps == pytest.approx(100 * 35865 / 16, rel=0.001)
    assert cost(WPUNet(paper.spec), (32, 32)).weights == 3_921_795  # three classes: 65 more than with two


WRONG = {
    "an unknown setting": ("learning_speed = 1\n", "unknown setting learning_speed"),
    "an unknown part of the mixture": ("[mixture]\nhealty = 0.5\n", "unknown setting healty"),
    "an unknown loss": ('loss = "mse"\n', "loss is 'mse'; it can be paper, dice_ce"),
    "an unknown network": ('architecture = "vit"\n', "architecture is 'vit'"),
    "an odd size": ("size = 100\n", "multiple of 16"),
    "no TOML": ("size = = 3\n", "cannot be read"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named(tmp_path, kind):
    lines, message = WRONG[kind]
    path = tmp_path / "r.toml"
    path.write_text("widths = [4, 4, 8, 8, 8]\nsteps = 3\n" + lines)
    with pytest.raises(InputError, match=r"r\.toml.*" + message.replace("(", r"\(")):
        Config.read(path)


def test_missing_settings_and_files_are_named(tmp_path):
    (tmp_path / "r.toml").write_text("steps = 3\n")
    with pytest.raises(InputError, match="says nothing of widths"):
        Config.read(tmp_path / "r.toml")
    with pytest.raises(InputError, match="cannot be read"):
        Config.read(tmp_path / "none.toml")


def test_the_command_line_may_change_a_recipe(recipe):
    assert Config.read(recipe(), steps=77, fold=None).steps == 77
    assert Config.read(recipe()).steps == 12
