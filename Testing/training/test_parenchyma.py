"""The part that tells parenchyma learns alone: all else stays bit for bit, and goes on where it stopped."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from wpunet import bundle
from wpunet.bundle import NetworkSpec
from wpunet.errors import InputError
from wpunet.labels import KIDNEY
from wpunet.network import cost
from wpunet.predict import parenchyma_alone
from wpunet.runtime import OpenVINORuntime

from Testing.training.conftest import RECIPE, same
from training import blend, checkpoint, export, parenchyma, prune, train
from training.config import Config, tomllib
from training.data import Case, read_split, to_grey, write_case, write_split
from training.networks import load_trained
from training.train import Run, start_from

INNER = np.s_[:, 14:18, 14:18]
STILL = {"shift_mm": 8.0, "noise_hu": 0.0, "contrast_hu": 0.0, "decoys": 0.0, "no_contrast": 0.0}
RECIPE_OF_IT = {"widths": [4, 4, 8, 8, 8], "parenchyma": 6, "size": 32, "batch": 4, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Square kidneys, once with what lies in their middle and, by other readers, without it."""
    folder = tmp_path_factory.mktemp("squares")
    g = np.random.default_rng(0)
    names = {}
    for number in range(4):
        hu = g.normal(0, 5, (4, 32, 32))
        labels = np.zeros((4, 32, 32), np.uint8)
        hu[:, 10:22, 10:22], labels[:, 10:22, 10:22] = 150, KIDNEY
        hu[INNER] = 60
        with_it = Case(f"patient_{number}", "labelled", 4.0, to_grey(hu), labels, "whole")
        labels = labels.copy()
        labels[INNER] = 0
        without = Case(f"patient_{number} bare", "tumor_free", 4.0, to_grey(hu), labels, "bare")
        for case in (with_it, without):
            write_case(case, folder / case.group / f"{case.name}.safetensors", {})
            names[case.name] = case.group
    (folder / "prepared.json").write_text(json.dumps({"prepared": names}))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data):
    """A run that knows whole kidneys."""
    mixture = dict.fromkeys(("no_contrast", "grafts", "lesions", "foreign", "decoys", "healthy", "composite"), 0.0)
    values = tomllib.loads(RECIPE) | {"steps": 150, "size": 32, "held_out": 1, "look_every": 150, "weight_decay": 0.0}
    values |= {"mixture": mixture | {"kidney_free": 0.0, "generated": 0.0, "tumor_free": 0.0} | STILL}
    folder = tmp_path_factory.mktemp("runs") / "whole"
    torch.set_num_threads(1)
    train.train(Run(Config.of(values, "whole"), data, folder, torch.device("cpu")))
    return folder


def config(steps=300, **changes):
    values = tomllib.loads(RECIPE) | RECIPE_OF_IT | {"steps": steps, "mixture": STILL}
    return Config.of(values | {"look_every": steps, "sources": {"whole": 0.0, "bare": 1.0}} | changes, "the tests'")


@pytest.fixture(scope="module")
def taught(tmp_path_factory, data, whole):
    folder = tmp_path_factory.mktemp("runs") / "taught"
    torch.set_num_threads(1)
    parenchyma.teach(whole, data, folder, config())
    return folder


def test_it_learns_what_to_leave_out_and_nothing_else_changes(whole, taught, data):
    before, after = load_trained(whole)[0].eval(), load_trained(taught)[0].eval()
    old = before.state_dict()
    assert same({name: t for name, t in after.state_dict().items() if "parenchyma" not in name}, old)
    x, labels = parenchyma.begin(whole, data, whole.parent / "look", config()).sampler.batch(0, 0, 16)
    with torch.no_grad():
        logits, told = after.told(x)
        assert torch.equal(logits, before(x))
        found, alone = logits.argmax(1) == 1, parenchyma_alone(logits, told).argmax(1) == 1
    tissue, rest = found & (labels > 0), found & (labels == 0)
    assert rest.sum() > 100
    assert (alone & rest).sum() < 0.4 * rest.sum()
    assert (alone & tissue).sum() > 0.9 * tissue.sum()
    assert not (alone & ~found).any()


def test_the_network_is_the_runs_whatever_the_config_says_of_it(whole, taught, data, tmp_path):
    """So one recipe serves networks of any widths, with cysts and without."""
    other = parenchyma.begin(whole, data, tmp_path, config(widths=[8, 8, 8, 8, 8], norms=1, classes=4))
    assert other.network.spec == replace(load_trained(whole)[0].spec, parenchyma=6)
    other.one_step()
    other.save()
    assert load_trained(tmp_path)[0].spec == load_trained(taught)[0].spec


def test_it_draws_and_looks_at_its_own_sources_alone(taught):
    log = (taught / "log.csv").read_text().splitlines()
    columns = dict(zip(log[0].split(","), log[-1].split(","), strict=True))
    assert float(columns["kidney_or_tumor"]) > 0.85  # of the patient held out, its middle left out
    rows = [row.split(",") for row in (taught / "drawn.csv").read_text().splitlines()[1:]]
    assert {(group, source) for _, group, source, _ in rows} == {("tumor_free", "bare")}


def test_whom_the_run_was_kept_from_it_is_kept_from(data, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"sealed": ["patient_2"]}))
    training, held_out = read_split(whole / "split.json")
    write_split(tmp_path / "run" / "split.json", [name for name in training if name != "patient_2"], held_out)
    for run, drawn in ((whole, True), (tmp_path / "run", False)):
        begun = parenchyma.begin(run, data, tmp_path / f"drawn {drawn}", config(sealed=["patient_9"]))
        assert ("patient_2" in {case.patient for case in begun.sampler.shelves["tumor_free"].cases}) == drawn
        assert "patient_9" in begun.config.sealed


def test_whom_the_run_was_trained_on_is_sealed_in_no_source(data, whole, tmp_path):
    """The sealed of a config are those of its usual runs; that run had others, and its split holds."""
    known = read_split(whole / "split.json")[0][0]
    begun = parenchyma.begin(whole, data, tmp_path, config(sealed=[known, "patient_9"]))
    assert begun.config.sealed == ("patient_9",)
    assert known in begun.training
    assert known in {case.patient for case in begun.sampler.shelves["tumor_free"].cases}


def test_it_goes_on_where_it_stopped(data, whole, tmp_path):
    recipe = config(steps=30)
    run = parenchyma.begin(whole, data, tmp_path / "part", recipe)
    train.train(run, until=10)
    assert run.step == 10
    for name in ("part", "at once"):
        parenchyma.teach(whole, data, tmp_path / name, recipe)
    assert same(*(checkpoint.load(tmp_path / name / "average.safetensors")[0] for name in ("part", "at once")))


def test_the_bundle_tells_both_answers(taught, tmp_path):
    path = tmp_path / "b.safetensors"
    card = export.export(taught, path, {"name": "Test", "version": "1"})
    network = load_trained(taught)[0].eval()
    own = sum(p.numel() for p in network.parenchyma.parameters())
    assert card["parenchyma_weights"] == own > 0
    assert (card["steps"], card["parenchyma_steps"]) == (150, 300)
    counted = cost(network, (32, 32))
    assert (card["weights"] + own, card["nonzero_weights"] + own) == (counted.weights, counted.nonzero)
    x = np.random.default_rng(4).uniform(-1, 1, (2, 1, 32, 64)).astype(np.float32)
    found = OpenVINORuntime(bundle.load(path), precision="f32", parenchyma=True)(x)
    with torch.no_grad():
        expected = torch.cat(network.told(torch.from_numpy(x)), 1).numpy()
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("wrong", [False, True])
def test_a_bundle_one_of_whose_answers_is_another_is_refused(wrong, taught, tmp_path, monkeypatch):
    class Wrong(OpenVINORuntime):
        def __init__(self, *given, parenchyma, **more):
            super().__init__(*given, parenchyma=parenchyma, **more)
            self.factor = 1.1 if parenchyma == wrong else 1.0

        def __call__(self, slices):
            return super().__call__(slices) * self.factor

    monkeypatch.setattr(export, "OpenVINORuntime", Wrong)
    with pytest.raises(InputError, match="nothing was exported"):
        export.export(taught, tmp_path / "b.safetensors", {"name": "Test", "version": "1"})


def test_training_goes_on_from_a_bundle_that_tells_parenchyma(taught, data, tmp_path):
    path = export.as_bundle(load_trained(taught)[0], 4.0, tmp_path / "b.safetensors")
    run = Run(replace(config(), parenchyma=0, sources={}), data, tmp_path / "on", torch.device("cpu"))
    start_from(run, path)
    assert run.network.spec == NetworkSpec((4, 4, 8, 8, 8), norms=2)
    head = load_trained(taught)[0].head.weight
    assert torch.equal(run.network.head.weight, head.half().float())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"parenchyma": 0}, "nothing to teach"),
        ({"parenchyma": -2}, "must be a whole number from 0 on"),
        ({"parenchyma": "six"}, "must be a whole number from 0 on"),
        ({"architecture": "unet"}, "for the architecture wpunet alone"),
        ({"augment": False}, "must name the sources"),
        ({"sources": {}}, "must name the sources"),
        ({"sources": {"whole": 1.0, "bare": 0.0}}, "no CT without tumor"),
        ({"sources": {"whole": 0.0}}, "no share to the source 'bare'"),
    ],
)
def test_configs_that_cannot_teach_it_are_refused(whole, data, tmp_path, changes, says):
    with pytest.raises(InputError, match=says):
        parenchyma.begin(whole, data, tmp_path / "o", config(**changes))


def test_what_else_cannot_be_is_refused(taught, whole, data, tmp_path, recipe, command, capsys):
    with pytest.raises(InputError, match=r"is for python -m training\.parenchyma"):
        Run(config(), data, tmp_path / "r", torch.device("cpu"))
    with pytest.raises(InputError, match="was begun with parenchyma = 6, not 4"):
        parenchyma.begin(whole, data, taught, config(parenchyma=4))
    other = tmp_path / "other"
    shutil.copytree(whole, other)
    tensors, facts = checkpoint.load(whole / "average.safetensors")
    checkpoint.save(other / "average.safetensors", tensors | {"head.bias": tensors["head.bias"] + 1}, facts)
    with pytest.raises(InputError, match="was begun with other weights than those of"):
        parenchyma.begin(other, data, taught, config())
    options = ("--data", data, "--output", tmp_path / "p", "--config", recipe(steps=0), "--weights", 700)
    assert command(prune, *options, "--run", taught, "--method", "global", "--rounds", 1) == 2
    assert "tells parenchyma already" in capsys.readouterr().err
    assert command(blend, "--runs", taught, taught, "--output", tmp_path / "b") == 2
    assert "cannot be blended" in capsys.readouterr().err
    assert command(parenchyma, "--run", tmp_path, "--data", data, "--config", recipe(), "--output", tmp_path / "o") == 2
    assert "holds no trained WP-UNet" in capsys.readouterr().err
