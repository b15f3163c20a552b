"""Pruning leaves exactly as many weights as asked for, the largest ones, and fine-tuning keeps the zeros."""

import csv
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from wpunet.bundle import NetworkSpec
from wpunet.errors import InputError
from wpunet.network import WPUNet, cost

from training import checkpoint, prune
from training.config import Config
from training.data import read_prepared, read_split
from training.narrow import narrow, widths_for
from training.networks import load_trained
from training.train import Run, train

PAPER = 1_297_441  # weights that the paper has left


def random_network(spec, seed=0):
    """As if trained: no weight is 0, statistics are not 0 and 1, and of many batches."""
    torch.manual_seed(seed)
    network = WPUNet(spec)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2.0)
            module.num_batches_tracked.fill_(50)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return network.eval()


@pytest.fixture(scope="module")
def full():
    """The paper's widths."""
    return random_network(NetworkSpec()).state_dict()


def full_network(full):
    network = WPUNet(NetworkSpec())
    network.load_state_dict(full)
    return network.eval()


@pytest.mark.parametrize("method", ["layer", "global"])
def test_exactly_as_many_weights_are_left_as_in_the_paper(full, method):
    network = prune.thin(full_network(full), method, PAPER)
    assert prune.remaining(network) == PAPER
    assert cost(network, (32, 32)).nonzero == PAPER
    kept = {n: w for n, w in network.state_dict().items() if w.ndim != 4 or "depthwise" in n}
    assert all(torch.equal(weight, full[name]) for name, weight in kept.items())  # biases and norms as they were, too


def test_by_layer_each_matrix_loses_the_same_share_and_its_smallest(full):
    network = prune.thin(full_network(full), "layer", PAPER)
    total = sum(module.weight.numel() for module, _ in prune.matrices(network))
    share = sum(int((module.weight == 0).sum()) for module, _ in prune.matrices(network)) / total
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d) and "depthwise" not in name:
            weight, before = module.weight, full[f"{name}.weight"]
            gone = weight == 0
            assert int(gone.sum()) == pytest.approx(share * gone.numel(), abs=1.01), name
            assert torch.equal(weight[~gone], before[~gone])
            assert before[gone].abs().max() <= before[~gone].abs().min()


def test_globally_the_smallest_of_all_go(full):
    network = prune.thin(full_network(full), "global", PAPER)
    convolutions = {name: m for name, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)}
    pairs = [(m.weight, full[f"{name}.weight"]) for name, m in convolutions.items() if "depthwise" not in name]
    gone = torch.cat([before[weight == 0].abs() for weight, before in pairs])
    kept = torch.cat([before[weight != 0].abs() for weight, before in pairs])
    assert gone.max() <= kept.min()
    shares = [float((weight == 0).float().mean()) for weight, _ in pairs]
    assert max(shares) - min(shares) > 0.3  # the matrices are not alike, so neither are their shares


class Batches:
    """A sampler of fixed pictures."""

    def batch(self, step, first, last):
        generator = torch.Generator().manual_seed(step)
        return 2 + 3 * torch.randn(last - first, 1, 32, 32, generator=generator), None


def test_statistics_are_estimated_anew():
    network = random_network(NetworkSpec((4, 6, 8, 10, 12), norms=2))
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    answer = network(Batches().batch(0, 0, 8)[0])
    prune.settle(network, Batches(), batches=3)
    stem = torch.cat([network.stem(Batches().batch(k, 0, 8)[0]).relu() for k in range(3)])
    reached = network.encoder[0].first(stem)
    norm = network.encoder[0].first_norm
    assert torch.allclose(norm.running_mean, reached.mean((0, 2, 3)), rtol=1e-3, atol=1e-3)
    assert torch.allclose(norm.running_var, reached.var((0, 2, 3)), rtol=0.05)
    assert (norm.momentum, norm.training, network.training) == (0.1, False, False)
    parameters = dict(network.named_parameters())
    assert all(torch.equal(parameters[name], before[name]) for name in parameters)
    assert not torch.allclose(network(Batches().batch(0, 0, 8)[0]), answer, atol=1e-3)


def test_statistics_are_estimated_where_the_network_is():
    network, went = random_network(NetworkSpec((4, 6, 8, 10, 12), norms=2)), []

    class Elsewhere(Batches):
        """Draws on the processor, as workers do, whatever the network is on."""

        def batch(self, step, first, last):
            drawn = super().batch(step, first, last)[0]
            return SimpleNamespace(to=lambda device: went.append(device) or drawn), None

    prune.settle(network, Elsewhere(), batches=2)
    assert went == [torch.device("cpu")] * 2


def test_impossible_numbers_are_refused(full):
    network = full_network(full)
    total = sum(p.numel() for p in network.parameters())
    rest = total - sum(module.weight.numel() for module, _ in prune.matrices(network))
    for weights in (100, rest, total + 1):
        with pytest.raises(InputError, match=f"cannot be left; choose between {rest + 1} and {total}"):
            prune.prune_weights(network, "layer", weights)
    for weights in (total, rest + 1):
        assert prune.remaining(prune.thin(full_network(full), "global", weights)) == weights
    with pytest.raises(InputError, match="has only 10 weights"):
        widths_for(10, network.spec)
    with pytest.raises(InputError, match="cannot be kept"):
        narrow(network, (128, 128, 256, 512, 1024))


def test_by_channels_the_network_is_really_smaller(full):
    wide = full_network(full)
    small = prune.thin(wide, "channels", PAPER)
    before, after = cost(wide), cost(small)
    assert after.weights <= PAPER
    assert after.weights > 0.9 * PAPER  # and no smaller than need be
    assert after.nonzero == after.weights
    assert after.multiply_adds < 0.45 * before.multiply_adds
    assert small(torch.zeros(1, 1, 64, 96)).shape == (1, 3, 64, 96)


@pytest.mark.parametrize("norms", [1, 2])
def test_channels_that_say_nothing_can_go_without_a_trace(norms):
    """A network with dead channels everywhere answers the same when just these are taken out."""
    small_spec, wide_spec = (NetworkSpec(tuple(w * k for w in (4, 6, 8, 10, 12)), norms=norms) for k in (1, 2))
    wide = random_network(wide_spec, seed=1)
    with torch.no_grad():
        for name, module in wide.named_modules():  # every second output of every place is silent
            if isinstance(module, torch.nn.Conv2d) and "depthwise" not in name and name != "head":
                module.weight[1::2] = 0
                module.bias[1::2] = 0
            if isinstance(module, torch.nn.BatchNorm2d):
                for part in (module.weight, module.bias):
                    part[1::2] = 0
                module.running_mean[1::2] = 0
    small = narrow(wide, small_spec.widths).eval()
    x = torch.randn(2, 1, 48, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.allclose(small(x), wide(x), atol=1e-4)
        loud = random_network(wide_spec, seed=1)
        assert not torch.allclose(narrow(loud, small_spec.widths).eval()(x), loud(x), atol=1e-2)


def test_keeping_all_channels_changes_nothing():
    network = random_network(NetworkSpec((4, 6, 8, 10, 12), norms=2))
    same = narrow(network, network.spec.widths).eval()
    x = torch.randn(1, 1, 32, 32)
    assert torch.equal(same(x), network(x))
    assert widths_for(10**9, network.spec) == network.spec.widths


@pytest.fixture
def fine_tuning(recipe):
    return recipe(steps=4, look_every=4, average=2)


@pytest.mark.parametrize("method", prune.METHODS)
def test_rounds_with_fine_tuning_end_at_the_number_asked_for(method, trained, prepared, fine_tuning, tmp_path, command):
    network, _ = load_trained(trained)
    total = cost(network, (32, 32)).weights
    wanted = total // 2
    options = ("--run", trained, "--data", prepared, "--config", fine_tuning, "--method", method, "--rounds", 2)
    assert command(prune, *options, "--output", tmp_path / "p", "--weights", wanted) == 0
    pruned, facts = load_trained(tmp_path / "p")
    left = prune.remaining(pruned)
    assert left == wanted if method != "channels" else 0.7 * wanted < left <= wanted
    assert facts["pixel_mm"] == 4.0
    assert read_split(tmp_path / "p" / "split.json") == read_split(trained / "split.json")
    told = json.loads((tmp_path / "p" / "pruned.json").read_text())
    assert (told["weights_before"], told["weights_left"]) == (total, left)
    for name, lost in told["dice_lost"].items():
        assert lost == pytest.approx(told["dice_before"][name] - told["dice_after"][name], abs=1e-3)
    start, _ = load_trained(tmp_path / "p" / "round_1")
    if method != "channels":  # much goes in the first round
        assert prune.remaining(start) == round(total - (total - wanted) * 7 / 8)
    first = next(iter(pruned.parameters()))
    assert not torch.equal(first, next(iter(start.parameters())))  # it went on training between the rounds


def test_a_pruned_network_goes_on_with_all_patients_and_keeps_its_zeros(trained, prepared, recipe, tmp_path, command):
    options = ("--data", prepared, "--method", "global", "--sparsity", 0.4, "--rounds", 1)
    held = ("--config", recipe(steps=2, look_every=2, average=2), "--output", tmp_path / "held")
    assert command(prune, "--run", trained, *options, *held) == 0
    everybody = ("--config", recipe(steps=2, look_every=2, held_out=0), "--output", tmp_path / "all", "--resplit")
    options = ("--data", prepared, "--method", "global", "--rounds", 1)
    before = load_trained(tmp_path / "held")[0]
    weights = prune.remaining(before)
    assert command(prune, "--run", tmp_path / "held", *options, *everybody, "--weights", weights) == 0
    after = load_trained(tmp_path / "all")[0]
    assert prune.remaining(after) == weights
    for (name, one), other in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.equal(one == 0, other == 0), name
    assert read_split(tmp_path / "held" / "split.json") == read_split(trained / "split.json")
    assert read_split(tmp_path / "all" / "split.json")[1] == []


def test_whom_the_run_was_kept_from_fine_tuning_is_kept_from(trained, prepared, recipe, tmp_path):
    name = "contrast_chest_oral_contrast"
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"sealed": [name]}))
    config = Config.read(recipe(steps=1, look_every=1))
    sealing = tmp_path / "run"
    for run, resplit, drawn in ((trained, False, True), (sealing, False, False), (sealing, True, True)):
        fine = prune.prune(run, prepared, tmp_path / f"{drawn} {resplit}", config, "global", 6000, 1, resplit=resplit)
        shelf = fine.sampler.shelves.get("kidney_free")
        assert (shelf is not None and name in {case.patient for case in shelf.cases}) == drawn


def test_a_split_of_its_own_holds_out_nobody_whom_the_run_knows(trained, prepared, recipe, tmp_path):
    config = Config.read(recipe(steps=0, fold=1))
    with pytest.raises(InputError, match="were trained on case_"):
        prune.prune(trained, prepared, tmp_path, config, "global", 6000, 1, resplit=True)


def test_without_steps_only_the_smallest_weights_go(trained, prepared, recipe, tmp_path):
    config = Config.read(recipe(pixel_mm=3.2), steps=0)
    weights = cost(load_trained(trained)[0], (32, 32)).weights * 3 // 4
    fine = prune.prune(trained, prepared, tmp_path, config, "global", weights, 1)
    wanted = prune.thin(load_trained(trained)[0], "global", weights).state_dict()
    found = fine.average.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    facts = load_trained(tmp_path)[1]
    assert facts["steps_in_all"] == load_trained(trained)[1]["step"] > 0
    assert facts["pixel_mm"] == 4.0


def test_fine_tuning_keeps_the_pixels_of_the_run(trained, prepared, recipe, tmp_path):
    before = load_trained(trained)[1]
    config = Config.read(recipe(pixel_mm=before["pixel_mm"] / 2), steps=1)
    weights = cost(load_trained(trained)[0], (32, 32)).weights * 3 // 4
    prune.prune(trained, prepared, tmp_path, config, "global", weights, 1)
    facts = load_trained(tmp_path)[1]
    assert (facts["pixel_mm"], facts["step"]) == (before["pixel_mm"], 1)
    assert facts["steps_in_all"] == before["step"] + 1


def test_fine_tuning_begins_with_the_statistics_of_the_weights_that_are_left(trained, prepared, recipe, tmp_path):
    weights = cost(load_trained(trained)[0], (32, 32)).weights // 2
    fine = prune.prune(trained, prepared, tmp_path, Config.read(recipe(steps=1)), "global", weights, 1)
    old, anew = (prune.thin(load_trained(trained)[0], "global", weights) for _ in range(2))
    prune.settle(anew, fine.sampler)
    found, begun, settled = (
        torch.cat([value for name, value in one.state_dict().items() if name.endswith("running_mean")])
        for one in (fine.network, old, anew)
    )
    assert (found - settled).norm() < 0.3 * (found - begun).norm()


def test_pruning_goes_on_where_it_stopped(trained, prepared, fine_tuning, tmp_path, monkeypatch):
    config = Config.read(fine_tuning)
    weights = cost(load_trained(trained)[0], (32, 32)).weights // 2
    whole = prune.prune(trained, prepared, tmp_path / "whole", config, "layer", weights, 3)
    step = prune.PrunedRun.one_step

    def interrupted(self):
        if self.folder.name == "round_2" and self.step == 2:
            self.save()
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(prune.PrunedRun, "one_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prune.prune(trained, prepared, tmp_path / "resumed", config, "layer", weights, 3)
    monkeypatch.setattr(prune.PrunedRun, "one_step", step)
    resumed = prune.prune(trained, prepared, tmp_path / "resumed", config, "layer", weights, 3)
    one, other = (checkpoint.load(run.folder / "average.safetensors")[0] for run in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_folder_gives_no_old_weights_for_another_question(trained, prepared, recipe, tmp_path):
    config = Config.read(recipe(steps=0))
    shutil.copytree(trained, tmp_path / "other")
    tensors, facts = checkpoint.load(trained / "average.safetensors")
    asked = (trained, prepared, tmp_path / "pruned", config, "global", 6000, 1)
    with pytest.raises(InputError, match="cannot be left"):
        prune.prune(*asked[:5], 10, 1)  # what could not be done is not what the folder is for
    prune.prune(*asked)
    checkpoint.save(tmp_path / "other" / "average.safetensors", tensors, facts)
    prune.prune(tmp_path / "other", *asked[1:])  # the same weights, written once more
    tensors["head.bias"] += 1
    checkpoint.save(tmp_path / "other" / "average.safetensors", tensors, facts)
    others = {
        "run": (tmp_path / "other", *asked[1:]),
        "steps": (*asked[:3], replace(config, steps=1), *asked[4:]),
        "method": (*asked[:4], "layer", *asked[5:]),
        "weights": (*asked[:5], 5000, 1),
        "rounds": (*asked[:6], 2),
    }
    before = (tmp_path / "pruned" / "average.safetensors").read_bytes()
    for name, other in others.items():
        with pytest.raises(InputError, match=f"was begun with another value of '{name}'; choose another folder"):
            prune.prune(*other)
    with pytest.raises(InputError, match="another value of 'resplit'"):
        prune.prune(*asked, resplit=True)
    assert (tmp_path / "pruned" / "average.safetensors").read_bytes() == before


def test_the_curve_of_accuracy_against_sparsity(trained, prepared, tmp_path):
    rows = prune.curve(trained, prepared, tmp_path, [0, 0.3, 0.5], at_most=1)
    with (tmp_path / "sparsity.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["method"] for row in written] == [method for method in prune.METHODS for _ in range(3)]
    for first in (0, 3, 6):
        sparsities = [float(row["sparsity"]) for row in written[first : first + 3]]
        assert sparsities == pytest.approx([0, 0.3, 0.5], abs=0.15)  # so few channels come in large steps
        assert rows[first]["kidney_or_tumor"] == rows[0]["kidney_or_tumor"]  # unpruned they are one network
    network, facts = load_trained(trained)
    first = read_prepared(prepared, "labelled", read_split(trained / "split.json")[1][:1])  # of those held out
    assert rows[0]["kidney_or_tumor"] == prune.measure(network, facts["pixel_mm"], first)["kidney_or_tumor"] > 0.3
    assert rows[5]["kidney_or_tumor"] != rows[0]["kidney_or_tumor"]
    assert (tmp_path / "sparsity.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_accuracy_is_the_mean_over_patients(trained, prepared):
    network, facts = load_trained(trained)
    cases = read_prepared(prepared, "labelled")[:3]
    together, *alone = (prune.measure(network, facts["pixel_mm"], some) for some in (cases, *([one] for one in cases)))
    each = [one["kidney_or_tumor"] for one in alone]
    assert together["kidney_or_tumor"] == pytest.approx(sum(each) / 3, abs=1e-3)
    assert together["kidney_or_tumor"] != pytest.approx(sorted(each)[1], abs=2e-3)


@pytest.mark.parametrize("options", [("--rounds", 0), ("--output", "RUN")])
def test_a_run_is_not_pruned_in_no_round_or_in_its_place(options, trained, prepared, fine_tuning, command, capsys):
    given = [trained if one == "RUN" else one for one in options]
    before = {path: path.read_bytes() for path in trained.iterdir() if path.is_file()}
    basics = ("--run", trained, "--data", prepared, "--config", fine_tuning, "--sparsity", 0.3)
    assert command(prune, *basics, "--output", trained / "pruned", *given) == 2
    assert "one round, and into another folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in trained.iterdir() if path.is_file()} == before


def test_the_command_says_what_is_missing(trained, prepared, tmp_path, command, capsys):
    assert command(prune, "--run", trained, "--data", prepared, "--output", tmp_path / "p") == 2
    assert "--weights or --sparsity" in capsys.readouterr().err
    assert command(prune, "--run", tmp_path, "--data", prepared, "--output", tmp_path / "p", "--curve") == 2
    assert "holds no training run" in capsys.readouterr().err


def test_a_network_that_knows_cysts_stays_one(recipe, prepared, tmp_path):
    config = Config.read(recipe(classes=4, steps=2))
    run = Run(config, prepared, tmp_path / "run", torch.device("cpu"))
    train(run)
    most = prune.remaining(load_trained(tmp_path / "run")[0])
    fine = Config.read(recipe(steps=0))
    prune.prune(tmp_path / "run", prepared, tmp_path / "pruned", fine, "global", most - 20, 1)
    network, _ = load_trained(tmp_path / "pruned")
    assert network.spec.classes == 4
    assert prune.remaining(network) == most - 20
