"""A blend lies between two networks, and holds out nobody whom one of them knows."""

import json
import shutil
import sys

import pytest
import torch
from wpunet.bundle import NetworkSpec
from wpunet.errors import InputError
from wpunet.network import WPUNet

from training import blend, checkpoint, train
from training.networks import load_trained

from .conftest import RECIPE

WIDTHS = (4, 6, 8, 10, 12)


def network(seed, widths=WIDTHS):
    torch.manual_seed(seed)
    made = WPUNet(NetworkSpec(widths, norms=2))
    made.train()(torch.randn(2, 1, 32, 32))  # so that the statistics are not 0 and 1
    return made


def test_every_number_is_the_mean():
    one, two = network(0), network(1)
    before = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    for share in (0.5, 0.25):
        mixed = blend.blend(one, two, share).state_dict()
        for name, tensor in two.state_dict().items():
            if tensor.is_floating_point():
                assert torch.allclose(mixed[name], (1 - share) * before[name] + share * tensor, atol=1e-6)
    assert all(torch.equal(before[name], tensor) for name, tensor in one.state_dict().items())


def test_networks_of_other_widths_are_refused():
    with pytest.raises(InputError, match="cannot be blended"):
        blend.blend(network(0), network(1, (4, 6, 8, 10, 14)))


@pytest.fixture(scope="module")
def trained_ones(prepared, tmp_path_factory):
    """A run, one that started from it, and one that holds nobody out."""
    folder = tmp_path_factory.mktemp("blend")
    config = folder / "recipe.toml"
    config.write_text(RECIPE.replace("steps = 12", "steps = 2"))
    weights = folder / "early" / "average.safetensors"
    for name, more in (("early", ()), ("late", ("--weights", weights)), ("all", ("--held-out", 0))):
        options = ("--config", config, "--data", prepared, "--device", "cpu", "--run", folder / name, *more)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["train", *map(str, options)])
            assert train.main() == 0
    return folder


@pytest.fixture
def runs(trained_ones, tmp_path):
    return shutil.copytree(trained_ones, tmp_path / "runs")


def test_a_blend_is_a_run_to_go_on_from(runs, command, recipe, prepared):
    assert command(blend, "--runs", runs / "early", runs / "late", "--output", runs / "both") == 0
    mixed, facts = load_trained(runs / "both")
    expected = blend.blend(load_trained(runs / "early")[0], load_trained(runs / "late")[0])
    for name, tensor in expected.state_dict().items():
        assert torch.equal(mixed.state_dict()[name], tensor)
    assert facts == checkpoint.facts(runs / "late" / "average.safetensors")
    for name in ("split.json", "config.json"):
        assert json.loads((runs / "both" / name).read_text()) == json.loads((runs / "late" / name).read_text())


def test_who_was_trained_on_by_one_cannot_be_held_out_by_the_other(runs, command, capsys):
    assert command(blend, "--runs", runs / "all", runs / "late", "--output", runs / "leaky") == 2
    assert "was trained on case_" in capsys.readouterr().err
    assert not (runs / "leaky").exists()
    assert command(blend, "--runs", runs / "early", runs / "all", "--output", runs / "both") == 0
    sealed = json.loads((runs / "early" / "split.json").read_text())["training"][0]
    path = runs / "late" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sealed": [sealed]}))
    assert command(blend, "--runs", runs / "early", runs / "late", "--output", runs / "leaky") == 2
    assert f"was trained on {sealed}, whom" in capsys.readouterr().err
    assert command(blend, "--runs", runs / "nowhere", runs / "all", "--output", runs / "none") == 2


def test_a_run_is_not_blended_over(runs, command, capsys):
    before = (runs / "late" / "average.safetensors").read_bytes()
    assert command(blend, "--runs", runs / "early", runs / "late", "--output", runs / "late") == 2
    assert "is a run of its own" in capsys.readouterr().err
    assert (runs / "late" / "average.safetensors").read_bytes() == before
