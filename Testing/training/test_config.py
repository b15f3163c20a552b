"""Recipes: what is in the folder can be read, what is wrong is named."""

from pathlib import Path

import pytest
from wpunet.errors import InputError
from wpunet.network import WPUNet, cost

from training.config import RULE_OF, Config
from training.mixture import PLAIN, Mixture

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
    "an unknown loss": ('loss = "mse"\n', "loss is 'mse'; it must be one of paper, dice_ce"),
    "a list of losses": ('loss = ["paper"]\n', "loss is .*; it must be one of paper, dice_ce"),
    "an unknown network": ('architecture = "vit"\n', "architecture is 'vit'"),
    "an odd size": ("size = 100\n", "multiple of 16"),
    "a size for fewer stages": (
        'architecture = "nnunet_2d"\n',
        "size is 160; nnunet_2d needs a multiple of 64 above 64",
    ),
    "a size of one pixel": (
        'architecture = "basic_unet"\nsize = 16\n',
        "size is 16; basic_unet needs a multiple of 16 ",
    ),
    "settings that share no table": ("[mixture]\nnoise = 3\n", "known are bend_mm, composite"),
    "another kind of number": ('steps = "many"\n', "steps is 'many'; it must be a whole number from 0 on"),
    "a part of a step": ("steps = 3.5\n", "a whole number from 0 on"),
    "no number at all": ("learning_rate = nan\n", "learning_rate is nan; it must be a number above 0"),
    "a word for a switch": ('augment = "no"\n', "augment is 'no'; it must be true or false"),
    "a negative number": ("average = -5\n", "average is -5; it must be a whole number from 0 on"),
    "no samples": ("batch = 0\n", "batch is 0; it must be a whole number from 1 on"),
    "no pixels": ("pixel_mm = 0\n", "pixel_mm is 0; it must be a number above 0"),
    "too many classes": ("classes = 5\n", "classes is 5; it must be 3 or 4"),
    "more than all": ("[mixture]\ncysts = 60\n", "cysts is 60; it must be a number from 0 to 1"),
    "more than all together": ("[mixture]\nkidney_free = 0.6\ntumor_free = 0.6\n", "more than 1"),
    "a word in the mixture": ('[mixture]\nzoom = "much"\n', "zoom is 'much'; it must be a number above 0"),
    "a mixture that is none": ("mixture = 3\n", "mixture is 3; it must be a table"),
    "two levels": ("widths = [4, 4]\n", r"widths is \[4, 4\]; it must be a list of five"),
    "one width": ("widths = 4\n", "widths is 4; it must be a list of five"),
    "one name": ('sealed = "case_00001"\n', "sealed is 'case_00001'; it must be a list of names"),
    "a share below nothing": ("[sources]\nkits = -1.0\n", "sources is .*; it must be a table of numbers from 0 on"),
    "a share that is none": ("[sources]\nkits = true\n", "sources is .*; it must be a table of numbers from 0 on"),
    "no TOML": ("size = = 3\n", "cannot be read"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named(tmp_path, kind):
    lines, message = WRONG[kind]
    path = tmp_path / "r.toml"
    usual = {"widths": "[4, 4, 8, 8, 8]", "steps": "3"}
    path.write_text("".join(f"{key} = {value}\n" for key, value in usual.items() if not lines.startswith(key)) + lines)
    with pytest.raises(InputError, match=r"r\.toml.*" + message.replace("(", r"\(")):
        Config.read(path)


def test_every_setting_has_a_rule_that_its_default_keeps():
    usual = vars(Config((4,) * 5, 3)) | vars(Mixture())
    assert usual.keys() == RULE_OF.keys()
    assert [name for name, value in usual.items() if name != "mixture" and not RULE_OF[name][1](value)] == []


def test_missing_settings_and_files_are_named(tmp_path):
    (tmp_path / "r.toml").write_text("steps = 3\n")
    with pytest.raises(InputError, match="says nothing of widths"):
        Config.read(tmp_path / "r.toml")
    with pytest.raises(InputError, match=r"cannot be read \(No such file or directory\); give one of training/configs"):
        Config.read(tmp_path / "none.toml")


def test_the_command_line_may_change_a_recipe(recipe):
    assert Config.read(recipe(), steps=77, fold=None).steps == 77
    assert Config.read(recipe()).steps == 12
